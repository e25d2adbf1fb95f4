//! What somebody on a link, or a client, can do with packets: tag them, strip their delay, replay them.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use nym_mixnode_sphinx::{HEADER_LEN, PacketSize};
use nym_mixnode_wire::{FrameHeader, Framing, PacketMode};
use rand::RngExt;
use sphinx_packet::crypto::PrivateKey;
use sphinx_packet::header::delays::Delay;
use sphinx_packet::packet::builder::SphinxPacketBuilder;
use sphinx_packet::route::{Destination, DestinationAddressBytes};

use super::arena::Arena;
use super::node::{Node, Packet, dropped};
use super::traffic::{Passed, Sink, pass, report};
use crate::packets::hop;
use crate::waiting::eventually;

const NODE: &str = "127.0.0.1:1789";
const SINK: &str = "127.0.0.2:1789";
const REGULAR: FrameHeader = FrameHeader::v0_9(PacketSize::Regular, PacketMode::Mix);
const ACK: FrameHeader = FrameHeader::v0_9(PacketSize::Ack, PacketMode::Mix);
/// Packets come this far apart, which no machine is too slow for.
const PACE: Duration = Duration::from_millis(5);

struct Place {
    arena: Arena,
    node: Node,
    sink: Sink,
}

impl Place {
    fn new(role: &str, flags: &[&str]) -> Self {
        let arena = Arena::new(role);
        let sink = Sink::start(&arena, SINK);
        let node = Node::start(&arena, NODE, flags);
        Self { arena, node, sink }
    }

    fn packets(&self, count: usize, header: FrameHeader, delay: Duration) -> Vec<Packet> {
        (0..count).map(|_| self.node.packet(self.sink.address, delay, header)).collect()
    }

    fn pass(&self, packets: &[Packet]) -> Passed {
        pass(&self.arena, &self.node, &self.sink, packets, PACE)
    }

    /// The node was not harmed: it stops in order.
    fn end(mut self) {
        self.node.server.stop();
    }

    /// As fast as the node takes them.
    fn flood(&self, packets: &[Packet]) -> Passed {
        pass(&self.arena, &self.node, &self.sink, packets, Duration::ZERO)
    }
}

/// Every header that a frame of this size can have, but for the plain one.
fn tags(size: PacketSize) -> Vec<FrameHeader> {
    let rotations = |framing| if framing == Framing::V2025_12 { 0..3 } else { 0..1 };
    let of_mode = |mode| {
        Framing::ALL.into_iter().flat_map(move |framing| {
            rotations(framing).map(move |key_rotation| FrameHeader { framing, size, mode, key_rotation })
        })
    };
    let all = [PacketMode::Mix, PacketMode::Vpn].into_iter().flat_map(of_mode);
    all.filter(|header| *header != FrameHeader::v0_9(size, PacketMode::Mix)).collect()
}

fn headers(passed: &Passed) -> BTreeSet<Vec<u8>> {
    passed.arrivals.iter().map(|arrival| arrival.header.clone()).collect()
}

/// A1: somebody on a link marks packets in their frame header, and looks for the mark behind the node.
#[test]
fn a_tagged_packet_is_not_recognised_behind_the_node() {
    let place = Place::new("tag", &[]);
    for (plain, size) in [(REGULAR, PacketSize::Regular), (ACK, PacketSize::Ack)] {
        let delay = Duration::from_millis(50);
        let control = place.pass(&place.packets(200, plain, delay));
        let mut packets = place.packets(200, plain, delay);
        let tagged: Vec<_> = tags(size).into_iter().cycle().take(50).collect();
        let mut rng = rand::rng();
        let mut marked = BTreeSet::new();
        for tag in tagged {
            let at = rng.random_range(0..packets.len());
            let mut frame = Vec::new();
            tag.encode(&mut frame);
            frame.extend(&packets[at].frame[packets[at].frame.len() - size.packet_len()..]);
            packets[at].frame = frame;
            marked.insert(at);
        }
        let attacked = place.pass(&packets);
        report(&format!("A1, {} of 200 {size:?} packets tagged", marked.len()), &control, &attacked);
        control.assert_whole("without tags");
        attacked.assert_whole("with tags");
        attacked.assert_memory_like(&control);
        assert_eq!(headers(&control), [vec![size as u8, 0]].into());
        assert_eq!(headers(&attacked), headers(&control), "a mark shows behind the node");
    }
    place.end();
}

