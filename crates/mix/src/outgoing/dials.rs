//! Limits on connection attempts, global and not by sender: first attempts and repeated ones have a rate each.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A rate with a burst.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DialRate {
    /// Attempts per second in the long run.
    pub per_second: u32,
    /// Attempts at once after a time without any.
    pub burst: u32,
}

/// Limits on the connection attempts of a node, over all next hops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DialRates {
    /// Attempts without a failure before them.
    pub first: DialRate,
    /// Attempts after a failure. Unreachable next hops cannot use up the first ones.
    pub repeated: DialRate,
}

impl DialRates {
    /// Rates of a node. A network of 4096 next hops is reached at once.
    pub const NODE: Self =
        Self { first: DialRate { per_second: 512, burst: 4096 }, repeated: DialRate { per_second: 64, burst: 256 } };
    /// Practically no limits.
    pub const UNLIMITED: Self = Self {
        first: DialRate { per_second: 1 << 20, burst: 1 << 20 },
        repeated: DialRate { per_second: 1 << 20, burst: 1 << 20 },
    };
}

/// Counts attempts against their rates.
#[derive(Debug, Default)]
pub(super) struct Dials {
    first: Mutex<Spent>,
    repeated: Mutex<Spent>,
    deferred: AtomicU64,
}

/// When a burst is whole again; in the past if it is.
#[derive(Debug, Default)]
struct Spent {
    until: Option<Instant>,
}

impl Dials {
    /// Whether an attempt may begin now. Counts it, or that it has to wait.
    pub(super) fn permit(&self, rates: DialRates, is_repeated: bool, now: Instant) -> bool {
        let (spent, rate) = if is_repeated { (&self.repeated, rates.repeated) } else { (&self.first, rates.first) };
        let is_permitted = spent.lock().unwrap_or_else(PoisonError::into_inner).permit(rate, now);
        if !is_permitted {
            self.deferred.fetch_add(1, Ordering::Relaxed);
        }
        is_permitted
    }

    pub(super) fn deferred(&self) -> u64 {
        self.deferred.load(Ordering::Relaxed)
    }
}

impl Spent {
    fn permit(&mut self, rate: DialRate, now: Instant) -> bool {
        let one = Duration::from_secs(1) / rate.per_second.max(1);
        let until = self.until.map_or(now, |until| until.max(now)) + one;
        if until - now > one * rate.burst {
            return false;
        }
        self.until = Some(until);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATES: DialRates =
        DialRates { first: DialRate { per_second: 10, burst: 30 }, repeated: DialRate { per_second: 2, burst: 4 } };

    #[test]
    fn a_burst_is_followed_by_the_rate_and_is_whole_again_after_a_pause() {
        let (dials, start) = (Dials::default(), Instant::now());
        let permitted = |at: Duration| (0..100).filter(|_| dials.permit(RATES, false, start + at)).count();
        assert_eq!(permitted(Duration::ZERO), 30);
        assert_eq!(permitted(Duration::from_secs(1)), 10);
        assert_eq!(permitted(Duration::from_millis(1500)), 5);
        assert_eq!(permitted(Duration::from_secs(60)), 30);
        assert_eq!(dials.deferred(), 400 - 75);
    }

    #[test]
    fn repeated_attempts_leave_the_first_ones_alone() {
        let (dials, now) = (Dials::default(), Instant::now());
        assert_eq!((0..100).filter(|_| dials.permit(RATES, true, now)).count(), 4);
        assert!((0..30).all(|_| dials.permit(RATES, false, now)));
    }
}
