//! The directory's JSON, as the 0.9.2 validator speaks it, and our additions (all optional on the wire).

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Body of `POST /api/mixmining/register/mix`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MixRegistration {
    /// `ip:port`, IPv6 in brackets: the first announced address.
    pub mix_host: String,
    /// Ours: every announced address; empty when `mixHost` is the only one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mix_hosts: Vec<String>,
    pub identity_key: String,
    pub sphinx_key: String,
    /// The protocol's version, "0.9.2".
    pub version: String,
    pub location: String,
    pub incentives_address: String,
    pub layer: u64,
}

/// Body of `POST /api/mixmining/register/gateway`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GatewayRegistration {
    pub mix_host: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mix_hosts: Vec<String>,
    pub clients_host: String,
    pub identity_key: String,
    pub sphinx_key: String,
    pub version: String,
    pub location: String,
    pub incentives_address: String,
    /// Ours: the directory forgets the gateway after this many seconds unless it registers again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in: Option<u64>,
}

/// A registered mix.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RegisteredMix {
    #[serde(flatten)]
    pub registration: MixRegistration,
    /// Nanoseconds since the epoch.
    pub registration_time: i64,
    pub reputation: i64,
}

/// A registered gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RegisteredGateway {
    #[serde(flatten)]
    pub registration: GatewayRegistration,
    pub registration_time: i64,
    pub reputation: i64,
}

/// Reply of `GET /api/mixmining/topology` and its variants.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Topology {
    pub mix_nodes: Vec<RegisteredMix>,
    pub gateways: Vec<RegisteredGateway>,
    #[serde(default)]
    pub validators: serde_json::Value,
}

/// Body of `POST /api/metrics/mixes`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MixMetric {
    pub pub_key: String,
    pub received: u64,
    pub sent: BTreeMap<String, u64>,
}
