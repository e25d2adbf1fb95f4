//! When due packets leave: together, at the end of the release interval in which they became due.

use std::time::{Duration, Instant};

/// Consecutive intervals of equal length, at whose ends packets leave. With a length of 0, each moment is an end.
///
/// All packets that became due within an interval leave at its end, in random order, so that departures show neither
/// the order nor the exact time of due packets.
#[derive(Debug, Clone, Copy)]
pub struct ReleaseIntervals {
    start: Instant,
    length: Duration,
}

impl ReleaseIntervals {
    /// Intervals of this length, the first of which begins at `start`.
    #[must_use]
    pub fn new(start: Instant, length: Duration) -> Self {
        Self { start, length }
    }

    /// Whether packets leave at any moment.
    #[must_use]
    pub fn is_off(&self) -> bool {
        self.length.is_zero()
    }

    /// When a packet leaves that is due at `due`: at the first end from then on.
    #[must_use]
    pub fn end_after(&self, due: Instant) -> Instant {
        let end = self.end_before(due);
        if end < due { end + self.length } else { end }
    }

    /// The last end until `now`: packets that are due by then leave now.
    #[must_use]
    pub fn end_before(&self, now: Instant) -> Instant {
        let since = now.saturating_duration_since(self.start);
        let part = since.as_nanos().checked_rem(self.length.as_nanos()).unwrap_or_default();
        // Less than the length, which is a `Duration` of u64 nanoseconds for all lengths up to 584 years.
        now - Duration::from_nanos(u64::try_from(part).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn packets_leave_at_the_first_end_after_they_are_due(length in 1u64..5_000_000, due in 0u64..1 << 50) {
            let start = Instant::now();
            let length = Duration::from_nanos(length);
            let intervals = ReleaseIntervals::new(start, length);
            let due = start + Duration::from_nanos(due);
            let end = intervals.end_after(due);
            prop_assert!(end >= due && end < due + length);
            prop_assert_eq!((end - start).as_nanos() % length.as_nanos(), 0);
            prop_assert_eq!(intervals.end_before(end), end);
            prop_assert_eq!(intervals.end_before(end + length - Duration::from_nanos(1)), end);
        }
    }

    #[test]
    fn without_an_interval_packets_leave_when_they_are_due() {
        let start = Instant::now();
        let intervals = ReleaseIntervals::new(start, Duration::ZERO);
        let due = start + Duration::from_nanos(1_234_567);
        assert_eq!((intervals.end_after(due), intervals.end_before(due)), (due, due));
        assert!(intervals.is_off());
    }

    #[test]
    fn a_moment_before_the_start_is_an_end() {
        let start = Instant::now() + Duration::from_secs(1);
        let intervals = ReleaseIntervals::new(start, Duration::from_millis(1));
        let before = start - Duration::from_micros(300);
        assert_eq!(intervals.end_before(before), before);
    }
}
