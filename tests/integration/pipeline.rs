//! A node between real sockets: what goes in comes out, at its time, in its framing, and is accounted for.

use std::net::SocketAddr;
use std::time::Duration;

use nym_mixnode_config::{Source, settings};
use nym_mixnode_sphinx::PacketSize;
use nym_mixnode_wire::{FrameHeader, Framing, PacketMode};
use tokio::io::AsyncReadExt;
use tokio::time::{Instant, timeout};

use crate::support::{ACK, PATIENCE, RunningNode, Sink, packet_via, send};

const SECOND: Duration = Duration::from_secs(1);

/// Every header that a frame can have.
fn all_headers() -> Vec<FrameHeader> {
    let mut headers = Vec::new();
    for size in PacketSize::ALL {
        for mode in [PacketMode::Mix, PacketMode::Vpn] {
            for framing in Framing::ALL {
                let rotations = if framing == Framing::V2025_12 { 0..3 } else { 0..1 };
                headers.extend(rotations.map(|key_rotation| FrameHeader { framing, size, mode, key_rotation }));
            }
        }
    }
    headers
}

#[tokio::test]
async fn whatever_header_a_packet_arrives_with_it_leaves_in_the_framing_of_its_next_hop() {
    let node = RunningNode::with(|values| {
        values.set_list(&settings::MIX_PACKET_SIZES.about, PacketSize::NAMES, &Source::Program);
    })
    .await;
    let mut sink = Sink::start().await;
    let (mut forwarded, mut unknown) = (0, 0);
    for header in all_headers() {
        let frame = packet_via(&node.hop(), sink.address, Duration::ZERO, header);
        let _connection = send(node.address, std::slice::from_ref(&frame)).await;
        // No directory lists the sink, so it gets the oldest framing, which has three sizes.
        if Framing::V0_9.has(header.size) {
            let (left, bytes, _) = sink.next().await;
            assert_eq!(left, FrameHeader::v0_9(header.size, PacketMode::Mix), "{header:?}");
            assert!(bytes[2..] == node.unwrapped(header, &frame), "{header:?}");
            forwarded += 1;
        } else {
            unknown += 1;
        }
    }
    node.wait_for("all have arrived", |status| status.received == forwarded + unknown).await;
    let status = node.stop().await;
    assert_eq!((status.forwarded, status.dropped["size_unknown_to_next_hop"]), (forwarded, unknown));
    assert_eq!(sink.waiting(), 0);
}

#[tokio::test]
async fn sizes_that_the_node_does_not_mix_are_dropped() {
    let node = RunningNode::start().await;
    let mut sink = Sink::start().await;
    let frames = all_headers().into_iter().map(|header| packet_via(&node.hop(), sink.address, Duration::ZERO, header));
    let frames: Vec<_> = frames.collect();
    let _connection = send(node.address, &frames).await;
    let sent = frames.len() as u64;
    node.wait_for("all have arrived", |status| status.received == sent).await;
    let status = node.stop().await;
    let mixed = sent * 2 / PacketSize::ALL.len() as u64;
    assert_eq!((status.forwarded, status.dropped["size_refused"]), (mixed, sent - mixed));
    for (header, _, _) in sink.take(usize::try_from(mixed).unwrap()).await {
        assert!(matches!(header.size, PacketSize::Regular | PacketSize::Ack), "{header:?}");
    }
    assert_eq!(sink.waiting(), 0);
}

#[tokio::test]
async fn no_packet_is_early_in_any_mode() {
    let node = RunningNode::start().await;
    let mut sink = Sink::start().await;
    for mode in [PacketMode::Mix, PacketMode::Vpn] {
        for delay_ms in [0, 1, 40, 250, 700] {
            let delay = Duration::from_millis(delay_ms);
            let frame = packet_via(&node.hop(), sink.address, delay, FrameHeader { mode, ..ACK });
            let sent_at = Instant::now();
            let _connection = send(node.address, &[frame]).await;
            let (_, _, arrived_at) = sink.next().await;
            assert!(arrived_at - sent_at >= delay, "{:?} of {delay:?} in {mode:?}", arrived_at - sent_at);
        }
    }
    assert_eq!(node.stop().await.forwarded, 10);
}

#[tokio::test]
async fn packets_of_different_release_intervals_leave_in_due_order_whatever_connection_they_came_by() {
    let node = RunningNode::start().await;
    let mut sink = Sink::start().await;
    // Sent in descending order of their delays, so that all are in the pool before the first is due; made before, for
    // that takes time.
    let packets: Vec<_> = (0..20u32)
        .rev()
        .map(|number| packet_via(&node.hop(), sink.address, 2 * SECOND + SECOND / 5 * number, ACK))
        .collect();
    let expected: Vec<_> = packets.iter().rev().map(|packet| node.unwrapped(ACK, packet)).collect();
    let mut connections = Vec::new();
    for packet in packets {
        connections.push(send(node.address, &[packet]).await);
    }
    let left: Vec<_> = sink.take(expected.len()).await.into_iter().map(|(_, frame, _)| frame[2..].to_vec()).collect();
    assert!(left == expected, "another order");
    node.stop().await;
}

