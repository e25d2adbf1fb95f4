//! Any message is a chunk of a file that survives the round trip, an error, or something else; so are receipts.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nym_mixnode_message::file::{Chunk, Receipt, asked_about, is_about_file, question};

fuzz_target!(|bytes: &[u8]| {
    // Most inputs would not begin like a chunk.
    for message in [bytes.to_vec(), [&b"nymfile\x01"[..], bytes].concat()] {
        match Chunk::decode(&message) {
            Some(Ok(chunk)) => assert_eq!(chunk.encode(), message),
            Some(Err(_)) => assert!(is_about_file(&message)),
            None => assert_eq!(is_about_file(&message), asked_about(&message).is_some()),
        }
    }
    if let Some(transfer) = asked_about(bytes) {
        assert_eq!(question(&transfer), bytes);
    }
    if let Some(receipt) = Receipt::decode(bytes) {
        assert_eq!(receipt.encode(), bytes);
    }
});
