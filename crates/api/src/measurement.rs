//! Packet counts that nodes report, and measurements of network monitors.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::null_is_empty;

/// Body of `POST /api/metrics/mixes`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MixMetric {
    /// The node's identity key.
    pub pub_key: String,
    /// Packets received since the last report.
    pub received: u64,
    /// Packets sent since the last report, by next hop `ip:port`. Our nodes leave it empty: it would reveal next hops.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub sent: BTreeMap<String, u64>,
}

/// Element of the reply of `GET /api/metrics/mixes`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PersistedMixMetric {
    /// Report of the node.
    #[serde(flatten)]
    pub metric: MixMetric,
    /// When the directory received it, in nanoseconds since the epoch.
    pub timestamp: i64,
}

/// Reply of `POST /api/metrics/mixes`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct NextReport {
    /// Seconds until the next report is due.
    pub next_report_in: u64,
}

/// Element of the reply of `GET /api/history/network`, as far as clients use it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct LayerTotals {
    /// Beginning of the hour, in seconds since the epoch.
    pub at: i64,
    /// 0 for gateways.
    pub layer: u64,
    /// Packets that the nodes have reported, to two digits.
    pub packets: u64,
}

/// IP version of a measurement; `"4"` or `"6"` on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
pub enum IpVersion {
    /// IPv4.
    #[serde(rename = "4")]
    V4,
    /// IPv6.
    #[serde(rename = "6")]
    V6,
}

/// Body of `POST /api/mixmining`: one measurement of a network monitor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MixStatus {
    /// The measured node's identity key.
    #[schema(max_length = 64, pattern = r"^[^\x00]*$")]
    pub pub_key: String,
    /// IP version of the test packet.
    pub ip_version: IpVersion,
    /// Whether the test packet returned.
    pub up: bool,
}

/// Body of `POST /api/mixmining/batch`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BatchMixStatus {
    /// The measurements.
    pub status: Vec<MixStatus>,
}

/// Element of the reply of `GET /api/mixmining/node/{key}/history`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PersistedMixStatus {
    /// The measurement.
    #[serde(flatten)]
    pub status: MixStatus,
    /// When the directory received it, in nanoseconds since the epoch.
    pub timestamp: i64,
}

/// Reply of `GET /api/mixmining/node/{key}/report`: uptime in whole per cent, 0 without measurements.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MixStatusReport {
    /// The node's identity key.
    #[serde(rename = "pubKey")]
    pub pub_key: String,
    /// Whether the latest IPv4 measurement succeeded.
    #[serde(rename = "mostRecentIPV4")]
    pub most_recent_ipv4: bool,
    /// Per cent of IPv4 measurements that succeeded in the last five minutes.
    #[serde(rename = "last5MinutesIPV4")]
    #[schema(maximum = 100)]
    pub last_5_minutes_ipv4: u8,
    /// Per cent of IPv4 measurements that succeeded in the last hour.
    #[serde(rename = "lastHourIPV4")]
    #[schema(maximum = 100)]
    pub last_hour_ipv4: u8,
    /// Per cent of IPv4 measurements that succeeded in the last day.
    #[serde(rename = "lastDayIPV4")]
    #[schema(maximum = 100)]
    pub last_day_ipv4: u8,
    /// Whether the latest IPv6 measurement succeeded.
    #[serde(rename = "mostRecentIPV6")]
    pub most_recent_ipv6: bool,
    /// Per cent of IPv6 measurements that succeeded in the last five minutes.
    #[serde(rename = "last5MinutesIPV6")]
    #[schema(maximum = 100)]
    pub last_5_minutes_ipv6: u8,
    /// Per cent of IPv6 measurements that succeeded in the last hour.
    #[serde(rename = "lastHourIPV6")]
    #[schema(maximum = 100)]
    pub last_hour_ipv6: u8,
    /// Per cent of IPv6 measurements that succeeded in the last day.
    #[serde(rename = "lastDayIPV6")]
    #[schema(maximum = 100)]
    pub last_day_ipv6: u8,
}

/// Reply of `GET /api/mixmining/fullreport`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BatchMixStatusReport {
    /// One report for each node that was measured.
    pub report: Vec<MixStatusReport>,
}
