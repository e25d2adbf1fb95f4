//! The task of a worker's pool, which delays packets until they are due.

use std::future::pending;
use std::sync::atomic::{AtomicUsize, Ordering};

use nym_mixnode_mix::{DelayQueue, DropCounters, DropReason, Scheduled};
use tokio::sync::mpsc;
use tokio::time::sleep_until;

use crate::clock;
use crate::shutdown::{Phase, PhaseSignal};

/// Packets received in one batch before due packets are released.
const INTAKE_MAX: usize = 256;

/// Number of packets in a pool, readable from other threads.
#[derive(Debug, Default)]
pub struct PoolGauge(AtomicUsize);

impl PoolGauge {
    /// Packets in the pool.
    #[must_use]
    pub fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// Runs a pool until its intake is closed and it is empty, or until the node aborts.
///
/// Calls `release` with each packet in due order, at its due time or as soon as the worker can after it. When the node
/// aborts, the remaining packets are dropped with [`DropReason::Shutdown`].
pub async fn drive(
    mut intake: mpsc::Receiver<Scheduled>,
    mut release: impl FnMut(Scheduled),
    drops: &DropCounters,
    gauge: &PoolGauge,
    mut phase: PhaseSignal,
) {
    let mut pool = DelayQueue::default();
    let mut arrived = Vec::with_capacity(INTAKE_MAX);
    let mut open = true;
    while open || !pool.is_empty() {
        tokio::select! {
            biased;
            () = phase.reached(Phase::Aborting) => break,
            count = intake.recv_many(&mut arrived, INTAKE_MAX), if open => open = count > 0,
            () = until_due(&pool) => {}
        }
        for scheduled in arrived.drain(..) {
            pool.insert(scheduled.due, scheduled);
        }
        let now = clock::now();
        while let Some(scheduled) = pool.pop_due(now) {
            release(scheduled);
        }
        gauge.0.store(pool.len(), Ordering::Relaxed);
    }
    intake.close();
    while let Some(scheduled) = intake.recv().await {
        pool.insert(scheduled.due, scheduled);
    }
    for _ in pool.drain() {
        drops.count(DropReason::Shutdown);
    }
    gauge.0.store(0, Ordering::Relaxed);
}

async fn until_due<T>(pool: &DelayQueue<T>) {
    match pool.next_due() {
        Some(due) => sleep_until(due.into()).await,
        None => pending().await,
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;
    use std::time::{Duration, Instant};

    use super::*;
    use crate::shutdown::phases;
    use nym_mixnode_sphinx::PacketSize;
    use nym_mixnode_wire::{BufferPool, FrameHeader, PacketMode};

    fn scheduled(pool: &std::sync::Arc<BufferPool>, due: Instant, port: u16) -> Scheduled {
        let header = FrameHeader::v0_9(PacketSize::Ack, PacketMode::Mix);
        let frame = vec![0; header.frame_len()];
        let next_hop = ([192, 0, 2, 1], port).into();
        Scheduled { packet: pool.take(header, &frame), next_hop, due }
    }

    #[tokio::test(start_paused = true)]
    async fn packets_leave_in_due_order_and_never_early() {
        let pool = BufferPool::new(1 << 20);
        let (sender, intake) = mpsc::channel(64);
        let (_control, phase) = phases();
        let start = clock::now();
        for (port, delay) in [(3, 70), (1, 20), (4, 70), (2, 33)] {
            sender.send(scheduled(&pool, start + Duration::from_millis(delay), port)).await.unwrap();
        }
        drop(sender);
        let left = Rc::new(RefCell::new(Vec::new()));
        let release = |packet: Scheduled| {
            assert!(clock::now() >= packet.due);
            left.borrow_mut().push((packet.next_hop.port(), start.elapsed().as_millis()));
        };
        drive(intake, release, &DropCounters::default(), &PoolGauge::default(), phase).await;
        let ports: Vec<_> = left.borrow().iter().map(|(port, _)| *port).collect();
        assert_eq!(ports, [1, 2, 3, 4]);
        assert!(left.borrow().iter().all(|(_, ms)| *ms <= 72), "{left:?}");
        assert_eq!(pool.packets_in_flight(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn an_abort_counts_what_it_drops() {
        let pool = BufferPool::new(1 << 20);
        let (sender, intake) = mpsc::channel(64);
        let (control, phase) = phases();
        for port in 0..10 {
            sender.send(scheduled(&pool, clock::now() + Duration::from_secs(9), port)).await.unwrap();
        }
        let drops = DropCounters::default();
        let gauge = PoolGauge::default();
        let abort = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            assert_eq!(gauge.get(), 10);
            control.enter(Phase::Aborting);
            drop(sender);
        };
        tokio::join!(drive(intake, |_| panic!("released early"), &drops, &gauge, phase), abort);
        assert_eq!(drops.get(DropReason::Shutdown), 10);
        assert_eq!(pool.packets_in_flight(), 0);
    }
}
