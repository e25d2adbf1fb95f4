//! Copies of packets: caught in every mode and place, and never because of packets that are not forwarded.

use std::net::SocketAddr;
use std::time::Duration;

use nym_mixnode_mix::{DropReason, ReplayFilter, ReplayWindow};
use nym_mixnode_sphinx::{Engine, HEADER_LEN, MAC_LEN, Onward, Outcome, PacketSize};

use crate::packets::hop;

const KEY: [u8; 32] = [41; 32];
/// Packets that 0.9.2 clients in VPN mode send with one initial secret.
const VPN_PACKETS: usize = 1001;
const BATCH: usize = 32;

/// Packets that a release of the Sphinx crate derives from one initial secret, all with the same α.
macro_rules! packets_with_one_alpha {
    ($name:ident, $sphinx:ident, $version:expr) => {
        fn $name() -> Vec<Vec<u8>> {
            use $sphinx::crypto::{PrivateKey, PublicKey};
            use $sphinx::header::delays::Delay;
            use $sphinx::packet::builder::SphinxPacketBuilder;
            use $sphinx::route::{Destination, DestinationAddressBytes, Node, NodeAddressBytes};
            use $sphinx::version::Version;

            let node = |number: u8, key: [u8; 32]| {
                let address = nym_mixnode_sphinx::encode_next_hop(([192, 0, 2, number], 1789).into());
                Node::new(NodeAddressBytes::from_bytes(address), PublicKey::from(&PrivateKey::from(key)))
            };
            let route = [node(1, KEY), node(2, [42; 32]), node(3, [43; 32])];
            let delays = [0, 0, 0].map(Delay::new_from_nanos);
            let destination = Destination::new(DestinationAddressBytes::from_bytes([1; 32]), [2; 16]);
            let secret = PrivateKey::from([7; 32]);
            let build = |number: usize| {
                SphinxPacketBuilder::new()
                    .with_version(Version::new($version))
                    .with_payload_size(PacketSize::Ack.payload_len())
                    .with_initial_secret(&secret)
                    .build_packet(number.to_le_bytes().to_vec(), &route, &destination, &delays)
                    .unwrap()
                    .to_bytes()
            };
            (0..VPN_PACKETS).map(build).collect()
        }
    };
}

packets_with_one_alpha!(packets_of_0_8, sphinx_packet, 260);
packets_with_one_alpha!(packets_of_0_6, sphinx_packet_legacy, 257);

/// An engine and the filter that decides about what it would forward.
fn engine(window: ReplayWindow) -> (Engine, ReplayFilter) {
    (Engine::new(KEY), ReplayFilter::new(window).unwrap())
}

fn roomy() -> ReplayWindow {
    ReplayWindow { length: Duration::from_secs(600), expected_rate: 9000 }
}

fn outcomes((engine, filter): &mut (Engine, ReplayFilter), packets: &[Vec<u8>]) -> Vec<Outcome<DropReason>> {
    let admit = |onward: &Onward| if filter.insert(&onward.replay_key) { Ok(()) } else { Err(DropReason::Replay) };
    let mut all = Vec::new();
    for batch in packets.chunks(BATCH) {
        let (mut batch, mut outcomes) = (batch.to_vec(), Vec::new());
        engine.unwrap_batch(&mut batch, &mut outcomes, admit);
        all.extend(outcomes);
    }
    all
}

fn forwarded(outcomes: &[Outcome<DropReason>]) -> usize {
    outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Forward { .. })).count()
}

fn replays(outcomes: &[Outcome<DropReason>]) -> usize {
    outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Drop(DropReason::Replay))).count()
}

#[test]
fn packets_with_one_alpha_pass_once_each_and_their_copies_never() {
    for packets in [packets_of_0_8(), packets_of_0_6()] {
        let alpha = |packet: &Vec<u8>| packet[..32].to_vec();
        let macs: std::collections::BTreeSet<_> = packets.iter().map(|packet| &packet[32..32 + MAC_LEN]).collect();
        assert!(packets.iter().all(|packet| alpha(packet) == alpha(&packets[0])), "one α");
        assert_eq!(macs.len(), VPN_PACKETS, "and a MAC each");
        let mut engine = engine(roomy());
        assert_eq!(forwarded(&outcomes(&mut engine, &packets)), VPN_PACKETS);
        for _ in 0..2 {
            assert_eq!(replays(&outcomes(&mut engine, &packets)), VPN_PACKETS);
        }
    }
}

