//! Tests that no part of a received frame header is visible behind the node: for every value of each of its bytes, the
//! node sends the same frame as for the unchanged header, or none.
//!
//! An attacker on the link can still make one visible change, because Sphinx authenticates the header of a packet and
//! not its length: cut or pad a packet of one accepted size to another one. docs/threat-model.md describes this, and
//! these tests verify that nothing else is possible.

use std::cell::RefCell;
use std::rc::Rc;

use nym_mixnode_api::testing;
use nym_mixnode_keys::SphinxKeyPair;
use nym_mixnode_link::Alarm;
use nym_mixnode_link::listener::Intake;
use nym_mixnode_mix::{ReplayWindow, Scheduled};
use nym_mixnode_sphinx::{HEADER_LEN, PacketSize, PacketSizes, encode_next_hop};
use nym_mixnode_wire::{FrameHeader, Framing, MAX_FRAME_LEN, PacketMode};
use sphinx_packet::SphinxPacketBuilder;
use sphinx_packet::header::delays::Delay;
use sphinx_packet::route::{Destination, DestinationAddressBytes, Node as Hop, NodeAddressBytes};
use tokio::runtime::Builder;
use tokio::task::LocalSet;

use super::*;

/// The framings, with the version of a next hop that uses each.
const VERSIONS: [(Framing, &str); 3] =
    [(Framing::V0_9, "0.9.2"), (Framing::V1_1, "1.1.9"), (Framing::V2025_12, "2025.12")];

/// A node without sockets that turns byte streams into outgoing frames.
struct Bench {
    keys: SphinxKeyPair,
    sizes: PacketSizes,
}

impl Bench {
    fn new(sizes: &[PacketSize]) -> Self {
        Self { keys: SphinxKeyPair::generate().unwrap(), sizes: sizes.iter().copied().collect() }
    }

    /// The outgoing frames for each of these streams, one stream after another.
    fn pass(&self, streams: Vec<Vec<u8>>) -> Vec<Vec<Vec<u8>>> {
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let passed = Rc::new(RefCell::new(Vec::new()));
        LocalSet::new().block_on(&runtime, self.run(streams, Rc::clone(&passed)));
        passed.take()
    }

    async fn run(&self, streams: Vec<Vec<u8>>, passed: Rc<RefCell<Vec<Vec<Vec<u8>>>>>) {
        let window = ReplayWindow { length: Duration::from_secs(10), expected_rate: 100 };
        let limits = ConnectionLimits::new(1, 1);
        let policy = Policy::new(Rule::Topology);
        let keys =
            KeyRing::new(self.keys.secret().clone(), EngineKind::fastest(), window, Instant::now().into_std()).unwrap();
        let shared = Shared::new(1, 1 << 20, limits, policy, Reach::Machine, keys);
        shared.allow(&topology());
        let (_control, phase) = phases();
        let settings = || Settings {
            rules: Rules { sizes: self.sizes, ..worker_settings(&config()).rules },
            ..worker_settings(&config())
        };
        let (_, workers) = WorkerChannels::new(1).into_workers(settings, &shared, &phase);
        let left = Rc::new(RefCell::new(Vec::new()));
        for worker in workers {
            let (out, left, shared) = (Rc::clone(&passed), Rc::clone(&left), Arc::clone(&shared));
            let streams = streams.clone();
            let release = |due: &mut dyn Iterator<Item = Scheduled>| {
                left.borrow_mut().extend(due.map(|scheduled| scheduled.packet.frame().to_vec()));
            };
            let arrive = async |_, intake: Intake, _| {
                let admitted = shared.connections.admit([127, 0, 0, 1].into()).unwrap();
                let share = intake.share(&admitted);
                for stream in streams {
                    let mut received = Vec::new();
                    // A framing error closes the connection. The packets before it are passed on.
                    intake.receive(&share, &mut intake.connection(), &stream, &mut received).ok();
                    assert!(intake.hand_over(received).await);
                    while shared.buffers.packets_in_flight() > 0 {
                        sleep(Duration::from_millis(1)).await;
                    }
                    // The test sends one packet repeatedly, so the filter must forget it.
                    for _ in 0..3 {
                        shared.keys.rotate_replay_filter();
                    }
                    out.borrow_mut().push(left.take());
                }
            };
            worker.mix(arrive, release, Alarm::coarse).await;
        }
    }

    /// A packet of this size to the next hop with this framing.
    fn packet(&self, size: PacketSize, next: Framing) -> Vec<u8> {
        let hop = |address, key: [u8; 32]| Hop::new(NodeAddressBytes::from_bytes(encode_next_hop(address)), key.into());
        let route = [hop(next_hop(next), *self.keys.public()), hop(next_hop(next), [9; 32])];
        let destination = Destination::new(DestinationAddressBytes::from_bytes([1; 32]), [2; 16]);
        let delays = [Delay::new_from_nanos(0), Delay::new_from_nanos(0)];
        let builder = SphinxPacketBuilder::new().with_payload_size(size.payload_len());
        builder.build_packet([3; 16], &route, &destination, &delays).unwrap().to_bytes()
    }
}

