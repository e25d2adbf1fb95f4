//! JSON types of the directory API: those of the 0.9.2 validator, and our additions (all optional on the wire).
//!
//! Parsing is lenient, to accept old and newer directories: unknown fields are ignored, and a `null` list is empty.
//! Serialisation is exact: a registration without our additions is byte for byte what a 0.9.2 node sends. *Registries*
//! validate more strictly than these types.

pub mod signing;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde::{Deserialize, Deserializer, Serialize};

/// Protocol version that all nodes of this network register with, independent of their program version.
pub const PROTOCOL_VERSION: &str = "0.9.2";

/// Minimum reputation for the active set.
pub const ACTIVE_REPUTATION: i64 = 100;

/// Maximum number of test return addresses that a node forwards to.
const TEST_ADDRESSES_MAX: usize = 8;

/// Body of `POST /api/mixmining/register/mix`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MixRegistration {
    /// First announced address: `ip:port`, IPv6 in brackets. Registrations of old nodes may have a host name.
    pub mix_host: String,
    /// Ours: every announced address; empty when `mixHost` is the only one.
    #[serde(default, deserialize_with = "null_is_empty", skip_serializing_if = "Vec::is_empty")]
    pub mix_hosts: Vec<String>,
    /// Base58 of the Ed25519 public key that identifies the node.
    pub identity_key: String,
    /// Base58 of the X25519 public key for Sphinx packets.
    pub sphinx_key: String,
    /// The protocol's version, [`PROTOCOL_VERSION`].
    pub version: String,
    /// Free text for display.
    #[serde(default)]
    pub location: String,
    /// Address for rewards; empty when unset, but always serialised.
    #[serde(default)]
    pub incentives_address: String,
    /// Layer of the mix network, from 1.
    pub layer: u64,
    /// Ours: the signature of the identity key over all other fields.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<Proof>,
}

impl Proof {
    /// Sets the signed addresses, for an entry that is listed with other addresses.
    #[must_use]
    pub fn with_announced(self, announced: Announced) -> Self {
        Self { announced: Some(announced), ..self }
    }
}

/// Signature of an identity over its entry; see [`crate::signing`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Proof {
    /// Counter, greater than that of every earlier call of this identity.
    pub counter: u64,
    /// Base58 of the Ed25519 signature.
    pub signature: String,
    /// In a registration: base58 of the code that proves knowledge of the registry's join token. Never listed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admission: Option<String>,
    /// In a topology: the signed addresses, if the entry is listed with only some of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub announced: Option<Announced>,
}

/// The addresses of an entry as its identity signed them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Announced {
    /// As [`MixRegistration::mix_host`].
    pub mix_host: String,
    /// As [`MixRegistration::mix_hosts`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mix_hosts: Vec<String>,
}

impl MixRegistration {
    /// All announced addresses of this mix, deduplicated, `mixHost` first.
    ///
    /// Host names are skipped: packets contain addresses, which cannot be compared with names.
    pub fn announced_addresses(&self) -> Vec<SocketAddr> {
        announced_addresses(&self.mix_host, &self.mix_hosts)
    }
}

/// Body of `POST /api/mixmining/register/gateway`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GatewayRegistration {
    /// `ip:port` on which the gateway receives packets from the last mix.
    pub mix_host: String,
    /// Ours: every announced address; empty when `mixHost` is the only one.
    #[serde(default, deserialize_with = "null_is_empty", skip_serializing_if = "Vec::is_empty")]
    pub mix_hosts: Vec<String>,
    /// Address for clients, usually a `ws://` URL.
    pub clients_host: String,
    /// Base58 of the Ed25519 public key.
    pub identity_key: String,
    /// Base58 of the X25519 public key.
    pub sphinx_key: String,
    /// The protocol's version, [`PROTOCOL_VERSION`].
    pub version: String,
    /// Free text for display.
    #[serde(default)]
    pub location: String,
    /// Address for rewards; empty when unset, but always serialised.
    #[serde(default)]
    pub incentives_address: String,
    /// Ours: the directory forgets the gateway after this many seconds unless it registers again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in: Option<u64>,
    /// Ours: the signature of the identity key over all other fields.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<Proof>,
}

impl GatewayRegistration {
    /// All addresses on which this gateway receives packets, deduplicated, `mixHost` first; skips host names.
    pub fn announced_addresses(&self) -> Vec<SocketAddr> {
        announced_addresses(&self.mix_host, &self.mix_hosts)
    }
}