#[test]
fn a_copy_in_the_same_batch_is_a_replay() {
    let packets: Vec<_> = packets_of_0_8().into_iter().take(8).collect();
    let twice: Vec<_> = packets.iter().flat_map(|packet| [packet.clone(), packet.clone()]).collect();
    let outcomes = outcomes(&mut engine(roomy()), &twice);
    for pair in outcomes.as_chunks::<2>().0 {
        assert!(matches!(pair, [Outcome::Forward { .. }, Outcome::Drop(DropReason::Replay)]), "{pair:?}");
    }
}

/// What a link can change of a packet that is still authentic: the unused bit of α, and all of the payload.
#[test]
fn a_copy_that_is_changed_where_nothing_is_authenticated_is_a_replay() {
    let mut engine = engine(roomy());
    let packet = packets_of_0_8().swap_remove(0);
    let mut high_bit = packet.clone();
    high_bit[31] ^= 0x80;
    let mut payload = packet.clone();
    payload[HEADER_LEN..].fill(0);
    let longer = [packet.clone(), vec![0; PacketSize::Regular.packet_len() - packet.len()]].concat();
    assert_eq!(forwarded(&outcomes(&mut engine, &[packet])), 1);
    assert_eq!(replays(&outcomes(&mut engine, &[high_bit, payload, longer])), 3);
}

/// Room for few packets, so that a test can fill it: 50 in each generation.
fn narrow() -> ReplayWindow {
    ReplayWindow { length: Duration::from_secs(1), expected_rate: 100 }
}

/// A packet that ends at the node, which costs its sender nothing but bandwidth.
fn final_packet() -> Vec<u8> {
    use sphinx_packet::crypto::{PrivateKey, PublicKey};
    use sphinx_packet::header::delays::Delay;
    use sphinx_packet::route::{Destination, DestinationAddressBytes};
    let address: SocketAddr = ([192, 0, 2, 1], 1789).into();
    let node = hop(address, *PublicKey::from(&PrivateKey::from(KEY)).as_bytes());
    let destination = Destination::new(DestinationAddressBytes::from_bytes([1; 32]), [2; 16]);
    sphinx_packet::packet::builder::SphinxPacketBuilder::new()
        .with_payload_size(PacketSize::Ack.payload_len())
        .build_packet([3; 16], &[node], &destination, &[Delay::new_from_nanos(0)])
        .unwrap()
        .to_bytes()
}

#[test]
fn packets_that_are_not_forwarded_take_no_place() {
    let mut packets = packets_of_0_8();
    let captured = packets.split_off(VPN_PACKETS - 1);
    let mut engine = engine(narrow());
    assert_eq!(forwarded(&outcomes(&mut engine, &captured)), 1);

    // Each of these kinds would fill the filter six times over.
    let ended: Vec<_> = (0..packets.len()).map(|_| final_packet()).collect();
    assert_eq!((forwarded(&outcomes(&mut engine, &ended)), replays(&outcomes(&mut engine, &ended))), (0, 0));
    let forged: Vec<_> = packets
        .iter()
        .cloned()
        .map(|mut packet| {
            packet[40] ^= 1;
            packet
        })
        .collect();
    assert_eq!(forwarded(&outcomes(&mut engine, &forged)), 0);
    for reason in [DropReason::NextHopRefused, DropReason::DelayTooLong] {
        for batch in packets.chunks(BATCH) {
            let (mut batch, mut outcomes) = (batch.to_vec(), Vec::new());
            engine.0.unwrap_batch(&mut batch, &mut outcomes, |_| Err(reason));
            assert!(outcomes.iter().all(|outcome| *outcome == Outcome::Drop(reason)), "{outcomes:?}");
        }
    }
    assert_eq!(replays(&outcomes(&mut engine, &captured)), 1, "still remembered");

    // The same packets once admitted do fill it: the control that this test can fail.
    assert_eq!(forwarded(&outcomes(&mut engine, &packets)), packets.len());
    assert_eq!(forwarded(&outcomes(&mut engine, &captured)), 1, "forgotten");
}
