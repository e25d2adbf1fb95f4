//! Schedule of packets at a steady rate.

use std::time::Duration;

use tokio::time::Instant;

/// Most packets sent in one batch before returning ones are received.
const BURST_MAX: u64 = 8;
/// Longest delay that is made up for on a machine too slow for the rate; older packets are skipped.
const BEHIND_MAX: Duration = Duration::from_secs(1);

/// Schedule of the next packets.
#[derive(Debug)]
pub(super) struct Pace {
    interval: Duration,
    next: Instant,
}

impl Pace {
    /// Starts a schedule whose first packet is due `now`.
    pub(super) fn new(per_s: f64, now: Instant) -> Self {
        Self { interval: interval(per_s), next: now }
    }

    pub(super) fn restart(&mut self, now: Instant) {
        self.next = now;
    }

    /// Changes the rate after the next packet. A lower rate cancels packets that are behind schedule.
    pub(super) fn set_rate(&mut self, per_s: f64, now: Instant) {
        let interval = interval(per_s);
        if interval > self.interval {
            self.next = self.next.max(now);
        }
        self.interval = interval;
    }

    /// When the next packet is due.
    pub(super) const fn next(&self) -> Instant {
        self.next
    }

    /// Number of packets to send now.
    pub(super) fn due(&mut self, now: Instant) -> u64 {
        let earliest = now.checked_sub(BEHIND_MAX).unwrap_or(self.next);
        self.next = self.next.max(earliest);
        let mut count = 0;
        while self.next <= now && count < BURST_MAX {
            self.next += self.interval;
            count += 1;
        }
        count
    }
}

fn interval(per_s: f64) -> Duration {
    // A rate of zero or less has no interval.
    Duration::try_from_secs_f64(1.0 / per_s).unwrap_or(Duration::from_secs(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent_between(pace: &mut Pace, start: Instant, milliseconds: std::ops::Range<u64>) -> u64 {
        milliseconds.map(|ms| pace.due(start + Duration::from_millis(ms))).sum()
    }

    #[test]
    fn the_pace_is_steady_and_a_long_pause_is_not_made_up_for() {
        let start = Instant::now();
        let mut pace = Pace::new(100.0, start);
        assert_eq!(sent_between(&mut pace, start, 0..1001), 101);
        let later = start + Duration::from_mins(1);
        let mut made_up = 0;
        while pace.next() <= later {
            made_up += pace.due(later);
        }
        assert_eq!(made_up, 101);
    }

    #[test]
    fn the_rate_changes_on_the_way() {
        let start = Instant::now();
        let mut pace = Pace::new(100.0, start);
        sent_between(&mut pace, start, 0..1000);
        pace.set_rate(1000.0, start + Duration::from_secs(1));
        let fast = sent_between(&mut pace, start, 1000..2000);
        assert!((998..=1002).contains(&fast), "{fast}");
        // Behind by half a second when the rate falls: that half second is over.
        pace.set_rate(10.0, start + Duration::from_millis(2500));
        let slow = sent_between(&mut pace, start, 2500..3500);
        assert!((10..=11).contains(&slow), "{slow}");
    }

    #[test]
    fn a_rate_of_nothing_is_slow_and_no_panic() {
        assert_eq!(interval(0.0), Duration::from_secs(1));
        assert_eq!(interval(-1.0), Duration::from_secs(1));
        assert_eq!(interval(4.0), Duration::from_millis(250));
    }
}
