use proptest::prelude::*;

use super::*;

fn address() -> ClientAddress {
    let point = |seed| curve25519_dalek::EdwardsPoint::mul_base_clamped([seed; 32]).compress().to_bytes();
    ClientAddress::new(point(1), [9; 32], point(2)).unwrap()
}

#[test]
fn cut_messages_and_messages_with_more_are_errors() {
    let connect =
        SocksRequest::Connect { connection: 5, target: Target::new("a.b:1").unwrap(), return_address: address() };
    let bytes = connect.to_bytes();
    assert_eq!(SocksRequest::from_bytes(&bytes), Ok(connect));
    let error = |bytes: &[u8]| SocksRequest::from_bytes(bytes).unwrap_err();
    assert_eq!(error(&[]), SocksError::Empty);
    assert_eq!(error(&[2]), SocksError::UnknownRequest(2));
    assert_eq!(error(&bytes[..8]), SocksError::Connection);
    assert_eq!(error(&bytes[..10]), SocksError::TargetLen);
    assert_eq!(error(&bytes[..15]), SocksError::Target);
    assert_eq!(error(&bytes[..bytes.len() - 1]), SocksError::ReturnAddress(AddressError::Form));
    assert_eq!(error(&[&bytes[..], &[0]].concat()), SocksError::ReturnAddress(AddressError::Form));
    assert_eq!(Target::new(&"a".repeat(65_536)), Err(SocksError::TargetTooLong(65_536)));
    // A message of nine bytes ends the requester of 0.9.2.
    assert_eq!(error(&[1, 0, 0, 0, 0, 0, 0, 0, 0]), SocksError::Index);
    assert_eq!(error(&[1, 0, 0, 0, 0, 0, 0, 0, 0, 2]), SocksError::Flag(2));
    assert_eq!(error(&[&[1][..], &[0; 16]].concat()), SocksError::Index);
    assert_eq!(SocksResponse::from_bytes(&[7]), Err(SocksError::Flag(7)));
    assert_eq!(SocksResponse::from_bytes(&[1; 16]), Err(SocksError::Index));
}

#[test]
fn what_arrives_too_early_is_bounded() {
    let mut receiver = OrderedReceiver::new(1000);
    let part = |index, len| Part { index, data: vec![0; len] };
    assert_eq!(receiver.insert(part(2, 900)), Ok(None));
    assert_eq!(receiver.insert(part(2, 900)), Ok(None));
    assert_eq!(receiver.insert(part(3, 0)), Err(OutOfOrder { missing: 0, bytes_max: 1000 }));
    assert_eq!(receiver.insert(part(0, 5000)).unwrap().unwrap().len(), 5000);
    assert_eq!(receiver.insert(part(1, 1)).unwrap().unwrap().len(), 901);
    assert_eq!(receiver.insert(part(1, 1)), Ok(None));
    assert_eq!(receiver.insert(part(4, 900)), Ok(None));
}

proptest! {
    #[test]
    fn messages_survive_the_round_trip(connection: u64, is_closed: bool, index: u64, data: Vec<u8>, target in ".{0,80}") {
        let part = Part { index, data };
        let send = SocksRequest::Send { connection, is_closed, part: part.clone() };
        let target = Target::new(&target).unwrap();
        let connect = SocksRequest::Connect { connection, target, return_address: address() };
        for request in [send, connect] {
            prop_assert_eq!(SocksRequest::from_bytes(&request.to_bytes()), Ok(request));
        }
        let response = SocksResponse { connection, is_closed, part };
        prop_assert_eq!(SocksResponse::from_bytes(&response.to_bytes()), Ok(response));
    }

    #[test]
    fn any_bytes_are_a_message_that_survives_or_an_error(bytes in prop::collection::vec(prop_oneof![0_u8..3, any::<u8>()], 0..160)) {
        if let Ok(request) = SocksRequest::from_bytes(&bytes) {
            prop_assert_eq!(request.to_bytes(), bytes.clone());
        }
        if let Ok(response) = SocksResponse::from_bytes(&bytes) {
            prop_assert_eq!(response.to_bytes(), bytes);
        }
    }

    #[test]
    fn parts_in_any_order_are_the_stream(order in Just((0..20_u8).collect::<Vec<_>>()).prop_shuffle()) {
        let mut sender = OrderedSender::default();
        let parts: Vec<Part> = (0..20).map(|n| sender.part(vec![n; 3])).collect();
        let mut receiver = OrderedReceiver::new(10_000);
        let read: Vec<u8> = order.iter()
            .filter_map(|n| receiver.insert(parts[usize::from(*n)].clone()).unwrap())
            .flatten()
            .collect();
        let expected: Vec<u8> = (0..20).flat_map(|n| [n; 3]).collect();
        prop_assert_eq!(read, expected);
    }
}
