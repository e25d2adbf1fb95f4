//! Compares the engine with the sphinx-packet crate on random packets, intact and damaged.
//!
//! The oracle of versions 258 – 260 is its current release. For 257 it is 0.6, the last release that blinds
//! that version without clamping, as the one that introduced it did; 0.8 clamps whatever the version says.

use nym_mixnode_sphinx::{Engine, EngineKind, HEADER_LEN, Outcome, PacketSize, UnwrapError, encode_next_hop};
use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};

const PACKETS_PER_VERSION: usize = 2600;

/// Result of unwrapping a packet.
#[derive(Debug, PartialEq)]
enum Processed {
    Forward { address: [u8; 32], delay_ns: u64, packet: Vec<u8> },
    Final { destination: [u8; 32], identifier: [u8; 16], payload: Vec<u8> },
    Refused,
}

/// The same two functions over two releases of the crate, whose types differ and whose names do not.
macro_rules! oracle {
    ($name:ident, $sphinx:ident) => {
        mod $name {
            use $sphinx::crypto::{PrivateKey, PublicKey};
            use $sphinx::header::delays::Delay;
            use $sphinx::packet::builder::SphinxPacketBuilder;
            use $sphinx::route::{Destination, DestinationAddressBytes, Node, NodeAddressBytes};
            use $sphinx::version::Version;
            use $sphinx::{ProcessedPacketData, SphinxPacket};

            use super::{PacketSize, Processed, Rng, RngExt, StdRng};

            pub(super) fn build(rng: &mut StdRng, version: u16, first_key: [u8; 32], size: PacketSize) -> Vec<u8> {
                let hops = rng.random_range(1..=5);
                let route: Vec<_> = (0..hops)
                    .map(|hop| {
                        let key = if hop == 0 { first_key } else { rng.random() };
                        let public = PublicKey::from(&PrivateKey::from(key));
                        let ip: [u8; 4] = rng.random();
                        let address = super::encode_next_hop((ip, rng.random()).into());
                        Node::new(NodeAddressBytes::from_bytes(address), public)
                    })
                    .collect();
                let delays: Vec<_> = (0..hops).map(|_| Delay::new_from_nanos(rng.random())).collect();
                let destination = Destination::new(DestinationAddressBytes::from_bytes(rng.random()), rng.random());
                let mut message = vec![0; rng.random_range(0..=size.plaintext_len())];
                rng.fill_bytes(&mut message);
                SphinxPacketBuilder::new()
                    .with_version(Version::new(version))
                    .with_payload_size(size.payload_len())
                    .with_initial_secret(&PrivateKey::from(rng.random::<[u8; 32]>()))
                    .build_packet(message, &route, &destination, &delays)
                    .unwrap()
                    .to_bytes()
            }

            pub(super) fn process(packet: &[u8], key: [u8; 32]) -> Processed {
                let key = PrivateKey::from(key);
                let Ok(processed) = SphinxPacket::from_bytes(packet).unwrap().process(&key) else {
                    return Processed::Refused;
                };
                match processed.data {
                    ProcessedPacketData::ForwardHop { next_hop_packet, next_hop_address, delay } => {
                        Processed::Forward {
                            address: next_hop_address.to_bytes(),
                            delay_ns: delay.to_nanos(),
                            packet: next_hop_packet.to_bytes(),
                        }
                    }
                    ProcessedPacketData::FinalHop { destination, identifier, payload } => Processed::Final {
                        destination: destination.as_bytes(),
                        identifier,
                        payload: payload.into_bytes(),
                    },
                }
            }
        }
    };
}

oracle!(sphinx_0_8, sphinx_packet);
oracle!(sphinx_0_6, sphinx_packet_legacy);

fn process_with_engine(engine: &mut Engine, packets: &mut [Vec<u8>]) -> Vec<Processed> {
    let mut outcomes = Vec::new();
    engine.unwrap_batch(packets, &mut outcomes, |_| Ok::<_, UnwrapError>(()));
    let processed = |(packet, outcome): (&mut Vec<u8>, Outcome<UnwrapError>)| match outcome {
        Outcome::Forward { next_hop, delay } => Processed::Forward {
            address: encode_next_hop(next_hop),
            delay_ns: delay.as_nanos().try_into().unwrap(),
            packet: packet.clone(),
        },
        Outcome::Final { destination, identifier, .. } => {
            Processed::Final { destination, identifier, payload: packet[HEADER_LEN..].to_vec() }
        }
        Outcome::Drop(_) => Processed::Refused,
    };
    packets.iter_mut().zip(outcomes).map(processed).collect()
}

fn check_version(
    version: u16,
    build: fn(&mut StdRng, u16, [u8; 32], PacketSize) -> Vec<u8>,
    process: fn(&[u8], [u8; 32]) -> Processed,
) {
    let mut rng = StdRng::seed_from_u64(u64::from(version));
    let key: [u8; 32] = rng.random();
    let mut engines: Vec<_> =
        EngineKind::all().into_iter().map(|kind| (kind, Engine::of_kind(kind, Box::new(key)))).collect();
    let mut refused = 0;
    for start in (0..PACKETS_PER_VERSION).step_by(26) {
        let packets: Vec<_> = (start..start + 26)
            .map(|number| {
                // Mostly the small size: it takes the same path in a fraction of the time.
                let size = if number % 8 == 0 { PacketSize::Regular } else { PacketSize::Ack };
                let mut packet = build(&mut rng, version, key, size);
                if number % 2 == 1 {
                    // Half of the damage hits the header, the rest anywhere.
                    let end = if number % 4 == 1 { HEADER_LEN } else { packet.len() };
                    packet[rng.random_range(0..end)] ^= 1 << rng.random_range(0..8);
                }
                packet
            })
            .collect();
        let expected: Vec<_> = packets.iter().map(|packet| process(packet, key)).collect();
        refused += expected.iter().filter(|processed| **processed == Processed::Refused).count();
        for (kind, engine) in &mut engines {
            let found = process_with_engine(engine, &mut packets.clone());
            assert!(found == expected, "packets from {start} of version {version}, engine {kind}");
        }
    }
    assert!(refused > PACKETS_PER_VERSION / 8, "damage was really done: {refused} refused");
}

#[test]
fn packets_of_version_257_give_what_the_crate_gives() {
    check_version(257, sphinx_0_6::build, sphinx_0_6::process);
}

#[test]
fn packets_of_version_258_give_what_the_crate_gives() {
    check_version(258, sphinx_0_8::build, sphinx_0_8::process);
}

#[test]
fn packets_of_version_259_give_what_the_crate_gives() {
    check_version(259, sphinx_0_8::build, sphinx_0_8::process);
}

#[test]
fn packets_of_version_260_give_what_the_crate_gives() {
    check_version(260, sphinx_0_8::build, sphinx_0_8::process);
}
