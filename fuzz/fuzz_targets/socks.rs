//! Any bytes between a SOCKS5 client and a requester give a message that survives the round trip, or an error; parts
//! in any order are the stream.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nym_mixnode_message::socks::{OrderedReceiver, Part, SocksRequest, SocksResponse};

fuzz_target!(|input: (&[u8], Vec<u8>)| {
    let (bytes, indices) = input;
    if let Ok(request) = SocksRequest::from_bytes(bytes) {
        assert_eq!(request.to_bytes(), bytes);
    }
    if let Ok(response) = SocksResponse::from_bytes(bytes) {
        assert_eq!(response.to_bytes(), bytes);
    }
    let mut receiver = OrderedReceiver::new(1000);
    let mut expected = 0;
    for index in indices {
        if let Ok(Some(data)) = receiver.insert(Part { index: index.into(), data: vec![index] }) {
            for byte in data {
                assert_eq!(byte, expected);
                expected += 1;
            }
        }
    }
});
