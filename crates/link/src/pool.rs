//! The task of a worker's pool, which delays packets until they are due.

use std::future::pending;
use std::iter;
use std::sync::atomic::{AtomicUsize, Ordering};

use nym_mixnode_mix::{DelayQueue, DropCounters, DropReason, ReleaseIntervals, Scheduled};
use rand::seq::SliceRandom;
use tokio::sync::mpsc;

use crate::clock;
use crate::shutdown::{Phase, PhaseSignal};
use crate::timer::Alarm;

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
/// Calls `release` with all packets that became due in a release interval at its end, or as soon as the worker can
/// after it, in random order; without intervals at their due time, in due order. When the node aborts, the remaining
/// packets are dropped with [`DropReason::Shutdown`].
pub async fn drive(
    mut intake: mpsc::Receiver<Scheduled>,
    intervals: ReleaseIntervals,
    mut alarm: Alarm,
    mut release: impl FnMut(&mut dyn Iterator<Item = Scheduled>),
    drops: &DropCounters,
    gauge: &PoolGauge,
    mut phase: PhaseSignal,
) {
    let mut pool = DelayQueue::default();
    let mut arrived = Vec::with_capacity(INTAKE_MAX);
    let mut due = Vec::with_capacity(INTAKE_MAX);
    let mut open = true;
    while open || !pool.is_empty() {
        tokio::select! {
            biased;
            () = phase.reached(Phase::Aborting) => break,
            count = intake.recv_many(&mut arrived, INTAKE_MAX), if open => open = count > 0,
            () = until_release(&pool, intervals, &mut alarm) => {}
        }
        for scheduled in arrived.drain(..) {
            pool.insert(scheduled.due, scheduled);
        }
        let end = intervals.end_before(clock::now());
        due.extend(iter::from_fn(|| pool.pop_due(end)));
        if !intervals.is_off() {
            due.shuffle(&mut rand::rng());
        }
        if !due.is_empty() {
            release(&mut due.drain(..));
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

async fn until_release<T>(pool: &DelayQueue<T>, intervals: ReleaseIntervals, alarm: &mut Alarm) {
    match pool.next_due() {
        Some(due) => alarm.at(intervals.end_after(due)).await,
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

    /// Delays packets in a pool with release intervals of this length. Returns the port of each packet, which tells its
    /// place in due order, and when it left.
    async fn leave(length: Duration, delays: impl IntoIterator<Item = Duration>) -> Vec<(u16, Duration)> {
        let pool = BufferPool::new(1 << 20);
        let (sender, intake) = mpsc::channel(1024);
        let (_control, phase) = phases();
        let start = clock::now();
        for (port, delay) in (1..).zip(delays) {
            sender.send(scheduled(&pool, start + delay, port)).await.unwrap();
        }
        drop(sender);
        let left = Rc::new(RefCell::new(Vec::new()));
        let release = |due: &mut dyn Iterator<Item = Scheduled>| {
            for packet in due {
                assert!(clock::now() >= packet.due);
                left.borrow_mut().push((packet.next_hop.port(), clock::now() - start));
            }
        };
        let intervals = ReleaseIntervals::new(start, length);
        drive(intake, intervals, Alarm::coarse(), release, &DropCounters::default(), &PoolGauge::default(), phase)
            .await;
        assert_eq!(pool.packets_in_flight(), 0);
        left.take()
    }

    #[tokio::test(start_paused = true)]
    async fn without_intervals_packets_leave_in_due_order_and_never_early() {
        let left = leave(Duration::ZERO, [70, 20, 70, 33].map(Duration::from_millis)).await;
        let ports: Vec<_> = left.iter().map(|(port, _)| *port).collect();
        assert_eq!(ports, [2, 4, 1, 3]);
        assert!(left.iter().all(|(_, after)| after.as_millis() <= 72), "{left:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn packets_of_an_interval_leave_together_and_shuffled_but_intervals_in_order() {
        const PER_INTERVAL: u16 = 50;
        let length = Duration::from_millis(10);
        // Due every 0.2 ms, in order, from just after the start.
        let delays = (1..=4 * PER_INTERVAL).map(|n| u32::from(n) * length / u32::from(PER_INTERVAL));
        let left = leave(length, delays).await;
        for (number, interval) in (0..).zip(left.chunks(usize::from(PER_INTERVAL))) {
            let mut ports: Vec<_> = interval.iter().map(|(port, _)| *port).collect();
            assert!(!ports.is_sorted(), "{ports:?}");
            ports.sort_unstable();
            let expected: Vec<_> = (number * PER_INTERVAL + 1..=(number + 1) * PER_INTERVAL).collect();
            assert_eq!(ports, expected, "interval {number}");
            let times: Vec<_> = interval.iter().map(|(_, after)| *after).collect();
            assert!(times.iter().all(|time| *time == times[0]), "{times:?}");
            let end = length * u32::from(number + 1);
            assert!(times[0] >= end && times[0] <= end + Duration::from_millis(2), "{:?} for {end:?}", times[0]);
        }
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
        let intervals = ReleaseIntervals::new(clock::now(), Duration::from_millis(1));
        tokio::join!(
            drive(intake, intervals, Alarm::coarse(), |_| panic!("released early"), &drops, &gauge, phase),
            abort
        );
        assert_eq!(drops.get(DropReason::Shutdown), 10);
        assert_eq!(pool.packets_in_flight(), 0);
    }
}
