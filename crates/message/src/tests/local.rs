//! Protocols of applications, SOCKS5 clients and requesters.

use serde_json::Value;

use super::{Case, array, bytes, hex, list, number, text};
use crate::application::{Request, Response};
use crate::reply::ReplyBlock;
use crate::socks::{OrderedReceiver, OrderedSender, Part, SocksError, SocksRequest, SocksResponse, Target};

fn reply_block(value: &Value) -> Option<ReplyBlock> {
    value.as_str().map(|text| ReplyBlock::from_bytes(hex(text).as_slice().try_into().unwrap()).unwrap())
}

pub(super) fn client_request(case: &Case) {
    let input = &case.input;
    let request = if case.name == "selfAddress" {
        Request::SelfAddress
    } else if let Some(reply_block) = reply_block(&input["reply_surb"]) {
        Request::Reply { reply_block, data: bytes(&input["message"]) }
    } else {
        let recipient = text(&input["recipient"]).parse().unwrap();
        let with_reply_block = input["with_reply_surb"].as_bool().unwrap();
        let hi = Request::Send { recipient, with_reply_block, data: b"hi".to_vec() };
        assert_eq!(hi.to_json(), text(&case.out["text_for_the_same_with_message_hi"]));
        Request::Send { recipient, with_reply_block, data: bytes(&input["message"]) }
    };
    assert_eq!(request.to_bytes(), bytes(&case.out["binary"]));
    assert_eq!(Request::from_bytes(&request.to_bytes()).unwrap().to_bytes(), request.to_bytes());
    if let Some(json) = case.out["text"].as_str() {
        assert_eq!(request.to_json(), json);
    }
}

pub(super) fn client_response(case: &Case) {
    let response = if case.name == "error" {
        let message = text(&case.input["message"]).to_owned();
        Response::Error { kind: crate::application::ErrorKind::Other, message }
    } else {
        let reply_block = reply_block(&case.input["reply_surb"]);
        Response::Received { data: bytes(&case.input["message"]), reply_block }
    };
    assert_eq!(response.to_bytes(), bytes(&case.out["binary"]));
    assert_eq!(response.to_json(), text(&case.out["text"]));
    assert_eq!(Response::from_bytes(&response.to_bytes()).unwrap().to_bytes(), response.to_bytes());
}

pub(super) fn client_request_error(case: &Case) {
    if let Some(binary) = case.input["binary"].as_str() {
        let response = Response::from(Request::from_bytes(&hex(binary)).unwrap_err());
        assert_eq!(response.to_bytes(), bytes(&case.out["binary"]));
        return assert_eq!(response.to_json(), text(&case.out["as_text"]));
    }
    let error = Request::from_json(text(&case.input["text"])).unwrap_err();
    let json = Response::from(error).to_json();
    let expected = text(&case.out["text"]);
    if case.wording_free {
        let start = expected.find("malformed request:").unwrap() + "malformed request:".len();
        assert_eq!(json[..start], expected[..start]);
    } else {
        assert_eq!(json, expected);
    }
}

fn part(input: &Value) -> Part {
    Part { index: number(&input["index"]), data: bytes(&input["data"]) }
}

pub(super) fn socks_request(case: &Case) {
    let input = &case.input;
    let connection = number(&input["connection_id"]);
    let request = if let Some(target) = input["remote"].as_str() {
        let return_address = text(&input["return_address"]).parse().unwrap();
        SocksRequest::Connect { connection, target: Target::new(target).unwrap(), return_address }
    } else {
        SocksRequest::Send { connection, is_closed: input["local_closed"].as_bool().unwrap(), part: part(input) }
    };
    assert_eq!(request.to_bytes(), bytes(&case.out["bytes"]));
    assert_eq!(SocksRequest::from_bytes(&request.to_bytes()), Ok(request));
}

pub(super) fn socks_request_error(case: &Case) {
    let error = SocksRequest::from_bytes(&bytes(&case.input["bytes"])).unwrap_err();
    assert_eq!(error.to_string(), text(&case.out["error"]));
}

pub(super) fn socks_response(case: &Case) {
    let input = &case.input;
    let is_closed = input["is_closed"].as_bool().unwrap();
    let response = SocksResponse { connection: number(&input["connection_id"]), is_closed, part: part(input) };
    assert_eq!(response.to_bytes(), bytes(&case.out["bytes"]));
    assert_eq!(SocksResponse::from_bytes(&response.to_bytes()), Ok(response));
}

pub(super) fn socks_response_error(case: &Case) {
    assert_eq!(text(&case.out["error"]), "NoData");
    assert_eq!(SocksResponse::from_bytes(&array::<0>(&case.input["bytes"])), Err(SocksError::Empty));
}

pub(super) fn ordered_buffer(case: &Case) {
    let mut receiver = OrderedReceiver::new(1000);
    let arrival = list(&case.input["arrival"]).iter().map(number);
    for (index, expected) in arrival.zip(list(&case.out["read_after_each"])) {
        let read = receiver.insert(Part { index, data: format!("<{index}>").into_bytes() }).unwrap();
        assert_eq!(read, expected.as_str().map(|text| text.as_bytes().to_vec()));
    }
}

pub(super) fn ordered_sender(case: &Case) {
    let mut sender = OrderedSender::default();
    for (data, expected) in list(&case.input["data"]).iter().zip(list(&case.out["bytes"])) {
        assert_eq!(sender.part(bytes(data)).to_bytes(), bytes(expected));
    }
}
