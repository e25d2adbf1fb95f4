//! The traces themselves: bounded, and made where a packet is released.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use crossbeam_queue::ArrayQueue;
#[cfg(any(test, feature = "unsafe-per-packet-traces"))]
use tokio::time::Instant;

#[cfg(any(test, feature = "unsafe-per-packet-traces"))]
use crate::packet::Scheduled;

/// Traces that wait to be taken.
const WAITING_MAX: usize = 16_384;

/// The way of one packet through the node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PacketTrace {
    /// When it came, by the wall clock.
    pub received_at: SystemTime,
    /// How long it was held.
    pub held: Duration,
    /// How long after its time it was released.
    pub lag: Duration,
    /// Where it went.
    pub next_hop: SocketAddr,
    /// The size of its frame.
    pub bytes: usize,
}

/// Takes traces from the workers.
#[derive(Debug)]
pub struct Recorder {
    waiting: ArrayQueue<PacketTrace>,
    lost: AtomicU64,
}

impl Default for Recorder {
    fn default() -> Self {
        Self { waiting: ArrayQueue::new(WAITING_MAX), lost: AtomicU64::new(0) }
    }
}

impl Recorder {
    /// Records a packet that is released now.
    #[cfg(any(test, feature = "unsafe-per-packet-traces"))]
    pub fn record(&self, packet: &Scheduled) {
        let now = Instant::now();
        let held = now - packet.received_at;
        let trace = PacketTrace {
            received_at: wall_clock() - held,
            held,
            lag: now - packet.due,
            next_hop: packet.next_hop,
            bytes: packet.packet.frame().len(),
        };
        if self.waiting.push(trace).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The traces since the last call.
    pub fn take(&self) -> Vec<PacketTrace> {
        std::iter::from_fn(|| self.waiting.pop()).collect()
    }

    /// Traces that were lost since the start, because nobody took them in time.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

#[cfg(any(test, feature = "unsafe-per-packet-traces"))]
#[expect(clippy::disallowed_methods, reason = "a span has a date; nothing is timed by it")]
fn wall_clock() -> SystemTime {
    SystemTime::now()
}
