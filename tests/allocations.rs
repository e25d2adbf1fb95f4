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
const CONNECTIONS: usize = 32;
/// Warm-up before counting: buffers, queues and connections are allocated.
const WARM_UP_ROUNDS: usize = 8;
const ROUNDS: usize = 40;

/// Test fixtures, created before counting.
struct Traffic {
    rounds: Vec<Vec<Vec<u8>>>,
    senders: Vec<TcpStream>,
    sink: TcpListener,
    returning: Option<TcpStream>,
    buffer: Vec<u8>,
}

impl Traffic {
    fn new(node: &RunningNode) -> Self {
        let sink = TcpListener::bind("127.0.0.1:0").unwrap();
        let next: SocketAddr = sink.local_addr().unwrap();
        let delay = Duration::from_millis(2);
        let frame = |_| packet_via(&node.hop(), next, delay, REGULAR);
        let rounds = (0..WARM_UP_ROUNDS + ROUNDS).map(|_| (0..CONNECTIONS).map(frame).collect()).collect();
        let connect = |_| {
            let stream = TcpStream::connect(node.address).unwrap();
            stream.set_nodelay(true).unwrap();
            stream
        };
        let senders = (0..CONNECTIONS).map(connect).collect();
        Self { rounds, senders, sink, returning: None, buffer: vec![0; CONNECTIONS * REGULAR.frame_len()] }
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
        let sink = &self.sink;
        let returning = self.returning.get_or_insert_with(|| sink.accept().unwrap().0);
        returning.set_read_timeout(Some(PATIENCE)).unwrap();
        returning.read_exact(&mut self.buffer).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn packets_in_pieces_cost_no_allocation_each() {
    let node = RunningNode::start().await;
    let mut traffic = Traffic::new(&node);
    (0..WARM_UP_ROUNDS).for_each(|round| traffic.round(round));
    let region = Region::new(ALLOCATOR);
    (WARM_UP_ROUNDS..WARM_UP_ROUNDS + ROUNDS).for_each(|round| traffic.round(round));
    let counted = region.change();
    let packets = ROUNDS * CONNECTIONS;
    println!("{packets} packets, {counted:?}");
    // The remaining allocations depend on time: the status of each second, the heartbeat to a directory.
    let made = counted.allocations + counted.reallocations;
    assert!(made * 2 < packets, "{made} allocations for {packets} packets: {counted:?}");
    let status = node.stop().await;
    assert_eq!(status.forwarded, ((WARM_UP_ROUNDS + ROUNDS) * CONNECTIONS) as u64);
}
