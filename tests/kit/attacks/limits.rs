//! One place takes what others need: next hops, file descriptors, connections.

use std::io::Write;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nym_mixnode_sphinx::PacketSize;
use nym_mixnode_wire::{FrameHeader, PacketMode};

use super::arena::Arena;
use super::node::{Node, dropped};
use super::traffic::{Sink, honest, pass_beside, report};
use crate::packets::packet_via;
use crate::waiting::eventually_or;

const NODE: &str = "127.0.0.1:1789";
const SINK: &str = "127.0.0.2:1789";
/// A next hop that honest packets need for the first time during the attack.
const NEW_SINK: &str = "127.0.0.3:1789";
const HONEST: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 4));
const HTTP: [&str; 2] = ["--http-listen", "127.0.0.1:8000"];
const ACK: FrameHeader = FrameHeader::v0_9(PacketSize::Ack, PacketMode::Mix);
/// Honest packets before, and as many during an attack.
const HONEST_PACKETS: usize = 400;

/// The address of an attacker, or of something that it makes the node reach.
fn other(number: usize) -> IpAddr {
    let [.., high, low] = u32::try_from(number).unwrap().to_be_bytes();
    [127, 1, high, low].into()
}

/// Waits until the operator reads of a limit in `/status`, in `/metrics` and in the log.
fn assert_reported(arena: &Arena, node: &Node, limit: &str) {
    let look = || {
        let status: serde_json::Value = serde_json::from_str(&arena.get("http://127.0.0.1:8000/status")?).ok()?;
        status["packets"]["total"]["limits"][limit].as_u64()
    };
    let times = eventually_or("the limit is in /status", look, || node.server.log());
    let metrics = arena.get("http://127.0.0.1:8000/metrics").unwrap();
    let line = format!("mix_limits_reached_total{{limit=\"{limit}\"}}");
    assert!(times > 0 && metrics.contains(&line) && !metrics.contains(&format!("{line} 0\n")), "{metrics}");
    let log = node.server.log();
    let warned =
        log.lines().filter(|line| line.contains("WARN") && line.contains(&format!("limit=\"{limit}\" times=")));
    // One line for each window of ten seconds at the most.
    assert!((1..=6).contains(&warned.count()), "{log}");
}

/// A5: packets to dead next hops do not keep the places of next hops, and the node does not dial them without end.
#[test]
fn dead_next_hops_keep_no_places_and_are_not_dialled_without_end() {
    const PLACES_PER_WORKER: &str = "128";
    const DEAD: usize = 1000;
    let arena = Arena::new("dead");
    let (sink, new_sink) = (Sink::start(&arena, SINK), Sink::start(&arena, NEW_SINK));
    let flags = ["--forward-next-hops-max", PLACES_PER_WORKER, "--workers", "2"];
    let mut node = Node::start(&arena, NODE, &[&flags[..], &HTTP].concat());
    let control = pass_beside(&arena, &node, &sink, &honest(&node, &sink, HONEST_PACKETS), HONEST);
    let (to_known, to_new) = (honest(&node, &sink, HONEST_PACKETS), honest(&node, &new_sink, HONEST_PACKETS));

    let packet = |number| packet_via(&node.hop(), SocketAddr::new(other(number), 1), Duration::ZERO, ACK);
    let attack: Vec<_> = (0..DEAD).map(packet).collect();
    let (began, dialled) = (Instant::now(), arena.dialled());
    let mut stream = arena.connect_from(other(0), node.address);
    stream.write_all(&attack.concat()).unwrap();
    let attacked = pass_beside(&arena, &node, &sink, &to_known, HONEST);
    let attacked_new = pass_beside(&arena, &node, &new_sink, &to_new, HONEST);
    let status = node.settle(0, DEAD + 3 * HONEST_PACKETS);
    let (dialled, seconds) = (arena.dialled() - dialled, began.elapsed().as_secs());

    report(
        &format!("A5, {DEAD} packets to dead next hops, dialled {dialled} times in {seconds} s"),
        &control,
        &attacked,
    );
    report("A5, the same, and a next hop that is new", &control, &attacked_new);
    for (passed, what) in [(&control, "before"), (&attacked, "beside the attack"), (&attacked_new, "to a new next hop")]
    {
        passed.assert_whole(what);
        passed.assert_memory_like(&control);
    }
    let lost = dropped(&status, "next_hop_unreachable") + dropped(&status, "too_many_next_hops");
    assert_eq!(lost, DEAD as u64, "{status:#}");
    // Each once, and repeated attempts at their rate. Connections of this test and of the directory's client are few.
    let bound = DEAD as u64 + 256 + 64 * (seconds + 1) + 50;
    assert!(dialled <= bound, "{dialled} attempts in {seconds} s");
    assert_reported(&arena, &node, "next_hops");
    node.server.stop();
}