fn config() -> Config {
    let mut values = nym_mixnode_config::Values::default();
    let mut set = |about, text: &str| values.set(about, text, &nym_mixnode_config::Source::Program);
    set(&nym_mixnode_config::settings::NODE_ID.about, "under-test");
    set(&nym_mixnode_config::settings::NODE_LAYER.about, "1");
    set(&nym_mixnode_config::settings::LISTEN_ADDRESSES.about, "192.0.2.99");
    set(&nym_mixnode_config::settings::ANNOUNCE_ALLOW_PRIVATE.about, "true");
    Config::from_values(&values).unwrap()
}

fn next_hop(framing: Framing) -> SocketAddr {
    ([192, 0, 2, 1 + framing as u8], 1789).into()
}

fn topology() -> Topology {
    let mix = |(framing, version): (Framing, &str)| {
        let mix = testing::mix(version, next_hop(framing).to_string());
        testing::listed(MixRegistration { version: version.to_owned(), layer: 2, ..mix })
    };
    Topology { mix_nodes: VERSIONS.into_iter().map(mix).collect(), ..Topology::default() }
}

/// The packet with every frame header that differs from `header` in one byte, followed by padding, so that a header
/// with a larger size has enough bytes.
fn variants(header: FrameHeader, packet: &[u8]) -> Vec<Vec<u8>> {
    let mut frame = Vec::new();
    header.encode(&mut frame);
    frame.extend(packet);
    frame.resize(frame.len() + MAX_FRAME_LEN, 0xff);
    let mut variants = Vec::new();
    for at in 0..header.framing.header_len() {
        for value in 0..=u8::MAX {
            let mut variant = frame.clone();
            variant[at] = value;
            variants.push(variant);
        }
    }
    variants
}

fn encoded(header: FrameHeader) -> Vec<u8> {
    let mut bytes = Vec::new();
    header.encode(&mut bytes);
    bytes
}

/// Passes every variant of a frame, and returns the sizes of outgoing packets that differ from the packet's size.
fn other_sizes(bench: &Bench, size: PacketSize, arriving: Framing, next: Framing) -> Vec<PacketSize> {
    let packet = bench.packet(size, next);
    let header = FrameHeader { framing: arriving, size, mode: PacketMode::Mix, key_rotation: 0 };
    let [unchanged] = &bench.pass(vec![[encoded(header), packet.clone()].concat()])[..] else { unreachable!() };
    let [expected] = &unchanged[..] else { panic!("{size:?} by {arriving:?} to {next:?}: {} frames", unchanged.len()) };
    assert_eq!(expected[..next.header_len()], encoded(FrameHeader::outgoing(next, size)));

    let (mut same, mut others) = (0, Vec::new());
    let passed = bench.pass(variants(header, &packet));
    assert_eq!(passed.len(), arriving.header_len() * 256);
    for frames in &passed {
        match &frames[..] {
            [] => {}
            [frame] if frame == expected => same += 1,
            [frame] => others.push(size_of_a_cut(frame, expected, next)),
            more => panic!("{} frames of one", more.len()),
        }
    }
    assert!(same > arriving.header_len(), "the unchanged header for each byte, and the other mode: {same}");
    others.sort_by_key(|size| *size as u8);
    others
}

/// The size of a frame that differs from `whole` only in its length. Any other difference is a tag.
fn size_of_a_cut(frame: &[u8], whole: &[u8], next: Framing) -> PacketSize {
    let (head, packet) = frame.split_at(next.header_len());
    let size = PacketSize::from_packet_len(packet.len()).expect("the length of a packet");
    assert_eq!(head, encoded(FrameHeader::outgoing(next, size)), "a header that depends only on the size");
    assert_eq!(packet[..HEADER_LEN], whole[next.header_len()..][..HEADER_LEN]);
    size
}

#[test]
fn no_byte_of_a_frame_header_is_visible_behind_the_node() {
    for size in PacketSize::ALL {
        let bench = Bench::new(&[size]);
        for arriving in Framing::ALL {
            for (next, _) in VERSIONS.into_iter().filter(|(next, _)| next.has(size)) {
                assert_eq!(other_sizes(&bench, size, arriving, next), [], "{size:?} by {arriving:?} to {next:?}");
            }
        }
    }
}

#[test]
fn with_the_default_sizes_a_regular_packet_can_be_cut_to_an_ack_and_no_more() {
    let bench = Bench::new(&[PacketSize::Regular, PacketSize::Ack]);
    for arriving in Framing::ALL {
        let others = |size| other_sizes(&bench, size, arriving, Framing::V0_9);
        assert_eq!(others(PacketSize::Regular), [PacketSize::Ack]);
        assert_eq!(others(PacketSize::Ack), [PacketSize::Regular]);
    }
}

#[test]
fn a_size_unknown_to_the_next_hop_is_dropped_in_every_framing() {
    let bench = Bench::new(&PacketSize::ALL);
    for size in [PacketSize::Extended8, PacketSize::Extended16] {
        let packet = bench.packet(size, Framing::V0_9);
        let header = |framing| FrameHeader { framing, size, mode: PacketMode::Mix, key_rotation: 0 };
        let frames = Framing::ALL.map(|framing| [encoded(header(framing)), packet.clone()].concat());
        assert_eq!(bench.pass(frames.into()), vec![Vec::<Vec<u8>>::new(); 3]);
    }
}
