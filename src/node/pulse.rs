//! Detection of workers that hang.

use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};

/// Interval of a worker's heartbeat.
const BEAT_EVERY: Duration = Duration::from_secs(1);
/// Time without a heartbeat after which a worker counts as stalled. A batch takes some milliseconds.
const STALLED_AFTER: Duration = Duration::from_secs(10);
/// Value of `beats` for a worker that has ended.
const ENDED: u64 = u64::MAX;

/// Heartbeats of the workers. A task on the worker's runtime sets each, so a blocked runtime sets none.
#[derive(Debug)]
pub(super) struct Pulses {
    start: Instant,
    /// Milliseconds from `start` to the last heartbeat, by worker.
    beats: Vec<AtomicU64>,
}

impl Pulses {
    /// Heartbeats of new workers, as if all had just had one.
    pub(super) fn new(workers: usize) -> Self {
        Self { start: Instant::now(), beats: (0..workers).map(|_| AtomicU64::new(0)).collect() }
    }

    /// Runs `work` with heartbeats for `worker` on the same runtime.
    pub(super) async fn accompany<T>(&self, worker: usize, work: impl Future<Output = T>) -> T {
        let done = tokio::select! {
            biased;
            never = self.beat(worker) => match never {},
            done = work => done,
        };
        self.beats[worker].store(ENDED, Ordering::Relaxed);
        done
    }

    /// Whether any worker is stalled. Which one is not exported: it would reveal next hops.
    pub(super) fn is_stalled(&self) -> bool {
        let oldest = self.millis().saturating_sub(u64::try_from(STALLED_AFTER.as_millis()).unwrap_or(u64::MAX));
        self.beats.iter().any(|beat| beat.load(Ordering::Relaxed) < oldest)
    }

    async fn beat(&self, worker: usize) -> Infallible {
        let mut tick = interval(BEAT_EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            self.beats[worker].store(self.millis(), Ordering::Relaxed);
        }
    }

    fn millis(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(ENDED - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::pending;
    use tokio::time::{advance, sleep};

    #[tokio::test(start_paused = true)]
    async fn a_running_worker_is_not_stalled() {
        let pulses = Pulses::new(1);
        tokio::select! {
            () = pulses.accompany(0, pending()) => {}
            () = sleep(10 * STALLED_AFTER) => {}
        }
        assert!(!pulses.is_stalled());
    }

    #[tokio::test(start_paused = true)]
    async fn a_stalled_worker_is_found_among_running_ones() {
        let pulses = Pulses::new(2);
        let first = pulses.accompany(0, pending::<()>());
        // The second worker hangs: its future is never polled.
        let _second = pulses.accompany(1, pending::<()>());
        let watch = async {
            sleep(STALLED_AFTER).await;
            assert!(!pulses.is_stalled());
            sleep(Duration::from_millis(1)).await;
            assert!(pulses.is_stalled());
        };
        tokio::select! {
            () = first => {}
            () = watch => {}
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_worker_that_has_ended_is_not_stalled() {
        let pulses = Pulses::new(1);
        pulses.accompany(0, async {}).await;
        advance(10 * STALLED_AFTER).await;
        assert!(!pulses.is_stalled());
    }
}