/// A registered mix.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RegisteredMix {
    /// Registration of the mix.
    #[serde(flatten)]
    pub registration: MixRegistration,
    /// Nanoseconds since the epoch.
    pub registration_time: i64,
    /// Grows with each successful measurement, never below 0; see [`ACTIVE_REPUTATION`].
    pub reputation: i64,
}

impl RegisteredMix {
    /// As [`MixRegistration::announced_addresses`].
    pub fn announced_addresses(&self) -> Vec<SocketAddr> {
        self.registration.announced_addresses()
    }
}

/// A registered gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RegisteredGateway {
    /// Registration of the gateway.
    #[serde(flatten)]
    pub registration: GatewayRegistration,
    /// Nanoseconds since the epoch.
    pub registration_time: i64,
    /// As for a mix.
    pub reputation: i64,
}

impl RegisteredGateway {
    /// As [`GatewayRegistration::announced_addresses`].
    pub fn announced_addresses(&self) -> Vec<SocketAddr> {
        self.registration.announced_addresses()
    }
}

/// Reply of `GET /api/mixmining/topology` and its variants.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Topology {
    /// The mixes, of all layers.
    #[serde(deserialize_with = "null_is_empty")]
    pub mix_nodes: Vec<RegisteredMix>,
    /// The gateways.
    #[serde(deserialize_with = "null_is_empty")]
    pub gateways: Vec<RegisteredGateway>,
    /// Ours: number of layers of the network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layers: Option<u64>,
    /// Validators of the chain, kept unchanged; nodes do not use them.
    #[serde(default)]
    pub validators: serde_json::Value,
    /// Ours: base58 of the registry's Ed25519 public key, which every signature of its entries covers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registry_key: Option<String>,
    /// Ours: return addresses (`ip:port`) of the registry's test packets. Nodes forward to them as to gateways.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub test_addresses: Vec<String>,
    /// Ours: listed identities that have signed before and no longer need to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub releases: Vec<Release>,
}

/// Release of an identity from signing, signed by the registry; see [`crate::signing::release`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Release {
    /// The released identity.
    pub identity_key: String,
    /// Signatures of the identity with this counter or a lower one are void.
    pub counter: u64,
    /// Base58 of the registry's signature.
    pub signature: String,
}

/// Layers of the Nym network, and the default for directories that do not give their number.
const LAYERS: u64 = 3;
/// Maximum number of layers; a larger number is a mistake or an attack on its readers.
pub const LAYERS_MAX: u64 = 100;

impl Topology {
    /// Number of layers of the network. Ignores the layers that nodes claim: any stranger could add one.
    pub fn layer_count(&self) -> u64 {
        self.layers.filter(|layers| (1..=LAYERS_MAX).contains(layers)).unwrap_or(LAYERS)
    }

    /// All addresses that nodes may send packets to: of mixes, gateways and the registry's tests.
    pub fn announced_addresses(&self) -> impl Iterator<Item = SocketAddr> {
        let mixes = self.mix_nodes.iter().flat_map(RegisteredMix::announced_addresses);
        let gateways = self.gateways.iter().flat_map(RegisteredGateway::announced_addresses);
        mixes.chain(gateways).chain(self.return_addresses())
    }

    /// Return addresses of the registry's test packets.
    pub fn return_addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.test_addresses.iter().take(TEST_ADDRESSES_MAX).filter_map(|address| address.parse().ok())
    }

    /// The listed mix with this identity, if any.
    pub fn mix(&self, identity: &str) -> Option<&RegisteredMix> {
        self.mix_nodes.iter().find(|mix| mix.registration.identity_key == identity)
    }
}

/// `validators` of a topology from a directory without a chain.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Validators {
    /// Height of the chain.
    pub block_height: u64,
    /// The chain's validators.
    pub validators: Vec<serde_json::Value>,
}

/// Reply to an accepted registration: `{"ok":true}` and the addresses that are not listed yet.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegistrationReply {
    /// Always true.
    pub ok: bool,
    /// Ours: announced addresses that are not listed because they are unproven.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pending: Vec<PendingAddress>,
}

