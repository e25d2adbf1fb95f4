//! The queue of due packets of one next hop, and its share of the node's byte budget.

use std::cell::{Cell, Ref, RefCell};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use nym_mixnode_mix::{DropReason, Scheduled};
use tokio::sync::Notify;

use super::{Counters, Settings};
use crate::clock;

/// Shares of the node's byte budget that queues may use, in bytes.
#[derive(Debug, Clone, Copy)]
struct Shares {
    /// Limit of one queue.
    one: usize,
    /// Soft limit of all queues of the node. Above it, each queue is limited to `short`, so that any number of slow
    /// next hops leaves memory for the others.
    all: usize,
    /// Limit of one queue while all queues together exceed `all`.
    short: usize,
}

impl Shares {
    /// Small budgets have proportionally larger shares, so that packets that become due at one time fit.
    fn of(budget_bytes: usize) -> Self {
        let all = budget_bytes / 2;
        let one = (budget_bytes / 16).max(4 << 20).min(all);
        Self { one, all, short: (budget_bytes / 256).max(256 << 10).min(one / 2) }
    }
}

/// Due packets of one next hop, oldest first. The forwarder and the peer's task share it on one thread.
#[derive(Debug)]
pub(super) struct PeerQueue {
    packets: RefCell<VecDeque<Scheduled>>,
    bytes: Cell<usize>,
    packets_max: usize,
    shares: Shares,
    changed: Notify,
    closed: Cell<bool>,
    counters: Arc<Counters>,
}

impl PeerQueue {
    pub(super) fn new(settings: &Settings, counters: Arc<Counters>) -> Self {
        Self {
            packets: RefCell::default(),
            bytes: Cell::new(0),
            packets_max: settings.queue_packets_max,
            shares: Shares::of(settings.budget_bytes),
            changed: Notify::new(),
            closed: Cell::new(false),
            counters,
        }
    }

    pub(super) fn push(&self, scheduled: Scheduled) -> Result<(), DropReason> {
        if self.is_full() {
            return Err(DropReason::NextHopQueueFull);
        }
        let bytes = scheduled.packet.charged_bytes();
        self.bytes.update(|held| held + bytes);
        self.counters.queued.fetch_add(1, Ordering::Relaxed);
        self.counters.queued_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.packets.borrow_mut().push_back(scheduled);
        self.changed.notify_one();
        Ok(())
    }

    /// Whether the queue rejects packets. Independent of the packet's size, so that small packets have no advantage.
    fn is_full(&self) -> bool {
        let all = self.counters.queued_bytes.load(Ordering::Relaxed);
        let share = if all < self.shares.all { self.shares.one } else { self.shares.short };
        self.bytes.get() >= share || self.packets.borrow().len() >= self.packets_max
    }

