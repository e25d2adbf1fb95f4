//! Pauses between attempts: doubling, capped, and jittered so that many nodes don't knock at once.

use std::time::Duration;

use rand::RngExt;

/// The pauses of one peer. Starts anew after a success.
#[derive(Debug)]
pub(super) struct Backoff {
    initial: Duration,
    max: Duration,
    next: Duration,
}

impl Backoff {
    pub(super) fn new(initial: Duration, max: Duration) -> Self {
        Self { initial, max, next: initial.min(max) }
    }

    /// The pause before the next attempt: between half of the current step and all of it.
    pub(super) fn pause(&mut self) -> Duration {
        let step = self.next;
        self.next = step.saturating_mul(2).min(self.max);
        step.mul_f64(rand::rng().random_range(0.5..=1.0))
    }

    /// The last attempt succeeded.
    pub(super) fn reset(&mut self) {
        self.next = self.initial.min(self.max);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_cap_and_start_anew() {
        let (initial, max) = (Duration::from_millis(100), Duration::from_millis(1000));
        let mut backoff = Backoff::new(initial, max);
        for step_ms in [100, 200, 400, 800, 1000, 1000] {
            let pause = backoff.pause();
            assert!(pause >= Duration::from_millis(step_ms / 2) && pause <= Duration::from_millis(step_ms));
        }
        backoff.reset();
        assert!(backoff.pause() <= initial);
    }
}