/// A1, what remains and what does not: a size that the node does not mix goes no further.
#[test]
fn a_packet_that_is_relabelled_to_a_size_that_the_node_does_not_mix_goes_no_further() {
    let place = Place::new("size", &[]);
    let control = place.pass(&place.packets(100, REGULAR, Duration::ZERO));
    let before = place.node.received();
    // An attacker pads each to the larger size, on connections of its own.
    let sizes = [PacketSize::Extended8, PacketSize::Extended16, PacketSize::Extended32];
    let relabelled: Vec<_> = place
        .packets(30, REGULAR, Duration::ZERO)
        .into_iter()
        .zip(sizes.into_iter().cycle())
        .map(|(packet, size)| {
            let mut frame = Vec::new();
            FrameHeader { size, ..REGULAR }.encode(&mut frame);
            frame.extend(&packet.frame[2..]);
            frame.resize(2 + size.packet_len(), 0);
            Packet { frame, ..packet }
        })
        .collect();
    let attack = place.pass(&relabelled);
    let status = place.node.settle(before, relabelled.len());
    assert_eq!((attack.arrived, attack.strange, dropped(&status, "size_refused")), (0, 0, 30), "{status:#}");
    let after = place.pass(&place.packets(100, REGULAR, Duration::ZERO));
    report("A1, honest packets before and after 30 relabelled ones", &control, &after);
    control.assert_whole("before");
    after.assert_whole("after");
    after.assert_memory_like(&control);
    place.end();
}

/// A2: somebody on a link flips the mode, to have packets leave at once.
#[test]
fn a_flipped_mode_strips_no_delay() {
    let place = Place::new("mode", &[]);
    let delay = Duration::from_secs(2);
    let control = place.pass(&place.packets(200, REGULAR, delay));
    let mut packets = place.packets(200, REGULAR, delay);
    for packet in &mut packets {
        packet.frame[1] = PacketMode::Vpn as u8;
    }
    let attacked = place.pass(&packets);
    report("A2, the mode of 200 of 200 packets flipped", &control, &attacked);
    control.assert_whole("in mix mode");
    attacked.assert_whole("in VPN mode");
    attacked.assert_memory_like(&control);
    place.end();
}

/// Packets as 0.9.2 clients in VPN mode send them: one α for all of them, and a delay of 0.
fn vpn_packets(node: &Node, next: SocketAddr, count: usize) -> Vec<Packet> {
    let header = FrameHeader { mode: PacketMode::Vpn, ..REGULAR };
    let secret = PrivateKey::from(rand::rng().random::<[u8; 32]>());
    let route = [node.hop(), hop(next, [9; 32])];
    let destination = Destination::new(DestinationAddressBytes::from_bytes([1; 32]), [2; 16]);
    let delays = [Delay::new_from_nanos(0), Delay::new_from_nanos(0)];
    let build = |_| {
        let packet = SphinxPacketBuilder::new()
            .with_payload_size(PacketSize::Regular.payload_len())
            .with_initial_secret(&secret)
            .build_packet([3; 16], &route, &destination, &delays)
            .unwrap();
        let mut frame = Vec::new();
        header.encode(&mut frame);
        frame.extend(packet.to_bytes());
        node.known(frame, header, Duration::ZERO)
    };
    (0..count).map(build).collect()
}

