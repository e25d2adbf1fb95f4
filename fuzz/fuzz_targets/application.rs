//! Any bytes and any text of an application or a client give a message that survives the round trip, or an error.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nym_mixnode_message::address::ClientAddress;
use nym_mixnode_message::application::{Request, Response};
use nym_mixnode_message::key_file::ClientKeyFile;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(request) = Request::from_bytes(bytes) {
        assert_eq!(request.to_bytes(), bytes);
    }
    if let Ok(response) = Response::from_bytes(bytes) {
        assert_eq!(response.to_bytes(), bytes);
    }
    for file in ClientKeyFile::ALL {
        if let Ok(key) = file.decode(bytes) {
            assert_eq!(file.decode(file.encode(&key).as_bytes()), Ok(key));
        }
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(address) = text.parse::<ClientAddress>() {
        assert_eq!(address.to_string(), text);
    }
    if let Ok(request) = Request::from_json(text) {
        let json = request.to_json();
        assert_eq!(Request::from_json(&json).map(|again| again.to_json()).as_ref(), Ok(&json));
    }
    if let Ok(response) = Response::from_json(text) {
        let json = response.to_json();
        assert_eq!(Response::from_json(&json).map(|again| again.to_json()).as_ref(), Ok(&json));
    }
});
