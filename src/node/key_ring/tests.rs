use std::time::Duration;

use nym_mixnode_keys::SphinxKeyPair;
use nym_mixnode_sphinx::{EngineKind, Hop, PacketSize, build};

use super::*;

const WINDOW: ReplayWindow = ReplayWindow { length: Duration::from_secs(10), expected_rate: 100 };

/// A ring, and a packet that it forwards.
fn ring_and_packet() -> (KeyRing, Vec<u8>) {
    let pair = SphinxKeyPair::generate().unwrap();
    let hop = |number: u8, sphinx_key| Hop { address: ([192, 0, 2, number], 1789).into(), sphinx_key };
    let route = [hop(1, *pair.public()), hop(2, *SphinxKeyPair::generate().unwrap().public())];
    let packet = build(PacketSize::Ack, b"hello", &route, &[Duration::ZERO; 2]).unwrap();
    (KeyRing::new(pair.secret().clone(), EngineKind::fastest(), WINDOW, Instant::now()).unwrap(), packet)
}

fn outcome(
    engine: &mut KeyEngine,
    packet: &[u8],
    check: impl Fn(&Onward) -> Result<(), DropReason>,
) -> Outcome<DropReason> {
    let mut outcomes = Vec::new();
    engine.unwrap_batch(&mut [packet.to_vec()], &mut outcomes, check);
    outcomes.remove(0)
}

#[test]
fn engines_of_one_key_share_its_replay_filter() {
    let (ring, packet) = ring_and_packet();
    let (mut first, mut second) = (ring.engine(), ring.engine());
    assert!(matches!(outcome(&mut first, &packet, |_| Ok(())), Outcome::Forward { .. }));
    for engine in [&mut first, &mut second] {
        assert_eq!(outcome(engine, &packet, |_| Ok(())), Outcome::Drop(DropReason::Replay));
    }
}

#[test]
fn a_packet_that_is_not_forwarded_takes_no_place_in_the_filter() {
    let (ring, packet) = ring_and_packet();
    let mut engine = ring.engine();
    let refused = outcome(&mut engine, &packet, |_| Err(DropReason::NextHopRefused));
    assert_eq!(refused, Outcome::Drop(DropReason::NextHopRefused));
    assert!(matches!(outcome(&mut engine, &packet, |_| Ok(())), Outcome::Forward { .. }));
}

#[test]
fn a_key_forgets_replay_keys_by_its_age() {
    let (ring, packet) = ring_and_packet();
    let (mut engine, mut age, begun) = (ring.engine(), ring.aging(), Instant::now());
    assert!(matches!(outcome(&mut engine, &packet, |_| Ok(())), Outcome::Forward { .. }));
    age(begun + Duration::from_secs(60));
    assert_eq!(outcome(&mut engine, &packet, |_| Ok(())), Outcome::Drop(DropReason::Replay));
    for hours in 1..=3 {
        age(begun + Duration::from_secs(hours * 3600));
    }
    assert!(matches!(outcome(&mut engine, &packet, |_| Ok(())), Outcome::Forward { .. }));
    assert_eq!(ring.replay_early_ends(), 0);
}