impl RegistrationReply {
    /// Whether an address of this IP version is pending: a call over that version may prove it.
    pub fn is_pending_over(&self, version: IpVersion) -> bool {
        let is_of_version = |address: SocketAddr| address.is_ipv4() == (version == IpVersion::V4);
        self.pending.iter().any(|pending| pending.address.parse().is_ok_and(is_of_version))
    }
}

/// Announced but unproven address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingAddress {
    /// `ip:port`.
    pub address: String,
    /// Why it is not listed, and how to prove it.
    pub reason: String,
}

/// Reply of `GET /api/mixmining/pending`: registrations that are pending as a whole or for some of their addresses.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingList {
    /// One element for each address.
    pub pending: Vec<PendingEntry>,
}

/// Element of [`PendingList`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PendingEntry {
    /// Identity that claims the address.
    pub identity_key: String,
    /// The address, and why it is not listed.
    #[serde(flatten)]
    pub pending: PendingAddress,
}

/// Reply of `GET /api/mixmining/counter/{identity}?nonce=…`, signed by the registry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CounterReply {
    /// Identity of the request.
    pub identity_key: String,
    /// Last counter; the next signed call of this identity must exceed it.
    pub counter: u64,
    /// Base58 of the registry's public key.
    pub registry_key: String,
    /// Nonce of the request.
    pub nonce: String,
    /// Base58 of the registry's signature over the other fields.
    pub signature: String,
}

/// Reply to an accepted unregistration or report: `{"ok":true}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepted {
    /// Always true.
    pub ok: bool,
}

/// Body of every error reply: `{"error":"…"}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// Error message of one line.
    pub error: String,
}

/// Body of `POST /api/metrics/mixes`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PersistedMixMetric {
    /// Report of the node.
    #[serde(flatten)]
    pub metric: MixMetric,
    /// When the directory received it, in nanoseconds since the epoch.
    pub timestamp: i64,
}

/// Reply of `POST /api/metrics/mixes`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NextReport {
    /// Seconds until the next report is due.
    pub next_report_in: u64,
}

/// IP version of a measurement; `"4"` or `"6"` on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum IpVersion {
    /// IPv4.
    #[serde(rename = "4")]
    V4,
    /// IPv6.
    #[serde(rename = "6")]
    V6,
}

/// Body of `POST /api/mixmining`: one measurement of a network monitor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MixStatus {
    /// The measured node's identity key.
    pub pub_key: String,
    /// IP version of the test packet.
    pub ip_version: IpVersion,
    /// Whether the test packet returned.
    pub up: bool,
}

/// Body of `POST /api/mixmining/batch`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchMixStatus {
    /// The measurements.
    pub status: Vec<MixStatus>,
}

/// Element of the reply of `GET /api/mixmining/node/{key}/history`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PersistedMixStatus {
    /// The measurement.
    #[serde(flatten)]
    pub status: MixStatus,
    /// When the directory received it, in nanoseconds since the epoch.
    pub timestamp: i64,
}

/// Reply of `GET /api/mixmining/node/{key}/report`: uptime in whole per cent, 0 without measurements.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MixStatusReport {
    /// The node's identity key.
    #[serde(rename = "pubKey")]
    pub pub_key: String,
    /// Whether the latest IPv4 measurement succeeded.
    #[serde(rename = "mostRecentIPV4")]
    pub most_recent_ipv4: bool,
    /// Per cent of IPv4 measurements that succeeded in the last five minutes.
    #[serde(rename = "last5MinutesIPV4")]
    pub last_5_minutes_ipv4: u8,
    /// Per cent of IPv4 measurements that succeeded in the last hour.
    #[serde(rename = "lastHourIPV4")]
    pub last_hour_ipv4: u8,
    /// Per cent of IPv4 measurements that succeeded in the last day.
    #[serde(rename = "lastDayIPV4")]
    pub last_day_ipv4: u8,
    /// Whether the latest IPv6 measurement succeeded.
    #[serde(rename = "mostRecentIPV6")]
    pub most_recent_ipv6: bool,
    /// Per cent of IPv6 measurements that succeeded in the last five minutes.
    #[serde(rename = "last5MinutesIPV6")]
    pub last_5_minutes_ipv6: u8,
    /// Per cent of IPv6 measurements that succeeded in the last hour.
    #[serde(rename = "lastHourIPV6")]
    pub last_hour_ipv6: u8,
    /// Per cent of IPv6 measurements that succeeded in the last day.
    #[serde(rename = "lastDayIPV6")]
    pub last_day_ipv6: u8,
}