#[tokio::test]
async fn a_stop_loses_nothing_that_is_pooled() {
    let node = RunningNode::start().await;
    let mut sink = Sink::start().await;
    let frames: Vec<_> =
        (0..100).map(|n| packet_via(&node.hop(), sink.address, SECOND + SECOND / 50 * n, ACK)).collect();
    let sent_at = Instant::now();
    let _connection = send(node.address, &frames).await;
    node.wait_for("100 packets in the pool", |status| status.received == 100).await;
    let status = node.stop().await;
    assert_eq!((status.received, status.forwarded), (100, 100), "{status:?}");
    let arrived = sink.take(100).await;
    assert!(arrived[0].2 - sent_at >= SECOND, "not even a stop lets packets out early");
    assert!(arrived[99].2 - sent_at >= SECOND + SECOND / 50 * 99);
}

#[tokio::test]
async fn packets_sent_just_before_the_stop_are_mixed_too() {
    let node = RunningNode::start().await;
    let mut sink = Sink::start().await;
    let frames: Vec<_> =
        (0..200).map(|_| packet_via(&node.hop(), sink.address, Duration::from_millis(100), ACK)).collect();
    let _connection = send(node.address, &frames).await;
    let status = node.stop().await;
    assert_eq!((status.received, status.forwarded), (200, 200), "{status:?}");
    sink.take(200).await;
}

#[tokio::test]
async fn hostile_delays_are_mixed_or_dropped_by_reason() {
    let node = RunningNode::with(|values| {
        values.set(&settings::MIX_DELAY_MAX.about, "500ms", &Source::Program);
    })
    .await;
    let mut sink = Sink::start().await;
    let cap = Duration::from_millis(500);
    let nanos = Duration::from_nanos;
    let mixed = [nanos(0), nanos(1), cap - nanos(1), cap];
    let dropped = [
        cap + nanos(1),
        Duration::from_millis((1 << 36) - 1),
        Duration::from_millis(1 << 36),
        Duration::from_millis((1 << 36) + 1),
        nanos(1 << 63),
        nanos(u64::MAX),
    ];
    let frames: Vec<_> =
        mixed.iter().chain(&dropped).map(|delay| packet_via(&node.hop(), sink.address, *delay, ACK)).collect();
    let _connection = send(node.address, &frames).await;
    sink.take(mixed.len()).await;
    let status = node.stop().await;
    assert_eq!(status.dropped["delay_too_long"], dropped.len() as u64);
    assert_eq!(sink.waiting(), 0);
}

#[tokio::test]
async fn damaged_replayed_and_final_packets_are_counted_separately() {
    let node = RunningNode::start().await;
    let mut sink = Sink::start().await;
    let whole = packet_via(&node.hop(), sink.address, Duration::ZERO, ACK);
    let mut bad_mac = packet_via(&node.hop(), sink.address, Duration::ZERO, ACK);
    bad_mac[60] ^= 1;
    let mut low_order = packet_via(&node.hop(), sink.address, Duration::ZERO, ACK);
    low_order[2..34].fill(0);
    let for_this_node = {
        use sphinx_packet::header::delays::Delay;
        use sphinx_packet::route::{Destination, DestinationAddressBytes};
        let destination = Destination::new(DestinationAddressBytes::from_bytes([1; 32]), [2; 16]);
        let packet = sphinx_packet::packet::builder::SphinxPacketBuilder::new()
            .with_payload_size(PacketSize::Ack.payload_len())
            .build_packet([3; 16], &[node.hop()], &destination, &[Delay::new_from_nanos(0)])
            .unwrap();
        let mut frame = Vec::new();
        ACK.encode(&mut frame);
        frame.extend(packet.to_bytes());
        frame
    };
    let nowhere = packet_via(&node.hop(), SocketAddr::from(([127, 0, 0, 1], 0)), Duration::ZERO, ACK);
    let _connection = send(node.address, &[whole.clone(), whole, bad_mac, low_order, for_this_node, nowhere]).await;
    sink.next().await;
    node.wait_for("six packets", |status| status.received == 6).await;
    let status = node.stop().await;
    assert_eq!((status.forwarded, status.final_hop), (1, 1));
    let reasons: Vec<_> = status.dropped.iter().map(|(reason, count)| (reason.as_str(), *count)).collect();
    assert_eq!(reasons, [("bad_mac", 1), ("low_order_point", 1), ("next_hop_refused", 1), ("replay", 1)]);
    assert_eq!(sink.waiting(), 0);
}

