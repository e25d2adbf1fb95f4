//! One place sends more than its share, and others are served nevertheless.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nym_mixnode_sphinx::PacketSize;
use nym_mixnode_wire::{FrameHeader, PacketMode};

use super::arena::Arena;
use super::node::{Node, dropped};
use super::traffic::{Sink, honest, pass_beside, report};
use crate::packets::packet_via;
use crate::waiting::pause;

const NODE: &str = "127.0.0.1:1789";
const SINK: &str = "127.0.0.2:1789";
/// Where packets of the attacker go.
const OTHER_SINK: &str = "127.0.0.3:1789";
const HONEST: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 4));
const ATTACKER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 5));
const HONEST_PACKETS: usize = 400;

/// A8: one connection sends large packets with the longest delay, to use up the byte budget.
#[test]
fn parked_packets_do_not_use_up_the_budget_of_others() {
    const LARGE: FrameHeader = FrameHeader::v0_9(PacketSize::Extended32, PacketMode::Mix);
    const BUDGET_MIB: usize = 32;
    /// More than the budget.
    const PARKED: usize = 1400;
    let arena = Arena::new("parked");
    let (sink, other) = (Sink::start(&arena, SINK), Sink::start(&arena, OTHER_SINK));
    let memory = format!("{BUDGET_MIB}MiB");
    let sizes = ["--mix-packet-sizes", "regular,ack,extended32", "--mix-memory", &memory];
    let mut node = Node::start(&arena, NODE, &sizes);
    let control = pass_beside(&arena, &node, &sink, &honest(&node, &sink, HONEST_PACKETS), HONEST);
    let packets = honest(&node, &sink, HONEST_PACKETS);

    let delay = Duration::from_millis(9_900);
    let park = |_| packet_via(&node.hop(), other.address, delay, LARGE);
    let parked: Vec<u8> = (0..PARKED).flat_map(park).collect();
    let mut stream = arena.connect_from(ATTACKER, node.address);
    // It waits for the node, and ends with it.
    thread::spawn(move || stream.write_all(&parked).is_ok());
    let half = (BUDGET_MIB << 20) / 2 / (LARGE.frame_len() + 160);
    node.wait_for("half of the budget is used", |status| status["in_flight"].as_u64() >= Some(half as u64));
    let attacked = pass_beside(&arena, &node, &sink, &packets, HONEST);
    report(&format!("A8, {PARKED} packets of 32 KiB parked in {BUDGET_MIB} MiB"), &control, &attacked);
    control.assert_whole("before");
    attacked.assert_whole("beside parked packets");
    attacked.assert_prompt(&control);
    attacked.assert_memory_like(&control);
    node.server.stop();
}

/// A9: many connections of one address send packets with bad MACs, to keep the engines busy.
#[test]
fn connections_with_bad_macs_do_not_keep_the_engines_from_others() {
    const ACK: FrameHeader = FrameHeader::v0_9(PacketSize::Ack, PacketMode::Mix);
    const CONNECTIONS: usize = 1000;
    const PACKETS: usize = 200;
    let arena = Arena::new("macs");
    let sink = Sink::start(&arena, SINK);
    // The slowest engine, which is easiest to keep busy.
    let mut node = Node::start(&arena, NODE, &["--unwrap-engine", "portable"]);
    let control = pass_beside(&arena, &node, &sink, &honest(&node, &sink, HONEST_PACKETS), HONEST);
    let packets = honest(&node, &sink, HONEST_PACKETS);

    let mut forged = packet_via(&node.hop(), sink.address, Duration::ZERO, ACK);
    // A byte of the routing information.
    forged[ACK.framing.header_len() + 100] ^= 1;
    let burst = forged.repeat(PACKETS);
    let streams: Vec<_> = (0..CONNECTIONS).map(|_| arena.connect_from(ATTACKER, node.address)).collect();
    let ended = AtomicBool::new(false);
    let attacked = thread::scope(|scope| {
        scope.spawn(|| keep_full(&streams, &burst, &ended));
        node.wait_for("the attack has begun", |status| dropped(status, "bad_mac") > 1000);
        let attacked = pass_beside(&arena, &node, &sink, &packets, HONEST);
        ended.store(true, Ordering::Relaxed);
        attacked
    });
    report(&format!("A9, bad MACs without end on {CONNECTIONS} connections"), &control, &attacked);
    control.assert_whole("before");
    attacked.assert_whole("beside bad MACs");
    attacked.assert_prompt(&control);
    attacked.assert_memory_like(&control);
    drop(streams);
    node.server.stop();
}

/// Writes copies of `burst` to all connections, as fast as the node reads them, and for a minute at the most.
fn keep_full(streams: &[TcpStream], burst: &[u8], ended: &AtomicBool) {
    let mut streams: Vec<_> = streams.iter().map(|stream| (stream, 0)).collect();
    for (stream, _) in &streams {
        stream.set_nonblocking(true).unwrap();
    }
    let began = Instant::now();
    while !ended.load(Ordering::Relaxed) && began.elapsed() < Duration::from_mins(1) {
        for (stream, written) in &mut streams {
            // A full connection is one that the node has still to read.
            let more = stream.write(&burst[*written..]).unwrap_or_default();
            *written = (*written + more) % burst.len();
        }
        pause(Duration::from_millis(1));
    }
}