/// A6: one address does not take the descriptors that next hops, the directory and the operator need.
#[test]
fn one_address_does_not_take_all_descriptors() {
    const DIRECTORY: &str = "127.0.0.5:8080";
    const CONNECTIONS: usize = 300;
    for open_files in [64, 1024] {
        let arena = Arena::new("files");
        let (sink, new_sink) = (Sink::start(&arena, SINK), Sink::start(&arena, NEW_SINK));
        let calls = Arc::new(AtomicUsize::new(0));
        let (directory, counted) = (arena.listen(DIRECTORY.parse().unwrap()), Arc::clone(&calls));
        thread::spawn(move || {
            for _call in directory.incoming() {
                counted.fetch_add(1, Ordering::Relaxed);
            }
        });
        let flags = ["--validator", &format!("http://{DIRECTORY}")];
        let mut node = Node::start_limited(&arena, NODE, open_files, &[&flags[..], &HTTP].concat());
        let control = pass_beside(&arena, &node, &sink, &honest(&node, &sink, HONEST_PACKETS), HONEST);
        let to_new = honest(&node, &new_sink, HONEST_PACKETS);

        // Each sends a packet, so that it is no idle one that others may replace.
        let first = packet_via(&node.hop(), sink.address, Duration::ZERO, ACK);
        let held: Vec<_> = (0..CONNECTIONS.max(open_files as usize)).map(|_| held(&arena, &node, &first)).collect();
        let before = calls.load(Ordering::Relaxed);
        let attacked = pass_beside(&arena, &node, &new_sink, &to_new, HONEST);
        report(&format!("A6, {} connections of one address, {open_files} open files", held.len()), &control, &attacked);
        control.assert_whole("before");
        attacked.assert_whole("to a next hop that is new");
        attacked.assert_memory_like(&control);
        let alive = arena.get("http://127.0.0.1:8000/livez");
        assert!(alive.is_some_and(|answer| answer.contains("alive")), "{}", node.server.log());
        let called = || (calls.load(Ordering::Relaxed) > before).then_some(());
        eventually_or("the node calls the directory", called, || node.server.log());
        assert_reported(&arena, &node, "connections_per_address");
        assert!(!node.server.log().contains("Too many open files"), "{}", node.server.log());
        drop(held);
        node.server.stop();
    }
}

/// A connection that has sent a packet; the node may have refused it.
fn held(arena: &Arena, node: &Node, packet: &[u8]) -> TcpStream {
    let mut stream = arena.connect_from(other(1), node.address);
    stream.write_all(packet).ok();
    stream
}

/// A7: idle connections of a few addresses do not keep out senders from elsewhere.
#[test]
fn idle_connections_make_room_for_senders() {
    const ADDRESSES: usize = 16;
    const PER_ADDRESS: usize = 64;
    const NEWCOMERS: usize = 80;
    let arena = Arena::new("idle");
    let sink = Sink::start(&arena, SINK);
    let (total, per_address) = ((ADDRESSES * PER_ADDRESS).to_string(), PER_ADDRESS.to_string());
    let flags = ["--connections-total-max", &total, "--connections-per-address-max", &per_address];
    let mut node = Node::start(&arena, NODE, &[&flags[..], &HTTP].concat());
    let control = pass_beside(&arena, &node, &sink, &honest(&node, &sink, HONEST_PACKETS), HONEST);
    let packets = honest(&node, &sink, HONEST_PACKETS);

    let addresses = (0..ADDRESSES).flat_map(|number| [other(number); PER_ADDRESS]);
    let idle: Vec<_> = addresses.map(|from| arena.connect_from(from, node.address)).collect();
    node.wait_for("all are connected", |status| status["connections_in"] == idle.len());
    let attacked = pass_beside(&arena, &node, &sink, &packets, HONEST);
    report(&format!("A7, {} idle connections of {ADDRESSES} addresses", idle.len()), &control, &attacked);
    control.assert_whole("before");
    attacked.assert_whole("while all connections are in use");
    attacked.assert_memory_like(&control);
    // More newcomers from elsewhere, one after the other: the node closes as many idle connections.
    let mut connected = Vec::new();
    for (number, packet) in honest(&node, &sink, NEWCOMERS).into_iter().enumerate() {
        let mut stream = arena.connect_from(other(1000 + number), node.address);
        stream.write_all(&packet.frame).unwrap();
        connected.push(stream);
        let arrives = || (sink.take().len() == 1).then_some(());
        eventually_or("the packet of a newcomer arrives", arrives, || node.server.log());
    }
    assert_reported(&arena, &node, "connections");
    drop((idle, connected));
    node.server.stop();
}
