//! Checks that a node does not allocate per packet. A separate test binary, because it counts all allocations.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "tests fail loudly, and this one has a thread to itself"
)]

use std::alloc::System;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use nym_mixnode_sphinx::PacketSize;
use nym_mixnode_wire::{FrameHeader, PacketMode};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

use nym_mixnode_testing::support::{PATIENCE, RunningNode, packet_via};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const REGULAR: FrameHeader = FrameHeader::v0_9(PacketSize::Regular, PacketMode::Mix);
/// Warm-up before counting: buffers, queues and connections are allocated.
const WARM_UP_ROUNDS: usize = 8;

/// How many connections, next hops and counted rounds there are.
#[derive(Debug, Clone, Copy)]
struct Shape {
    connections: usize,
    next_hops: usize,
    rounds: usize,
}

const SHAPES: [Shape; 2] = [
    Shape { connections: 32, next_hops: 1, rounds: 40 },
    // Each read and each write has one packet.
    Shape { connections: 128, next_hops: 128, rounds: 30 },
];

/// Test fixtures, created before counting.
struct Traffic {
    shape: Shape,
    rounds: Vec<Vec<Vec<u8>>>,
    senders: Vec<TcpStream>,
    sinks: Vec<TcpListener>,
    returning: Vec<TcpStream>,
    buffer: Vec<u8>,
}

impl Traffic {
    fn new(node: &RunningNode, shape: Shape) -> Self {
        let sinks: Vec<_> = (0..shape.next_hops).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let next: Vec<SocketAddr> = sinks.iter().map(|sink| sink.local_addr().unwrap()).collect();
        let delay = Duration::from_millis(2);
        let frame = |number: usize| packet_via(&node.hop(), next[number % next.len()], delay, REGULAR);
        let round = |_| (0..shape.connections).map(frame).collect();
        let rounds = (0..WARM_UP_ROUNDS + shape.rounds).map(round).collect();
        let connect = |_| {
            let stream = TcpStream::connect(node.address).unwrap();
            stream.set_nodelay(true).unwrap();
            stream
        };
        let senders = (0..shape.connections).map(connect).collect();
        let per_sink = shape.connections / shape.next_hops;
        let buffer = vec![0; per_sink * REGULAR.frame_len()];
        Self { shape, rounds, senders, sinks, returning: Vec::new(), buffer }
    }

    /// Sends a packet over each connection, in fragments as on a network, and waits for all to return.
    fn round(&mut self, number: usize) {
        let cut = 1448;
        for piece in [0..cut, cut..REGULAR.frame_len()] {
            for (sender, frame) in self.senders.iter_mut().zip(&self.rounds[number]) {
                sender.write_all(&frame[piece.clone()]).unwrap();
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        if self.returning.is_empty() {
            self.returning.extend(self.sinks.iter().map(|sink| sink.accept().unwrap().0));
        }
        for returning in &mut self.returning {
            returning.set_read_timeout(Some(PATIENCE)).unwrap();
            returning.read_exact(&mut self.buffer).unwrap();
        }
    }

    /// Asserts that the rounds after the warm-up cost fewer allocations than half of their packets.
    fn assert_no_allocation_each(&mut self) {
        let Shape { connections, rounds, .. } = self.shape;
        (0..WARM_UP_ROUNDS).for_each(|round| self.round(round));
        let region = Region::new(ALLOCATOR);
        (WARM_UP_ROUNDS..WARM_UP_ROUNDS + rounds).for_each(|round| self.round(round));
        let counted = region.change();
        let packets = rounds * connections;
        println!("{:?}: {packets} packets, {counted:?}", self.shape);
        // The remaining allocations depend on time: the status of each second, the heartbeat to a directory.
        let made = counted.allocations + counted.reallocations;
        assert!(made * 2 < packets, "{made} allocations for {packets} packets: {counted:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn packets_in_pieces_cost_no_allocation_each() {
    // One after the other, because all allocations are counted.
    for shape in SHAPES {
        let node = RunningNode::start().await;
        let mut traffic = Traffic::new(&node, shape);
        traffic.assert_no_allocation_each();
        let status = node.stop().await;
        assert_eq!(status.forwarded, ((WARM_UP_ROUNDS + shape.rounds) * shape.connections) as u64);
    }
}
