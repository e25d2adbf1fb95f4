//! All engines that this CPU can run give the same outcomes and bytes for any batch of packets, damaged or not.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nym_mixnode_sphinx::{Engine, EngineKind, Outcome, UnwrapError};

const KEY: &[u8; 32] = include_bytes!("../../crates/sphinx/src/self_check/key.bin");
const ACK: &[u8] = include_bytes!("../../crates/sphinx/src/self_check/before.bin");
const REGULAR: &[u8] = include_bytes!("../../crates/sphinx/src/self_check/regular_before.bin");

/// A packet of the batch: a known one with damage, or any bytes.
fn packet((is_regular, damage, arbitrary): (bool, Vec<(u16, u8)>, Option<Vec<u8>>)) -> Vec<u8> {
    let mut packet = arbitrary.unwrap_or_else(|| if is_regular { REGULAR } else { ACK }.to_vec());
    for (at, mask) in damage {
        let len = packet.len().max(1);
        if let Some(byte) = packet.get_mut(usize::from(at) % len) {
            *byte ^= mask;
        }
    }
    packet
}

fn unwrap(kind: EngineKind, packets: &[Vec<u8>]) -> (Vec<Outcome<UnwrapError>>, Vec<Vec<u8>>) {
    let (mut batch, mut outcomes) = (packets.to_vec(), Vec::new());
    Engine::of_kind(kind, Box::new(*KEY)).unwrap_batch(&mut batch, &mut outcomes, |_| Ok(()));
    for (packet, outcome) in batch.iter_mut().zip(&outcomes) {
        // Its contents are unspecified.
        if matches!(outcome, Outcome::Drop(_)) {
            packet.clear();
        }
    }
    (outcomes, batch)
}

fuzz_target!(|inputs: Vec<(bool, Vec<(u16, u8)>, Option<Vec<u8>>)>| {
    let packets: Vec<_> = inputs.into_iter().take(65).map(packet).collect();
    let expected = unwrap(EngineKind::PORTABLE, &packets);
    for kind in EngineKind::all() {
        assert!(unwrap(kind, &packets) == expected, "{kind}");
    }
});
