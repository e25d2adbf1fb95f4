//! Uptime, reputation, registrations and traffic over time.

use std::sync::atomic::{AtomicI64, Ordering};

use serde::Serialize;
use utoipa::ToSchema;

use super::{Rejection, Service};
use crate::store::{LayerHour, Tests, Transaction};

pub(super) const HOUR: i64 = 3_600 * 1_000_000_000;

pub(super) const DAY_HOURS: i64 = 24;

/// Hours are kept as such for this long, and as days for the second time.
const HOURLY_DAYS: i64 = 8;
const DAILY_DAYS: i64 = 31;

/// Maximum length of a history in hours.
pub(crate) const HISTORY_HOURS_MAX: i64 = 30 * DAY_HOURS;

/// Measurements of one node over one IP version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct NodePoint {
    /// Beginning of the time, in seconds since the epoch.
    pub(crate) at: i64,
    /// Length of the time: 1, or 24 for past weeks.
    pub(crate) hours: i64,
    /// 4 or 6.
    pub(crate) ip_version: i64,
    /// Number of successful measurements.
    pub(crate) passed: i64,
    /// Number of measurements.
    pub(crate) total: i64,
    /// Reputation at the end of the hour; the greatest of a day.
    pub(crate) reputation: i64,
}

/// Totals of one layer in one hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LayerPoint {
    /// Beginning of the hour, in seconds since the epoch.
    pub(crate) at: i64,
    /// 0 for gateways.
    pub(crate) layer: i64,
    /// Registered nodes at the end of the hour.
    pub(crate) nodes: i64,
    /// Packets that the nodes have reported, to two digits.
    pub(crate) packets: i64,
    /// Number of successful measurements.
    pub(crate) passed: i64,
    /// Number of measurements.
    pub(crate) total: i64,
}

/// The last hour in which old hours were joined to days.
#[derive(Debug, Default)]
pub(super) struct Shortened(AtomicI64);

impl Service {
    /// History of a node in the last hours, oldest first.
    pub(crate) async fn node_history(&self, identity: &str, hours: i64, now: i64) -> Result<Vec<NodePoint>, Rejection> {
        let hour = now / HOUR;
        let mut tests = self.store().tests(identity, since(hours, now)?).await?;
        // The clock was ahead when these were counted.
        tests.retain(|tests| tests.hour <= hour);
        let point = |tests: Tests| NodePoint {
            at: tests.hour * 3_600,
            hours: if tests.hour < daily_before(hour) { DAY_HOURS } else { 1 },
            ip_version: tests.ip_version,
            passed: tests.up,
            total: tests.total,
            reputation: tests.reputation,
        };
        Ok(tests.into_iter().map(point).collect())
    }

    /// History of the network in the last complete hours, oldest first.
    ///
    /// The hour that has not ended is left out: who reads it often would see the report of each node.
    pub(crate) async fn network_history(&self, hours: i64, now: i64) -> Result<Vec<LayerPoint>, Rejection> {
        let point = |counts: LayerHour| LayerPoint {
            at: counts.hour * 3_600,
            layer: counts.layer,
            nodes: counts.nodes,
            packets: two_digits(counts.received),
            passed: counts.up,
            total: counts.total,
        };
        let mut counts = self.store().layer_hours(since(hours, now)?).await?;
        counts.retain(|counts| counts.hour < now / HOUR);
        Ok(counts.into_iter().map(point).collect())
    }

    /// Counts the nodes of this hour, and once per hour shortens the history.
    pub(super) async fn keep_history(&self, transaction: &mut Transaction, now: i64) -> sqlx::Result<()> {
        let hour = now / HOUR;
        transaction.count_nodes(hour).await?;
        if self.0.shortened.0.load(Ordering::Relaxed) != hour {
            transaction.shorten_history(daily_before(hour), first_of_day(hour) - DAILY_DAYS * DAY_HOURS).await?;
            self.0.shortened.0.store(hour, Ordering::Relaxed);
        }
        Ok(())
    }
}

/// First hour of a history that ends now.
fn since(hours: i64, now: i64) -> Result<i64, Rejection> {
    if (1..=HISTORY_HOURS_MAX).contains(&hours) {
        return Ok(now / HOUR - hours);
    }
    Err(Rejection::OutOfRange(format!("hours {hours} is not between 1 and {HISTORY_HOURS_MAX}")))
}

fn first_of_day(hour: i64) -> i64 {
    hour - hour % DAY_HOURS
}

/// Earlier hours are joined to days.
fn daily_before(hour: i64) -> i64 {
    first_of_day(hour) - HOURLY_DAYS * DAY_HOURS
}

/// Rounds down to two digits: the totals show the load of a layer, and no single burst.
fn two_digits(number: i64) -> i64 {
    let mut unit = 1;
    while number / unit >= 100 {
        unit *= 10;
    }
    number / unit * unit
}

#[cfg(test)]
mod tests {
    use super::two_digits;

    #[test]
    fn totals_are_rounded_to_two_digits() {
        let rounded = [0, 9, 99, 104, 1_999, 123_456, i64::MAX].map(two_digits);
        assert_eq!(rounded, [0, 9, 99, 100, 1_900, 120_000, 9_200_000_000_000_000_000]);
    }
}