/// Reply of `GET /api/mixmining/fullreport`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchMixStatusReport {
    /// One report for each node that was measured.
    pub report: Vec<MixStatusReport>,
}

fn announced_addresses(first: &str, all: &[String]) -> Vec<SocketAddr> {
    let mut addresses: Vec<SocketAddr> = Vec::with_capacity(1 + all.len());
    for host in std::iter::once(first).chain(all.iter().map(String::as_str)) {
        if let Ok(address) = host.parse()
            && !addresses.contains(&address)
        {
            addresses.push(address);
        }
    }
    addresses
}

/// The 0.9.2 validator writes an empty list as `null`.
fn null_is_empty<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn registration() -> MixRegistration {
        MixRegistration {
            mix_host: "192.0.2.7:1789".into(),
            mix_hosts: Vec::new(),
            identity_key: "6Ky4PYVGYn2DqcR9rRR7RYkjWbWyTfaTxGvVX6wWgnqz".into(),
            sphinx_key: "7Xk8PWVGYn2DqcR9rRR7RYkjWbWyTfaTxGvVX6wWgnqz".into(),
            version: PROTOCOL_VERSION.into(),
            location: "Zürich".into(),
            incentives_address: String::new(),
            layer: 2,
            proof: None,
        }
    }

    #[test]
    fn a_registration_is_byte_for_byte_what_a_0_9_2_node_sends() {
        let written = serde_json::to_string(&registration()).unwrap();
        assert_eq!(
            written,
            r#"{"mixHost":"192.0.2.7:1789","identityKey":"6Ky4PYVGYn2DqcR9rRR7RYkjWbWyTfaTxGvVX6wWgnqz","sphinxKey":"7Xk8PWVGYn2DqcR9rRR7RYkjWbWyTfaTxGvVX6wWgnqz","version":"0.9.2","location":"Zürich","incentivesAddress":"","layer":2}"#
        );
        assert_eq!(serde_json::from_str::<MixRegistration>(&written).unwrap(), registration());
    }

    #[test]
    fn the_number_of_layers_comes_from_the_directory_or_is_three() {
        let layer_count = |layers: serde_json::Value| {
            let document = json!({"mixNodes": [], "gateways": [], "layers": layers});
            serde_json::from_value::<Topology>(document).unwrap().layer_count()
        };
        for (layers, expected) in [(json!(2), 2), (json!(null), 3), (json!(0), 3), (json!(u64::MAX), 3)] {
            assert_eq!(layer_count(layers.clone()), expected, "{layers}");
        }
        let silent = serde_json::to_value(Topology::default()).unwrap();
        assert!(silent.get("layers").is_none(), "original programs expect no other fields: {silent}");
    }

    #[test]
    fn our_additions_survive_a_round_trip() {
        let mix =
            MixRegistration { mix_hosts: vec!["192.0.2.7:1789".into(), "[2001:db8::7]:1789".into()], ..registration() };
        let listed = RegisteredMix { registration: mix, registration_time: 1_600_000_000_000_000_000, reputation: 7 };
        let written = serde_json::to_value(&listed).unwrap();
        assert_eq!(written["mixHosts"], json!(["192.0.2.7:1789", "[2001:db8::7]:1789"]));
        assert_eq!(written["registrationTime"], json!(1_600_000_000_000_000_000_i64));
        assert_eq!(serde_json::from_value::<RegisteredMix>(written).unwrap(), listed);

        let gateway = GatewayRegistration {
            mix_host: "192.0.2.8:1789".into(),
            mix_hosts: Vec::new(),
            clients_host: "ws://192.0.2.8:9000".into(),
            identity_key: "a".into(),
            sphinx_key: "b".into(),
            version: PROTOCOL_VERSION.into(),
            location: String::new(),
            incentives_address: String::new(),
            expires_in: Some(60),
            proof: None,
        };
        let written = serde_json::to_value(&gateway).unwrap();
        assert_eq!(written["expiresIn"], json!(60));
        assert_eq!(serde_json::from_value::<GatewayRegistration>(written).unwrap(), gateway);
    }

    #[test]
    fn a_topology_of_the_0_9_2_validator_is_read_with_its_extra_and_null_fields() {
        let topology: Topology = serde_json::from_value(json!({
            "mixNodes": [{
                "mixHost": "mix.example:1789", "identityKey": "i", "sphinxKey": "s", "version": "0.9.2",
                "location": "", "incentivesAddress": "", "layer": 1, "owner": "?",
                "registrationTime": 5, "reputation": 103,
            }],
            "gateways": null,
            "validators": {"block_height": 12, "validators": [{"address": "nym1"}]},
            "somethingNew": true,
        }))
        .unwrap();
        assert_eq!(topology.mix_nodes.len(), 1);
        assert_eq!(topology.mix("i").unwrap().reputation, 103);
        assert!(topology.gateways.is_empty());
        assert_eq!(topology.validators["block_height"], json!(12));
        assert_eq!(topology.announced_addresses().count(), 0, "a host name is not an address");
    }

    #[test]
    fn announced_addresses_are_distinct_and_start_with_mix_host() {
        let mut mix = registration();
        assert_eq!(mix.announced_addresses(), ["192.0.2.7:1789".parse().unwrap()]);

        mix.mix_hosts =
            vec!["[2001:db8::7]:1789".into(), "192.0.2.7:1789".into(), "mix.example:1789".into(), "nonsense".into()];
        let expected: [SocketAddr; 2] = ["192.0.2.7:1789".parse().unwrap(), "[2001:db8::7]:1789".parse().unwrap()];
        assert_eq!(mix.announced_addresses(), expected);

        mix.mix_host = "mix.example:1789".into();
        assert_eq!(mix.announced_addresses(), ["[2001:db8::7]:1789", "192.0.2.7:1789"].map(|a| a.parse().unwrap()));
    }

    #[test]
    fn small_bodies_have_the_names_of_the_protocol() {
        let status = MixStatus { pub_key: "k".into(), ip_version: IpVersion::V6, up: false };
        let persisted = PersistedMixStatus { status: status.clone(), timestamp: 9 };
        let report = MixStatusReport { pub_key: "k".into(), last_5_minutes_ipv6: 66, ..Default::default() };
        let metric = MixMetric { pub_key: "k".into(), received: 64, sent: BTreeMap::new() };
        let validators = Validators::default();
        let bodies = [
            (json!(Accepted { ok: true }), json!({"ok": true})),
            (json!(Refusal { error: "no".into() }), json!({"error": "no"})),
            (json!(NextReport { next_report_in: 5 }), json!({"nextReportIn": 5})),
            (json!(metric), json!({"pubKey": "k", "received": 64, "sent": {}})),
            (
                json!(PersistedMixMetric { metric, timestamp: 3 }),
                json!({"pubKey": "k", "received": 64, "sent": {}, "timestamp": 3}),
            ),
            (
                json!(BatchMixStatus { status: vec![status] }),
                json!({"status": [{"pubKey": "k", "ipVersion": "6", "up": false}]}),
            ),
            (json!(persisted), json!({"pubKey": "k", "ipVersion": "6", "up": false, "timestamp": 9})),
            (
                json!(BatchMixStatusReport { report: vec![report] }),
                json!({"report": [{
                    "pubKey": "k",
                    "mostRecentIPV4": false, "last5MinutesIPV4": 0, "lastHourIPV4": 0, "lastDayIPV4": 0,
                    "mostRecentIPV6": false, "last5MinutesIPV6": 66, "lastHourIPV6": 0, "lastDayIPV6": 0,
                }]}),
            ),
            (json!(validators), json!({"block_height": 0, "validators": []})),
        ];
        for (written, expected) in bodies {
            assert_eq!(written, expected);
        }
    }

    #[test]
    fn other_json_does_not_parse_as_an_empty_topology() {
        for bad in [json!({}), json!([]), json!(null), json!({"mixNodes": []}), json!({"ok": true})] {
            assert!(serde_json::from_value::<Topology>(bad.clone()).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_unknown_ip_version_or_a_missing_field_is_an_error() {
        for bad in [
            json!({"pubKey": "k", "ipVersion": "5", "up": true}),
            json!({"pubKey": "k", "ipVersion": 4, "up": true}),
            json!({"pubKey": "k", "ipVersion": "4"}),
        ] {
            assert!(serde_json::from_value::<MixStatus>(bad.clone()).is_err(), "{bad}");
        }
    }
}