/// A3: packets of a VPN client pass, and copies of them do not.
#[test]
fn a_thousand_and_one_packets_with_one_alpha_pass_once_each() {
    const COUNT: usize = 1001;
    let place = Place::new("vpn", &[]);
    let control = place.flood(&place.packets(COUNT, REGULAR, Duration::ZERO));
    let packets = vpn_packets(&place.node, place.sink.address, COUNT);
    assert!(packets.iter().all(|packet| packet.frame[2..34] == packets[0].frame[2..34]), "one α");
    let attacked = place.flood(&packets);
    report("A3, 1001 packets with one α", &control, &attacked);
    control.assert_whole("with an α each");
    attacked.assert_whole("with one α");
    attacked.assert_memory_like(&control);

    let copies = place.flood(&packets);
    let status = place.node.settle(place.node.received(), 0);
    assert_eq!((copies.arrivals.len(), dropped(&status, "replay")), (0, COUNT as u64), "{status:#}");
    place.end();
}

/// A packet that ends at the node: cheap to make, since nothing is forwarded.
fn final_packets(node: &Node, count: usize) -> Vec<Packet> {
    let destination = Destination::new(DestinationAddressBytes::from_bytes([1; 32]), [2; 16]);
    let build = |_| {
        let packet = SphinxPacketBuilder::new()
            .with_payload_size(PacketSize::Ack.payload_len())
            .build_packet([3; 16], &[node.hop()], &destination, &[Delay::new_from_nanos(0)])
            .unwrap();
        let mut frame = Vec::new();
        ACK.encode(&mut frame);
        frame.extend(packet.to_bytes());
        // No packet is this one behind the node: none is expected there.
        Packet { forwarded: frame[..HEADER_LEN].to_vec(), frame, delay: Duration::ZERO }
    };
    (0..count).map(build).collect()
}

/// A4: somebody floods the node to push captured packets out of its memory, and sends them again.
#[test]
fn cheap_packets_do_not_push_others_out_of_the_replay_filter() {
    // Generations of 1 500 packets: a window that this test can fill six times over.
    const PER_GENERATION: usize = 1_500;
    let flags = ["--replay-window", "30s", "--replay-expected-rate", "100", "--http-listen", "127.0.0.1:8000"];
    let place = Place::new("replay", &flags);
    let began = Instant::now();
    let captured = place.packets(200, REGULAR, Duration::ZERO);
    let control = place.pass(&captured);
    control.assert_whole("the first time");
    let replay = || place.pass(&captured).arrivals.len();
    assert_eq!(replay(), 0, "copies at once");

    let cheap = final_packets(&place.node, 6 * PER_GENERATION);
    let flood = place.flood(&cheap);
    assert_eq!(flood.arrivals.len(), 0);
    assert_eq!(replay(), 0, "copies after a flood of final packets");
    let honest = place.pass(&place.packets(200, REGULAR, Duration::ZERO));
    report("A4, honest packets before and after 9000 final packets, and no copy passed", &control, &honest);
    honest.assert_whole("after the flood");
    honest.assert_memory_like(&control);
    assert!(!place.node.server.log().contains("before its time"), "{}", place.node.server.log());

    // Packets that are forwarded do fill it, faster than expected: the node says that its window is short.
    let valid = place.flood(&place.packets(3 * PER_GENERATION, ACK, Duration::ZERO));
    valid.assert_whole("valid packets");
    let passed_again = replay();
    eprintln!("A4, control: {passed_again} of 200 copies pass after 4500 valid packets, {:?} after", began.elapsed());
    assert_eq!(passed_again, 200, "the control that a full filter forgets");
    let early_ends = eventually("the node tells of the early ends", || {
        let status: serde_json::Value = serde_json::from_str(&place.arena.get("http://127.0.0.1:8000/status")?).ok()?;
        // The first generation may have lasted as long as it should, and a window may end between the other two.
        status["replay"]["early_ends"].as_u64().filter(|count| *count >= 2)
    });
    assert!(place.node.server.log().contains("before its time"), "{}", place.node.server.log());
    let metrics = place.arena.get("http://127.0.0.1:8000/metrics").unwrap();
    assert!(metrics.contains(&format!("mix_replay_early_ends_total {early_ends}\n")), "{metrics}");
    place.end();
}
