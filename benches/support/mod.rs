//! Shared parts of the benchmarks: packets, nodes, usage of processes, the CPU's name, pinning, medians.
#![allow(dead_code, reason = "each benchmark uses its part")]

pub(crate) mod node;
pub(crate) mod usage;

use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use nym_mixnode_sphinx::{PacketSize, encode_next_hop};
use rand::RngExt;
use sphinx_packet::crypto::{PrivateKey, PublicKey};
use sphinx_packet::header::delays::Delay;
use sphinx_packet::packet::builder::SphinxPacketBuilder;
use sphinx_packet::route::{Destination, DestinationAddressBytes, Node, NodeAddressBytes};

/// Timeout for events that must happen even on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A key pair and its address.
pub(crate) struct TestNode {
    pub(crate) private: [u8; 32],
    pub(crate) address: SocketAddr,
}

impl TestNode {
    pub(crate) fn random() -> Self {
        Self { private: rand::rng().random(), address: ([192, 0, 2, 1], 1789).into() }
    }

    pub(crate) fn sphinx(&self) -> Node {
        let public = PublicKey::from(&PrivateKey::from(self.private));
        Node::new(NodeAddressBytes::from_bytes(encode_next_hop(self.address)), public)
    }
}

/// A packet for `node` with a second hop behind it.
pub(crate) fn build_packet(node: &TestNode, size: PacketSize) -> Vec<u8> {
    build_route(&[node, &TestNode::random()], &[0, 0], size)
}

/// A packet along `route` with these delays in nanoseconds.
pub(crate) fn build_route(route: &[&TestNode], delays_ns: &[u64], size: PacketSize) -> Vec<u8> {
    let route: Vec<_> = route.iter().map(|node| node.sphinx()).collect();
    let delays: Vec<_> = delays_ns.iter().map(|nanos| Delay::new_from_nanos(*nanos)).collect();
    let destination = Destination::new(DestinationAddressBytes::from_bytes([5; 32]), [6; 16]);
    SphinxPacketBuilder::new()
        .with_payload_size(size.payload_len())
        .build_packet([7; 16], &route, &destination, &delays)
        .expect("a route of two hops")
        .to_bytes()
}

pub(crate) fn cpu_name() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field = |name: &str| {
        info.lines()
            .find(|line| line.starts_with(name))
            .and_then(|line| line.split(": ").nth(1))
            .unwrap_or("?")
            .to_owned()
    };
    format!("{} (family {}, model {})", field("model name"), field("cpu family"), field("model\t"))
}

/// Pins the calling thread to a core, so that other processes disturb comparisons less.
pub(crate) fn pin_to_core(cores: std::ops::Range<usize>) {
    use rustix::thread::{CpuSet, sched_setaffinity};
    let mut set = CpuSet::new();
    cores.for_each(|core| set.set(core));
    if let Err(error) = sched_setaffinity(None, &set) {
        println!("not pinned: {error}");
    }
}

/// Pins the calling thread to all cores but the first, which belongs to the process that is measured.
pub(crate) fn leave_the_first_core_alone() {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    if cores > 1 {
        pin_to_core(1..cores);
    }
}

/// The machine's monotonic clock, the same in all its processes.
pub(crate) fn monotonic_nanos() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

pub(crate) fn median(samples: &mut [f64]) -> f64 {
    quantile(samples, 0.5)
}

pub(crate) fn quantile(samples: &mut [f64], share: f64) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples[((samples.len() - 1) as f64 * share).round() as usize]
}
