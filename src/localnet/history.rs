//! A node's rates in the last seconds, computed from the counters that it reports.

use std::collections::VecDeque;
use std::time::Duration;

use nym_mixnode_mix::LAG_BOUNDS_MS;
use tokio::time::Instant;

use crate::node::NodeStatus;

/// Number of points kept: more than the widest terminal shows.
const POINTS_MAX: usize = 256;
/// Shortest time between two reports from which a rate is computed.
const INTERVAL_MIN: Duration = Duration::from_millis(200);
/// Percentile of the lag.
const LAG_PERCENT: u64 = 99;

/// Rate and lag of a node between two reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Point {
    /// Packets received per second.
    pub(super) rate: u64,
    /// How late the packets left; `None` if no packet left.
    pub(super) lag: Option<Lag>,
}

/// 99th percentile of the time by which packets left later than their senders requested.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lag(usize);

/// Last points of a node, oldest first.
#[derive(Debug, Clone, Default)]
pub(super) struct History {
    points: VecDeque<Point>,
    last: Option<(Instant, NodeStatus)>,
}

impl History {
    /// Adds a report of that time.
    pub(super) fn add(&mut self, at: Instant, status: &NodeStatus) {
        if let Some((since, before)) = &self.last {
            let elapsed = at.saturating_duration_since(*since);
            if elapsed < INTERVAL_MIN {
                return;
            }
            let received = status.received.saturating_sub(before.received);
            let point = Point { rate: per_second(received, elapsed), lag: Lag::between(before, status) };
            self.points.push_back(point);
            if self.points.len() > POINTS_MAX {
                self.points.pop_front();
            }
        }
        self.last = Some((at, status.clone()));
    }

    pub(super) fn points(&self) -> Vec<Point> {
        self.points.iter().copied().collect()
    }
}

impl Lag {
    /// Number of steps of a lag.
    pub(super) const STEPS: u64 = LAG_BOUNDS_MS.len() as u64 + 1;

    /// Lag of this step, for tests and examples.
    #[cfg(test)]
    pub(super) const fn of_step(step: usize) -> Self {
        Self(step - 1)
    }

    fn between(before: &NodeStatus, after: &NodeStatus) -> Option<Self> {
        let counts = after.lag.iter().zip(&before.lag).map(|(after, before)| after.saturating_sub(*before));
        let total: u64 = counts.clone().sum();
        let enough = (total * LAG_PERCENT).div_ceil(100).max(1);
        let mut sum = 0;
        counts
            .map(|count| {
                sum += count;
                sum
            })
            .position(|sum| sum >= enough)
            .map(Self)
    }

    /// Step from 1 to [`Lag::STEPS`].
    pub(super) const fn step(self) -> u64 {
        self.0 as u64 + 1
    }

    /// Upper bound of this step; `None` means above all bounds.
    pub(super) fn at_most_ms(self) -> Option<u64> {
        LAG_BOUNDS_MS.get(self.0).copied()
    }

    /// Formats the lag, such as `≤5ms`.
    pub(super) fn words(self) -> String {
        match (self.at_most_ms(), LAG_BOUNDS_MS.last()) {
            (Some(bound), _) => format!("≤{bound}ms"),
            (None, last) => format!(">{}ms", last.copied().unwrap_or_default()),
        }
    }
}

fn per_second(count: u64, elapsed: Duration) -> u64 {
    let milliseconds = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX).max(1);
    (count * 1000 + milliseconds / 2) / milliseconds
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(received: u64, lag: [u64; 7]) -> NodeStatus {
        NodeStatus { received, lag, ..NodeStatus::default() }
    }

    #[test]
    fn each_report_gives_the_rate_and_the_lag_since_the_one_before() {
        let start = Instant::now();
        let mut history = History::default();
        history.add(start, &status(1000, [1000, 0, 0, 0, 0, 0, 0]));
        assert_eq!(history.points(), [], "nothing to compare with");
        history.add(start + Duration::from_millis(1010), &status(1101, [1050, 0, 0, 0, 0, 0, 0]));
        history.add(start + Duration::from_millis(2010), &status(1101, [1050, 0, 0, 0, 0, 0, 0]));
        history.add(start + Duration::from_millis(3010), &status(1301, [1147, 0, 2, 0, 0, 1, 0]));
        history.add(start + Duration::from_millis(4010), &status(1501, [1147, 0, 2, 0, 0, 1, 200]));
        let points = history.points();
        assert_eq!(points.iter().map(|point| point.rate).collect::<Vec<_>>(), [100, 0, 200, 200]);
        let lags: Vec<_> = points.iter().map(|point| point.lag.map(Lag::words)).collect();
        assert_eq!(lags, [Some("≤1ms".to_owned()), None, Some("≤5ms".to_owned()), Some(">250ms".to_owned())]);
        assert_eq!(points[3].lag.map(Lag::step), Some(Lag::STEPS));
    }

    #[test]
    fn two_reports_at_one_time_are_one_and_old_points_go() {
        let start = Instant::now();
        let mut history = History::default();
        for second in 0..1000 {
            let at = start + Duration::from_secs(second);
            history.add(at, &status(second * 10, [0; 7]));
            history.add(at + Duration::from_millis(1), &status(second * 10 + 9, [0; 7]));
        }
        assert_eq!(history.points().len(), POINTS_MAX);
        assert!(history.points().iter().all(|point| point.rate == 10));
    }
}