#[tokio::test]
async fn a_bad_frame_closes_its_connection_and_no_other() {
    let node = RunningNode::start().await;
    let mut sink = Sink::start().await;
    let good = |delay| packet_via(&node.hop(), sink.address, delay, ACK);
    let (first, last) = (good(Duration::ZERO), good(Duration::ZERO));
    let mut bystander = send(node.address, &[]).await;
    // The good frame before the bad one still counts.
    let mut offender = send(node.address, &[first, vec![9, 9, 9]]).await;
    sink.next().await;
    let closed = timeout(PATIENCE, offender.read(&mut [0; 8])).await.unwrap();
    assert!(matches!(closed, Ok(0) | Err(_)));
    tokio::io::AsyncWriteExt::write_all(&mut bystander, &last).await.unwrap();
    sink.next().await;
    let status = node.stop().await;
    assert_eq!((status.received, status.bad_frames), (2, 1));
}

#[tokio::test]
async fn a_frame_that_is_never_finished_is_given_up() {
    let node = RunningNode::with(|values| {
        values.set(&settings::CONNECTIONS_FRAME_DEADLINE.about, "300ms", &Source::Program);
    })
    .await;
    let sink = Sink::start().await;
    let frame = packet_via(&node.hop(), sink.address, Duration::ZERO, ACK);
    let mut half = send(node.address, &[frame[..100].to_vec()]).await;
    let closed = timeout(PATIENCE, half.read(&mut [0; 8])).await.unwrap();
    assert!(matches!(closed, Ok(0) | Err(_)));
    let status = node.stop().await;
    assert_eq!((status.received, status.connections_in), (0, 0));
}

#[tokio::test]
async fn connections_over_the_cap_are_closed_and_the_others_served() {
    let node = RunningNode::with(|values| {
        values.set(&settings::CONNECTIONS_PER_ADDRESS_MAX.about, "2", &Source::Program);
    })
    .await;
    let mut sink = Sink::start().await;
    let _first = send(node.address, &[]).await;
    let frame = packet_via(&node.hop(), sink.address, Duration::ZERO, ACK);
    let _second = send(node.address, &[frame]).await;
    sink.next().await;
    let mut third = send(node.address, &[]).await;
    let closed = timeout(PATIENCE, third.read(&mut [0; 8])).await.unwrap();
    assert!(matches!(closed, Ok(0) | Err(_)));
    node.stop().await;
}

/// A socket whose queue of connections is full, so that the kernel answers no further one: a black hole on loopback.
struct BlackHole {
    address: SocketAddr,
    _listener: socket2::Socket,
    _fill: Vec<socket2::Socket>,
}

impl BlackHole {
    fn open() -> Self {
        use socket2::{Domain, Socket, Type};
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        listener.listen(0).unwrap();
        let address = listener.local_addr().unwrap();
        let fill = (0..8)
            .map(|_| {
                let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
                socket.set_nonblocking(true).unwrap();
                drop(socket.connect(&address));
                socket
            })
            .collect();
        Self { address: address.as_socket().unwrap(), _listener: listener, _fill: fill }
    }
}

#[tokio::test]
async fn one_black_hole_among_ten_next_hops_costs_the_other_nine_nothing() {
    let node = RunningNode::with(|values| {
        values.set(&settings::FORWARD_STALE_AFTER.about, "2s", &Source::Program);
        values.set(&settings::FORWARD_QUEUE_PACKETS_MAX.about, "60", &Source::Program);
    })
    .await;
    let black_hole = BlackHole::open();
    let mut sinks = Vec::new();
    for _ in 0..9 {
        sinks.push(Sink::start().await);
    }
    let mut frames = Vec::new();
    for round in 0..100 {
        for next in sinks.iter().map(|sink| sink.address).chain([black_hole.address]) {
            frames.push(packet_via(&node.hop(), next, Duration::from_millis(round), ACK));
        }
    }
    let _connection = send(node.address, &frames).await;
    for sink in &mut sinks {
        sink.take(100).await;
    }
    let status =
        node.wait_for("the black hole's packets dropped", |status| status.dropped.values().sum::<u64>() == 100).await;
    assert!(status.dropped["next_hop_queue_full"] >= 1, "{status:?}");
    assert!(status.dropped["next_hop_unreachable"] >= 1, "{status:?}");
    assert_eq!(node.stop().await.forwarded, 900);
}

