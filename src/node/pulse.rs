//! Whether the workers still turn.

use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};

/// How often a worker shows that it turns.
const BEAT_EVERY: Duration = Duration::from_secs(1);
/// A worker that has not shown it for this long hangs. A batch takes some milliseconds.
const STALLED_AFTER: Duration = Duration::from_secs(10);
/// The beat of a worker that has done its work.
const ENDED: u64 = u64::MAX;

/// The workers' signs of life. Each is set by the runtime of its worker, so a runtime that hangs sets none.
#[derive(Debug)]
pub(super) struct Pulses {
    start: Instant,
    /// Milliseconds from `start` to the last sign, for each worker.
    beats: Vec<AtomicU64>,
}

impl Pulses {
    /// Workers that have the usual time to show themselves for the first time.
    pub(super) fn new(workers: usize) -> Self {
        Self { start: Instant::now(), beats: (0..workers).map(|_| AtomicU64::new(0)).collect() }
    }

    /// Beats for `worker` while `work` goes on, on the same runtime.
    pub(super) async fn accompany<T>(&self, worker: usize, work: impl Future<Output = T>) -> T {
        let done = tokio::select! {
            biased;
            never = self.beat(worker) => match never {},
            done = work => done,
        };
        self.beats[worker].store(ENDED, Ordering::Relaxed);
        done
    }

    /// Whether a worker hangs. Which one is nobody's business: a worker stands for the next hops that it owns.
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
    async fn a_worker_that_turns_is_not_stalled() {
        let pulses = Pulses::new(1);
        tokio::select! {
            () = pulses.accompany(0, pending()) => {}
            () = sleep(10 * STALLED_AFTER) => {}
        }
        assert!(!pulses.is_stalled());
    }

    #[tokio::test(start_paused = true)]
    async fn a_worker_that_hangs_is_found_among_those_that_turn() {
        let pulses = Pulses::new(2);
        let first = pulses.accompany(0, pending::<()>());
        // The second one's runtime hangs: nothing of it is polled.
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
    async fn a_worker_that_has_ended_does_not_hang() {
        let pulses = Pulses::new(1);
        pulses.accompany(0, async {}).await;
        advance(10 * STALLED_AFTER).await;
        assert!(!pulses.is_stalled());
    }
}
