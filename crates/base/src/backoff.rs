//! Exponential back-off with a cap and jitter.

use std::time::Duration;

/// Back-off state of one series of failures.
#[derive(Debug)]
pub struct Backoff {
    initial: Duration,
    max: Duration,
    next: Duration,
}

impl Backoff {
    pub fn new(initial: Duration, max: Duration) -> Self {
        Self { initial, max, next: initial.min(max) }
    }

    /// For accept loops: a missing resource, usually a file descriptor, may be free again within milliseconds.
    pub fn for_accepting() -> Self {
        Self::new(Duration::from_millis(5), Duration::from_secs(1))
    }

    /// Returns the next wait, between half of the current step and the whole step. The jitter keeps nodes that lost the
    /// directory at the same moment from reconnecting at the same moment.
    pub fn wait(&mut self) -> Duration {
        let step = self.next;
        self.next = step.saturating_mul(2).min(self.max);
        step.mul_f64(rand::random_range(0.5..=1.0))
    }

    /// Starts over after a success.
    pub fn reset(&mut self) {
        self.next = self.initial.min(self.max);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_cap_within_their_jitter() {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(45));
        for step_s in [1, 2, 4, 8, 16, 32, 45, 45, 45] {
            let step = Duration::from_secs(step_s);
            let wait = backoff.wait();
            assert!(step / 2 <= wait && wait <= step, "{wait:?} for a step of {step:?}");
        }
        backoff.reset();
        assert!(backoff.wait() <= Duration::from_secs(1));
    }

    #[test]
    fn an_initial_wait_above_the_cap_is_capped() {
        let mut backoff = Backoff::new(Duration::from_secs(9), Duration::from_secs(3));
        assert!(backoff.wait() <= Duration::from_secs(3));
    }
}
