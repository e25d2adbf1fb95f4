//! Unwrapping any bytes and any damaged packet gives an outcome, and does not affect a valid packet in the same batch.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nym_mixnode_sphinx::{Engine, Outcome, UnwrapError, decode_next_hop};

const KEY: &[u8; 32] = include_bytes!("../../crates/sphinx/src/self_check/key.bin");
const GOOD: &[u8; 386] = include_bytes!("../../crates/sphinx/src/self_check/before.bin");
const GOOD_AFTER: &[u8; 386] = include_bytes!("../../crates/sphinx/src/self_check/after.bin");

fuzz_target!(|input: (Vec<u8>, Vec<(u16, u8)>)| {
    let (arbitrary, damage) = input;
    if let Some(address) = arbitrary.first_chunk() {
        let is_known_family = matches!(address[0], 4 | 6);
        assert_eq!(decode_next_hop(address).is_ok(), is_known_family);
    }
    let mut damaged = GOOD.to_vec();
    for (at, mask) in damage {
        damaged[usize::from(at) % GOOD.len()] ^= mask;
    }
    let is_header_damaged = damaged[..348] != GOOD[..348];
    let mut batch = [arbitrary, GOOD.to_vec(), damaged];
    let mut outcomes = Vec::new();
    Engine::new(*KEY).unwrap_batch(&mut batch, &mut outcomes, |_| Ok(()));
    assert!(matches!(outcomes[1], Outcome::Forward { .. }) && batch[1] == GOOD_AFTER);
    match outcomes[2] {
        Outcome::Drop(UnwrapError::BadMac | UnwrapError::LowOrderPoint) => assert!(is_header_damaged),
        // X25519 ignores the highest bit of α.
        outcome => assert!(!is_header_damaged || outcome == outcomes[1], "{outcome:?}"),
    }
});
