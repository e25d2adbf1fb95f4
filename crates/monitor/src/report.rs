//! Results of test packets: counts per address family, and latency beyond the requested delays.

use rand::RngExt;
use serde::{Deserialize, Serialize};

use super::family::IpFamily;

/// Number of latencies kept for the percentiles, which are exact up to this many and sampled beyond.
const SAMPLES_MAX: usize = 65_536;

/// Counts of sent packets, by result.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Passed to the first hop's connection.
    pub sent: u64,
    /// Returned in time.
    pub returned: u64,
    /// Given up.
    pub lost: u64,
}

impl Counts {
    /// Packets still in transit.
    #[must_use]
    pub const fn in_transit(self) -> u64 {
        self.sent - self.returned - self.lost
    }

    /// Whether every packet sent has returned.
    #[must_use]
    pub const fn is_lossless(self) -> bool {
        self.returned == self.sent
    }

    const fn plus(self, other: Self) -> Self {
        Self { sent: self.sent + other.sent, returned: self.returned + other.returned, lost: self.lost + other.lost }
    }
}

/// Arrival − sending − Σ requested delays: latency of network and nodes, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LatencyMs {
    /// The median.
    pub p50: f64,
    /// 99th percentile.
    pub p99: f64,
    /// Maximum.
    pub max: f64,
}

/// Summary of a test run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Both families together.
    #[serde(flatten)]
    pub total: Counts,
    /// Packets whose whole route was IPv4.
    pub ipv4: Counts,
    /// Packets whose whole route was IPv6.
    pub ipv6: Counts,
    /// `None` while no packet has returned.
    pub latency_over_delay_ms: Option<LatencyMs>,
}

/// Counts packets while a test runs.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    families: [Counts; 2],
    latencies: Latencies,
}

impl Tally {
    /// Counts a sent packet.
    pub fn sent(&mut self, family: IpFamily) {
        self.counts_mut(family).sent += 1;
    }

    /// Counts a returned packet, with its latency beyond the requested delays.
    pub fn returned(&mut self, family: IpFamily, over_delay_ms: f64) {
        self.counts_mut(family).returned += 1;
        self.latencies.add(over_delay_ms);
    }

    /// Counts a packet that was given up.
    pub fn lost(&mut self, family: IpFamily) {
        self.counts_mut(family).lost += 1;
    }

    /// Counts of one family.
    #[must_use]
    pub const fn counts(&self, family: IpFamily) -> Counts {
        self.families[family as usize]
    }

    /// Both families together.
    #[must_use]
    pub const fn total(&self) -> Counts {
        self.counts(IpFamily::V4).plus(self.counts(IpFamily::V6))
    }

    /// Summary so far.
    #[must_use]
    pub fn report(&self) -> Report {
        Report {
            total: self.total(),
            ipv4: self.counts(IpFamily::V4),
            ipv6: self.counts(IpFamily::V6),
            latency_over_delay_ms: self.latencies.summary(),
        }
    }

    const fn counts_mut(&mut self, family: IpFamily) -> &mut Counts {
        &mut self.families[family as usize]
    }
}

/// A bounded, uniform sample of latencies in milliseconds, and the exact maximum.
#[derive(Debug, Clone)]
struct Latencies {
    sample: Vec<f64>,
    seen: usize,
    max: f64,
}

impl Default for Latencies {
    fn default() -> Self {
        Self { sample: Vec::new(), seen: 0, max: f64::NEG_INFINITY }
    }
}

impl Latencies {
    fn add(&mut self, ms: f64) {
        self.max = self.max.max(ms);
        self.seen += 1;
        if self.sample.len() < SAMPLES_MAX {
            self.sample.push(ms);
        } else if let Some(place) = self.sample.get_mut(rand::rng().random_range(0..self.seen)) {
            // Reservoir sampling: the n-th value replaces one of the sample with probability SAMPLES_MAX / n.
            *place = ms;
        }
    }

    fn summary(&self) -> Option<LatencyMs> {
        let mut sorted = self.sample.clone();
        sorted.sort_by(f64::total_cmp);
        let rank = |percent| percentile(&sorted, percent).map(to_microsecond);
        Some(LatencyMs { p50: rank(50)?, p99: rank(99)?, max: to_microsecond(self.max) })
    }
}

/// Rounds to microseconds; further digits are noise.
fn to_microsecond(ms: f64) -> f64 {
    (ms * 1e3).round() / 1e3
}

/// Smallest value that is at least as large as `percent` per cent of the values (nearest rank).
fn percentile(sorted: &[f64], percent: usize) -> Option<f64> {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_nearest_ranks() {
        let values: Vec<f64> = (1..=200).map(f64::from).collect();
        assert_eq!(percentile(&values, 50), Some(100.0));
        assert_eq!(percentile(&values, 99), Some(198.0));
        assert_eq!(percentile(&values, 100), Some(200.0));
        assert_eq!(percentile(&[7.0], 99), Some(7.0));
        assert_eq!(percentile(&[7.0], 0), Some(7.0));
        assert_eq!(percentile(&[], 50), None);
    }

    #[test]
    fn families_add_up_and_every_packet_is_accounted_for() {
        let mut tally = Tally::default();
        for family in [IpFamily::V4, IpFamily::V6, IpFamily::V6, IpFamily::V6] {
            tally.sent(family);
        }
        tally.returned(IpFamily::V4, 3.0);
        tally.returned(IpFamily::V6, 1.0);
        tally.lost(IpFamily::V6);
        let report = tally.report();
        assert_eq!(report.ipv4, Counts { sent: 1, returned: 1, lost: 0 });
        assert_eq!(report.ipv6, Counts { sent: 3, returned: 1, lost: 1 });
        assert_eq!(report.total, Counts { sent: 4, returned: 2, lost: 1 });
        assert_eq!(report.total.in_transit(), 1);
        assert!(report.ipv4.is_lossless() && !report.total.is_lossless());
        assert_eq!(report.latency_over_delay_ms, Some(LatencyMs { p50: 1.0, p99: 3.0, max: 3.0 }));
    }

    #[test]
    fn nothing_returned_means_no_latency() {
        assert_eq!(Tally::default().report().latency_over_delay_ms, None);
    }

    #[test]
    fn the_sample_is_bounded_and_the_maximum_exact() {
        let mut latencies = Latencies::default();
        for i in 0..SAMPLES_MAX * 2 {
            latencies.add(if i == 5 { 1e9 } else { 1.0 });
        }
        assert_eq!(latencies.sample.len(), SAMPLES_MAX);
        assert_eq!(latencies.summary(), Some(LatencyMs { p50: 1.0, p99: 1.0, max: 1e9 }));
    }

    #[test]
    fn the_report_serialises_as_one_flat_object() {
        let mut tally = Tally::default();
        tally.sent(IpFamily::V4);
        let json = serde_json::to_value(tally.report()).unwrap();
        assert_eq!(json["sent"], 1);
        assert_eq!(json["ipv4"]["sent"], 1);
        assert!(json["latency_over_delay_ms"].is_null());
    }
}
