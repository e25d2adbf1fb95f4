//! Any bytes as a packet, and any damage to a good packet, give an outcome; a good one beside them is unharmed.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use nym_mixnode_fuzz::packet::{DropReason, decode_next_hop};
use nym_mixnode_fuzz::unwrap::{Engine, Outcome};

const KEY: &[u8; 32] = include_bytes!("../../src/unwrap/self_check/key.bin");
const GOOD: &[u8; 386] = include_bytes!("../../src/unwrap/self_check/before.bin");
const GOOD_AFTER: &[u8; 386] = include_bytes!("../../src/unwrap/self_check/after.bin");

static ENGINE: LazyLock<Engine> = LazyLock::new(|| Engine::new(KEY));

fuzz_target!(|input: (Vec<u8>, Vec<(u16, u8)>)| {
    let (stranger, damage) = input;
    if let Some(address) = stranger.first_chunk() {
        let is_known_family = matches!(address[0], 4 | 6);
        assert_eq!(decode_next_hop(address).is_ok(), is_known_family);
    }
    let mut damaged = GOOD.to_vec();
    for (at, mask) in damage {
        damaged[usize::from(at) % GOOD.len()] ^= mask;
    }
    let is_header_damaged = damaged[..348] != GOOD[..348];
    let mut batch = [stranger, GOOD.to_vec(), damaged];
    let mut outcomes = Vec::new();
    ENGINE.unwrap_batch(&mut batch, &mut outcomes);
    assert!(matches!(outcomes[1], Outcome::Forward { .. }) && batch[1] == GOOD_AFTER);
    match outcomes[2] {
        Outcome::Drop(DropReason::BadMac | DropReason::LowOrderPoint) => assert!(is_header_damaged),
        // Of α the highest bit is ignored, as X25519 does.
        outcome => assert!(!is_header_damaged || outcome == outcomes[1], "{outcome:?}"),
    }
});
