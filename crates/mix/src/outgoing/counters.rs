//! Counters of all outgoing connections of a node.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::dials::Dials;
use crate::{LAG_BOUNDS_MS, Scheduled};

/// Counters of the outgoing connections of all workers, and the limit on connection attempts that they share.
#[derive(Debug, Default)]
pub struct Counters {
    forwarded: AtomicU64,
    queued: AtomicUsize,
    queued_bytes: AtomicUsize,
    lag: [AtomicU64; LAG_BOUNDS_MS.len() + 1],
    connections: AtomicUsize,
    connect_failures: AtomicU64,
    next_hops_short: AtomicU64,
    pub(super) dials: Dials,
}

impl Counters {
    /// Packets that the kernel has accepted completely.
    #[must_use]
    pub fn forwarded(&self) -> u64 {
        self.forwarded.load(Ordering::Relaxed)
    }

    /// Packets in the queues of next hops.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.queued.load(Ordering::Relaxed)
    }

    /// Sent packets by lateness: one count per bound of [`LAG_BOUNDS_MS`], and one for all later packets.
    #[must_use]
    pub fn lag(&self) -> [u64; LAG_BOUNDS_MS.len() + 1] {
        std::array::from_fn(|bucket| self.lag[bucket].load(Ordering::Relaxed))
    }

    /// Counts a packet that the kernel accepted completely at `now`.
    pub fn sent(&self, scheduled: &Scheduled, now: Instant) {
        let late = now.saturating_duration_since(scheduled.due);
        let bucket = LAG_BOUNDS_MS.iter().position(|bound| late <= Duration::from_millis(*bound));
        self.lag[bucket.unwrap_or(LAG_BOUNDS_MS.len())].fetch_add(1, Ordering::Relaxed);
        self.forwarded.fetch_add(1, Ordering::Relaxed);
    }

    /// Open outgoing connections.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// Connection attempts that failed, and connections that broke.
    #[must_use]
    pub fn connect_failures(&self) -> u64 {
        self.connect_failures.load(Ordering::Relaxed)
    }

    /// Connection attempts that had to wait because of the [rates](super::DialRates).
    #[must_use]
    pub fn dials_deferred(&self) -> u64 {
        self.dials.deferred()
    }

    /// Next hops that found all places taken, and took that of another or were rejected.
    #[must_use]
    pub fn next_hops_short(&self) -> u64 {
        self.next_hops_short.load(Ordering::Relaxed)
    }

    /// Counts a next hop that found all places taken.
    pub fn count_next_hops_short(&self) {
        self.next_hops_short.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn queued_bytes(&self) -> usize {
        self.queued_bytes.load(Ordering::Relaxed)
    }

    pub(super) fn pushed(&self, bytes: usize) {
        self.queued.fetch_add(1, Ordering::Relaxed);
        self.queued_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn popped(&self, bytes: usize) {
        self.queued.fetch_sub(1, Ordering::Relaxed);
        self.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    pub(super) fn opened(&self) {
        self.connections.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn closed(&self) {
        self.connections.fetch_sub(1, Ordering::Relaxed);
    }

    pub(super) fn failed(&self) {
        self.connect_failures.fetch_add(1, Ordering::Relaxed);
    }
}