    pub(super) fn packets(&self) -> Ref<'_, VecDeque<Scheduled>> {
        self.packets.borrow()
    }

    /// Removes the oldest packet.
    pub(super) fn pop(&self) -> Option<Scheduled> {
        let first = self.packets.borrow_mut().pop_front()?;
        self.forget(&first);
        Some(first)
    }

    /// Removes the oldest packet that is overdue by `stale_after`. Skips a packet that is partly written (`has_begun`),
    /// because the next hop expects the rest.
    pub(super) fn pop_stale(&self, has_begun: bool, stale_after: Duration) -> Option<Scheduled> {
        let stale_at = self.stale_at(has_begun, stale_after)?;
        if stale_at > clock::now() {
            return None;
        }
        let mut packets = self.packets.borrow_mut();
        let begun = if has_begun { packets.pop_front() } else { None };
        let stale = packets.pop_front();
        if let Some(begun) = begun {
            packets.push_front(begun);
        }
        stale.inspect(|stale| self.forget(stale))
    }

    /// When the next packet becomes stale.
    pub(super) fn stale_at(&self, has_begun: bool, stale_after: Duration) -> Option<Instant> {
        self.packets.borrow().get(usize::from(has_begun)).map(|first| first.due + stale_after)
    }

    fn forget(&self, scheduled: &Scheduled) {
        let bytes = scheduled.packet.charged_bytes();
        self.bytes.update(|held| held - bytes);
        self.counters.queued.fetch_sub(1, Ordering::Relaxed);
        self.counters.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Completes after a push or a close.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Closes the queue: the peer's task ends when the queue is empty.
    pub(super) fn close(&self) {
        self.closed.set(true);
        self.changed.notify_one();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.get()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.packets.borrow().is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nym_mixnode_sphinx::PacketSize;
    use nym_mixnode_wire::{BufferPool, FrameHeader, PacketMode};

    const BUDGET: usize = 64 << 20;

    fn queue(counters: &Arc<Counters>) -> PeerQueue {
        let duration = Duration::from_secs(1);
        let settings = Settings {
            connect_timeout: duration,
            backoff_initial: duration,
            backoff_max: duration,
            stale_after: duration,
            queue_packets_max: usize::MAX,
            budget_bytes: BUDGET,
            next_hops_max: 1,
            idle_timeout: duration,
        };
        PeerQueue::new(&settings, Arc::clone(counters))
    }

    fn packet(pool: &Arc<BufferPool>, size: PacketSize, due: Instant) -> Scheduled {
        let header = FrameHeader::v0_9(size, PacketMode::Mix);
        let packet = pool.take(header, &vec![0; header.frame_len()]);
        Scheduled { packet, next_hop: ([192, 0, 2, 1], 1789).into(), due }
    }

    /// Pushes until the queue is full, and returns the queued bytes.
    fn fill(queue: &PeerQueue, pool: &Arc<BufferPool>, size: PacketSize) -> usize {
        let before = pool.bytes_in_flight();
        while queue.push(packet(pool, size, clock::now())).is_ok() {}
        pool.bytes_in_flight() - before
    }

    #[test]
    fn one_queue_has_a_share_and_all_queues_together_leave_half_of_the_budget() {
        let pool = BufferPool::new(BUDGET);
        let counters = Arc::new(Counters::default());
        let queues: Vec<_> = (0..64).map(|_| queue(&counters)).collect();
        let shares = Shares::of(BUDGET);
        let frame = PacketSize::Extended32.packet_len() + 1000;
        let first = fill(&queues[0], &pool, PacketSize::Extended32);
        assert!((shares.one..shares.one + frame).contains(&first), "{first}");
        for slow in &queues[1..32] {
            fill(slow, &pool, PacketSize::Extended32);
        }
        let all = pool.bytes_in_flight();
        assert!((shares.all..shares.all + 32 * (shares.short + frame)).contains(&all), "{all}");
        assert_eq!(counters.queued_bytes.load(Ordering::Relaxed), all);
        for other in &queues[32..] {
            assert!(fill(other, &pool, PacketSize::Regular) >= shares.short);
        }
        for queue in &queues {
            while queue.pop().is_some() {}
        }
        assert_eq!((pool.bytes_in_flight(), counters.queued_bytes.load(Ordering::Relaxed)), (0, 0));
    }

    #[test]
    fn shares_of_every_budget_leave_memory_for_others() {
        for budget in [1 << 20, 8 << 20, 64 << 20, 256 << 20, 1 << 40] {
            let Shares { one, all, short } = Shares::of(budget);
            assert!(short > 0 && short < one && one <= all && all < budget, "{budget}: {one}, {all}, {short}");
        }
        assert_eq!(Shares::of(256 << 20).one, 16 << 20);
    }

    #[test]
    fn a_full_queue_rejects_packets_of_all_sizes() {
        let pool = BufferPool::new(BUDGET);
        let queue = queue(&Arc::default());
        fill(&queue, &pool, PacketSize::Extended32);
        let refused = queue.push(packet(&pool, PacketSize::Ack, clock::now()));
        assert_eq!(refused, Err(DropReason::NextHopQueueFull));
    }

    #[tokio::test(start_paused = true)]
    async fn stale_packets_are_removed_unless_partly_written() {
        let pool = BufferPool::new(BUDGET);
        let queue = queue(&Arc::default());
        let (start, stale_after) = (clock::now(), Duration::from_secs(1));
        for second in 0..3 {
            queue.push(packet(&pool, PacketSize::Ack, start + second * stale_after)).unwrap();
        }
        assert!(queue.pop_stale(false, stale_after).is_none());
        assert_eq!(queue.stale_at(true, stale_after), Some(start + 2 * stale_after));
        tokio::time::advance(2 * stale_after).await;
        assert_eq!(queue.pop_stale(true, stale_after).unwrap().due, start + stale_after);
        assert!(queue.pop_stale(true, stale_after).is_none(), "the third is not stale, the first has begun");
        assert_eq!(queue.pop_stale(false, stale_after).unwrap().due, start);
        assert_eq!(queue.pop().unwrap().due, start + 2 * stale_after);
        assert!(queue.is_empty());
    }
}
