//! The queue of due packets of one next hop, and its share of the node's byte budget.

use std::collections::VecDeque;
use std::sync::Arc;

use super::{Counters, Settings};
use crate::Scheduled;

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

/// Due packets of one next hop, oldest first.
#[derive(Debug)]
pub(super) struct Queue {
    packets: VecDeque<Scheduled>,
    bytes: usize,
    packets_max: usize,
    shares: Shares,
    counters: Arc<Counters>,
}

impl Queue {
    pub(super) fn new(settings: &Settings, counters: Arc<Counters>) -> Self {
        Self {
            packets: VecDeque::new(),
            bytes: 0,
            packets_max: settings.queue_packets_max,
            shares: Shares::of(settings.budget_bytes),
            counters,
        }
    }

    pub(super) fn push(&mut self, scheduled: Scheduled) {
        let bytes = scheduled.packet.charged_bytes();
        self.bytes += bytes;
        self.counters.pushed(bytes);
        self.packets.push_back(scheduled);
    }

    /// Whether the queue rejects packets. Independent of the packet's size, so that small packets have no advantage.
    pub(super) fn is_full(&self) -> bool {
        let share = if self.counters.queued_bytes() < self.shares.all { self.shares.one } else { self.shares.short };
        self.bytes >= share || self.packets.len() >= self.packets_max
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Scheduled> {
        self.packets.iter()
    }

    /// The oldest packet, or the second oldest if the first `has_begun` to be sent.
    pub(super) fn oldest(&self, has_begun: bool) -> Option<&Scheduled> {
        self.packets.get(usize::from(has_begun))
    }

    /// Removes the [oldest](Self::oldest) packet if `condition` holds for it.
    pub(super) fn pop_if(&mut self, has_begun: bool, condition: impl Fn(&Scheduled) -> bool) -> Option<Scheduled> {
        if !condition(self.oldest(has_begun)?) {
            return None;
        }
        let popped = self.packets.remove(usize::from(has_begun))?;
        let bytes = popped.packet.charged_bytes();
        self.bytes -= bytes;
        self.counters.popped(bytes);
        Some(popped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outgoing::DialRates;
    use nym_mixnode_sphinx::PacketSize;
    use nym_mixnode_wire::{BufferPool, FrameHeader, PacketMode};

    use std::time::{Duration, Instant};

    const BUDGET: usize = 64 << 20;

    fn queue(counters: &Arc<Counters>) -> Queue {
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
            dial_rates: DialRates::NODE,
        };
        Queue::new(&settings, Arc::clone(counters))
    }

    fn packet(pool: &Arc<BufferPool>, size: PacketSize, due: Instant) -> Scheduled {
        let header = FrameHeader::v0_9(size, PacketMode::Mix);
        let packet = pool.take(header, &vec![0; header.frame_len()]);
        Scheduled { packet, next_hop: ([192, 0, 2, 1], 1789).into(), due }
    }

    /// Pushes until the queue is full, and returns the queued bytes.
    fn fill(queue: &mut Queue, pool: &Arc<BufferPool>, size: PacketSize) -> usize {
        let before = pool.bytes_in_flight();
        while !queue.is_full() {
            queue.push(packet(pool, size, Instant::now()));
        }
        pool.bytes_in_flight() - before
    }

    #[test]
    fn one_queue_has_a_share_and_all_queues_together_leave_half_of_the_budget() {
        let pool = BufferPool::new(BUDGET);
        let counters = Arc::new(Counters::default());
        let mut queues: Vec<_> = (0..64).map(|_| queue(&counters)).collect();
        let shares = Shares::of(BUDGET);
        let frame = PacketSize::Extended32.packet_len() + 1000;
        let first = fill(&mut queues[0], &pool, PacketSize::Extended32);
        assert!((shares.one..shares.one + frame).contains(&first), "{first}");
        for slow in &mut queues[1..32] {
            fill(slow, &pool, PacketSize::Extended32);
        }
        let all = pool.bytes_in_flight();
        assert!((shares.all..shares.all + 32 * (shares.short + frame)).contains(&all), "{all}");
        assert_eq!(counters.queued_bytes(), all);
        for other in &mut queues[32..] {
            assert!(fill(other, &pool, PacketSize::Regular) >= shares.short);
        }
        for queue in &mut queues {
            while queue.pop_if(false, |_| true).is_some() {}
        }
        assert_eq!((pool.bytes_in_flight(), counters.queued_bytes()), (0, 0));
    }

    #[test]
    fn shares_of_every_budget_leave_memory_for_others() {
        for budget in [1 << 20, 8 << 20, 64 << 20, 256 << 20, 1 << 40] {
            let Shares { one, all, short } = Shares::of(budget);
            assert!(short > 0 && short < one && one <= all && all < budget, "{budget}: {one}, {all}, {short}");
        }
        assert_eq!(Shares::of(256 << 20).one, 16 << 20);
    }
}