#[tokio::test]
async fn a_next_hop_that_comes_back_gets_what_waited_for_it() {
    let node = RunningNode::with(|values| {
        values.set(&settings::FORWARD_BACKOFF_INITIAL.about, "50ms", &Source::Program);
        values.set(&settings::FORWARD_BACKOFF_MAX.about, "200ms", &Source::Program);
    })
    .await;
    // A bound socket that does not listen refuses connections.
    let later = tokio::net::TcpSocket::new_v4().unwrap();
    later.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let address = later.local_addr().unwrap();
    let frames: Vec<_> = (0..20).map(|_| packet_via(&node.hop(), address, Duration::ZERO, ACK)).collect();
    let _connection = send(node.address, &frames).await;
    node.wait_for("20 packets", |status| status.received == 20).await;
    let listener = later.listen(16).unwrap();
    let (mut stream, _) = timeout(PATIENCE, listener.accept()).await.unwrap().unwrap();
    let mut bytes = vec![0; 20 * ACK.frame_len()];
    timeout(PATIENCE, stream.read_exact(&mut bytes)).await.unwrap().unwrap();
    assert_eq!(node.stop().await.forwarded, 20);
}

#[tokio::test]
async fn a_next_hop_that_hangs_up_between_packets_costs_none() {
    let node = RunningNode::with(|values| {
        values.set(&settings::FORWARD_BACKOFF_INITIAL.about, "50ms", &Source::Program);
    })
    .await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    for _ in 0..5 {
        let _connection = send(node.address, &[packet_via(&node.hop(), address, Duration::ZERO, ACK)]).await;
        let (mut stream, _) = timeout(PATIENCE, listener.accept()).await.expect("the node calls again").unwrap();
        let mut bytes = vec![0; ACK.frame_len()];
        timeout(PATIENCE, stream.read_exact(&mut bytes)).await.unwrap().unwrap();
    }
    assert_eq!(node.stop().await.forwarded, 5);
}

#[tokio::test]
async fn the_policy_topology_connects_to_listed_nodes_only() {
    let node = RunningNode::with(|values| {
        values.set(&settings::FORWARD_POLICY.about, "topology", &Source::Program);
    })
    .await;
    let trap = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = trap.local_addr().unwrap().port();
    let targets = [format!("127.0.0.1:{port}"), format!("[::1]:{port}"), format!("[::ffff:127.0.0.1]:{port}")];
    let others = ["169.254.169.254:80", "10.0.0.1:1789", "192.168.1.1:22", "[fe80::1]:1789", "[fd00:ec2::254]:80"];
    let frames: Vec<_> = targets
        .iter()
        .map(String::as_str)
        .chain(others)
        .map(|next| packet_via(&node.hop(), next.parse().unwrap(), Duration::ZERO, ACK))
        .collect();
    let _connection = send(node.address, &frames).await;
    node.wait_for("8 packets", |status| status.received == 8).await;
    assert_eq!(node.stop().await.dropped["next_hop_refused"], 8);
    assert!(timeout(Duration::ZERO, trap.accept()).await.is_err(), "nobody called");
}

#[tokio::test]
async fn a_spent_budget_makes_senders_wait_and_drops_nothing() {
    let node = RunningNode::with(|values| {
        values.set(&settings::MIX_MEMORY.about, "1MiB", &Source::Program);
    })
    .await;
    let mut sink = Sink::start().await;
    // Held long enough for all of them to be inside together, if the budget let them in; and due one after another, as a
    // next hop's queue has a share of the budget only.
    let delay = |number: u32| 2 * SECOND + SECOND / 1000 * (number % 2000);
    let frames: Vec<_> = (0..6000).map(|number| packet_via(&node.hop(), sink.address, delay(number), ACK)).collect();
    let (address, frame_count) = (node.address, frames.len());
    let sender = tokio::spawn(async move { send(address, &frames).await });
    let full = node.wait_for("a full pool", |status| status.in_flight > 1000).await;
    let mut most = full.in_flight;
    for _ in 0..frame_count {
        sink.next().await;
        most = most.max(node.status().in_flight);
    }
    drop(sender.await.unwrap());
    // What the budget holds, and one read of each of the two workers beyond it.
    let bound = (1 << 20) / ACK.frame_len() as u64 + 2 * (64 << 10) / ACK.frame_len() as u64;
    assert!(most <= bound, "{most} packets in flight, more than {bound}");
    let status = node.stop().await;
    assert_eq!((status.received, status.forwarded), (frame_count as u64, frame_count as u64), "{status:?}");
}

#[tokio::test]
async fn half_open_connections_do_not_hold_up_honest_ones() {
    let node = RunningNode::start().await;
    let mut sink = Sink::start().await;
    let whole = packet_via(&node.hop(), sink.address, Duration::ZERO, ACK);
    let mut half_open = Vec::new();
    for length in 0..300 {
        half_open.push(send(node.address, &[whole[..length].to_vec()]).await);
    }
    for _ in 0..20 {
        let _connection = send(node.address, &[packet_via(&node.hop(), sink.address, Duration::ZERO, ACK)]).await;
        sink.next().await;
    }
    let status = node.stop().await;
    assert_eq!((status.received, status.forwarded), (20, 20));
}
