use std::time::Duration;

use nym_mixnode_sphinx::{Hop, public_key};
use proptest::prelude::*;

use super::*;
use crate::reply::REPLY_BLOCK_LEN;

fn address() -> ClientAddress {
    let point = |seed| curve25519_dalek::EdwardsPoint::mul_base_clamped([seed; 32]).compress().to_bytes();
    ClientAddress::new(point(1), [9; 32], point(2)).unwrap()
}

fn reply_block() -> ReplyBlock {
    let route = [1, 2, 3, 4].map(|n| Hop { address: ([192, 0, 2, n], 1789).into(), sphinx_key: public_key(&[n; 32]) });
    ReplyBlock::build(&route, &[Duration::ZERO; 3], &[7; 32], &mut rand::rng()).unwrap()
}

fn requests() -> [Request; 4] {
    [
        Request::Send { recipient: address(), with_reply_block: true, data: b"hello".to_vec() },
        Request::Send { recipient: address(), with_reply_block: false, data: Vec::new() },
        Request::Reply { reply_block: reply_block(), data: b"x".to_vec() },
        Request::SelfAddress,
    ]
}

fn responses() -> [Response; 4] {
    [
        Response::Error { kind: ErrorKind::ShortRequest, message: "a:b".to_owned() },
        Response::Received { data: b"hello".to_vec(), reply_block: Some(reply_block()) },
        Response::Received { data: Vec::new(), reply_block: None },
        Response::SelfAddress(address()),
    ]
}

#[test]
fn requests_and_responses_survive_both_forms() {
    for request in requests() {
        let bytes = request.to_bytes();
        assert_eq!(Request::from_bytes(&bytes).unwrap().to_bytes(), bytes);
        assert_eq!(Request::from_json(&request.to_json()).unwrap().to_bytes(), bytes);
    }
    for response in responses() {
        let bytes = response.to_bytes();
        assert_eq!(Response::from_bytes(&bytes).unwrap().to_bytes(), bytes);
        assert_eq!(Response::from_json(&response.to_json()).unwrap().to_bytes(), bytes);
    }
}

#[test]
fn messages_that_are_cut_or_too_long_have_the_kind_of_their_fault() {
    for request in requests() {
        let bytes = request.to_bytes();
        for len in 1..bytes.len() {
            assert_eq!(Request::from_bytes(&bytes[..len]).unwrap_err().kind, ErrorKind::ShortRequest, "{len}");
        }
        let longer = [&bytes[..], &[0]].concat();
        assert_eq!(Request::from_bytes(&longer).unwrap_err().kind, ErrorKind::MalformedRequest);
    }
    for response in responses() {
        let bytes = response.to_bytes();
        for len in 1..bytes.len() {
            assert_eq!(Response::from_bytes(&bytes[..len]).unwrap_err().kind, ErrorKind::ShortResponse, "{len}");
        }
        let longer = [&bytes[..], &[0]].concat();
        assert_eq!(Response::from_bytes(&longer).unwrap_err().kind, ErrorKind::MalformedResponse);
    }
    let kind =
        |bytes: &[u8]| (Request::from_bytes(bytes).unwrap_err().kind, Response::from_bytes(bytes).unwrap_err().kind);
    assert_eq!(kind(&[]), (ErrorKind::EmptyRequest, ErrorKind::EmptyResponse));
    assert_eq!(kind(&[3]), (ErrorKind::UnknownRequest, ErrorKind::UnknownResponse));
    let mut endless = vec![1];
    endless.extend_from_slice(&[0xff; 8]);
    assert_eq!(Request::from_bytes(&endless).unwrap_err().kind, ErrorKind::ShortRequest);
    let short_block = [&[1][..], &8_u64.to_be_bytes(), &[0; 16]].concat();
    assert_eq!(Request::from_bytes(&short_block).unwrap_err().kind, ErrorKind::MalformedRequest);
    let mut unreachable = Request::Reply { reply_block: reply_block(), data: Vec::new() }.to_bytes();
    unreachable[9 + REPLY_BLOCK_LEN - 768 - 32] = 5;
    assert_eq!(Request::from_bytes(&unreachable).unwrap_err().kind, ErrorKind::MalformedRequest);
    assert_eq!(Response::from_bytes(&[0, 7, 0, 0, 0, 0, 0, 0, 0, 0]).unwrap_err().kind, ErrorKind::MalformedResponse);
}

#[test]
fn texts_with_missing_or_wrong_fields_are_malformed() {
    for text in ["null", r#"{"type":"received","message":"a"}"#, r#"{"type":"selfAddress"}"#, "{"] {
        assert_eq!(Response::from_json(text).unwrap_err().kind, ErrorKind::MalformedResponse, "{text}");
    }
    for text in [
        r#"{"type":"reply","message":"a","replySurb":"b"}"#,
        r#"{"type":"other"}"#,
        r#"{"message":"a"}"#,
        "\"selfAddress\"",
    ] {
        assert_eq!(Request::from_json(text).unwrap_err().kind, ErrorKind::MalformedRequest, "{text}");
    }
    let with_more = r#"{"more":[],"type":"selfAddress"}"#;
    assert!(matches!(Request::from_json(with_more), Ok(Request::SelfAddress)));
}

proptest! {
    #[test]
    fn any_bytes_are_a_message_that_survives_or_an_error(bytes in prop::collection::vec(prop_oneof![0_u8..4, any::<u8>()], 0..200)) {
        if let Ok(request) = Request::from_bytes(&bytes) {
            prop_assert_eq!(request.to_bytes(), bytes.clone());
        }
        if let Ok(response) = Response::from_bytes(&bytes) {
            prop_assert_eq!(response.to_bytes(), bytes);
        }
    }

    #[test]
    fn any_text_is_parsed(text: String) {
        prop_assert_eq!(Request::from_json(&text).unwrap_err().kind, ErrorKind::MalformedRequest);
        prop_assert_eq!(Response::from_json(&text).unwrap_err().kind, ErrorKind::MalformedResponse);
    }
}

#[test]
fn what_is_printed_shows_only_how_long_a_message_is() {
    let data = b"hello world".to_vec();
    let content = crate::content::Content { data: data.clone(), reply_block: Some(reply_block()) };
    let printed = [
        format!("{content:?}"),
        format!("{:?}", Request::Send { recipient: address(), with_reply_block: true, data: data.clone() }),
        format!("{:?}", Request::Reply { reply_block: reply_block(), data: data.clone() }),
        format!("{:?}", Response::Received { data: data.clone(), reply_block: Some(reply_block()) }),
    ];
    for printed in printed {
        assert!(printed.contains("11 bytes"), "{printed}");
        assert!(!printed.contains("hello") && !printed.contains("104, 101"), "{printed}");
    }
    assert_eq!(format!("{:?}", Response::SelfAddress(address())), "SelfAddress");
}
