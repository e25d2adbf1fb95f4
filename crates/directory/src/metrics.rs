//! Packet counts for the directory: rounded, without next hops, at the interval the directory requests.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::future::pending;
use std::time::Duration;

use nym_mixnode_api::MixMetric;
use tokio::time::sleep;
use tracing::debug;

use super::Directory;
use super::announcement::Announcement;
use super::heartbeat::Heartbeat;
use super::state::Failed;

/// Limits of the report interval: counts over less than 5 s would reveal too much of the traffic.
const INTERVAL_MIN: Duration = Duration::from_secs(5);
const INTERVAL_MAX: Duration = Duration::from_hours(1);

/// Reported counts are rounded up to a multiple of this, so that they do not reveal single packets.
const ROUNDING: u64 = 64;

/// Interval of 0.9.2 nodes.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(30);

/// Reports until it is dropped; the packets of a failed report are added to the next one.
pub(super) async fn report_metrics<D: Directory, A: Announcement>(
    heartbeat: &Heartbeat<D, A>,
    received_total: impl Fn() -> u64,
) -> Infallible {
    if !A::HAS_METRICS {
        return pending().await;
    }
    let mut reported = 0;
    let mut interval = INTERVAL_MIN;
    loop {
        sleep(interval).await;
        if !heartbeat.state.registered() {
            interval = INTERVAL_MIN;
            continue;
        }
        let total = received_total();
        let metric = MixMetric {
            pub_key: heartbeat.registration().identity().to_owned(),
            received: round_up(total.saturating_sub(reported)),
            // Exact counts per next hop would reveal routes.
            sent: BTreeMap::new(),
        };
        interval = match heartbeat.directory.post_metrics(&metric).await {
            Ok(next) => {
                reported = total;
                next.clamp(INTERVAL_MIN, INTERVAL_MAX)
            }
            Err(error) => {
                heartbeat.state.count_failure(Failed::Metrics, &error);
                debug!(%error, "cannot report metrics");
                PAUSE_AFTER_FAILURE
            }
        };
    }
}

fn round_up(count: u64) -> u64 {
    count.checked_next_multiple_of(ROUNDING).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_rounded_up_to_the_multiple() {
        for (count, expected) in [(0, 0), (1, 64), (64, 64), (65, 128), (u64::MAX, u64::MAX)] {
            assert_eq!(round_up(count), expected, "{count}");
        }
    }
}
