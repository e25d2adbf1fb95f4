//! The directory's JSON, as the 0.9.2 validator speaks it, and our additions (all optional on the wire).
//!
//! Reading is lenient, so that an old directory and a newer one are both understood: unknown fields are ignored, a
//! `null` list is empty. Writing is exact: a registration without our additions is byte for byte what a
//! 0.9.2 node sends. What a *registry* accepts is stricter than these types and is decided there.

pub mod signing;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde::{Deserialize, Deserializer, Serialize};

/// The version that nodes of this network register with, whatever their own: it names the protocol.
pub const PROTOCOL_VERSION: &str = "0.9.2";

/// Reputation from which a node belongs to the active set.
pub const ACTIVE_REPUTATION: i64 = 100;

/// Return addresses of a registry's tests that a node forwards to: a few of each IP version.
const TEST_ADDRESSES_MAX: usize = 8;

/// Body of `POST /api/mixmining/register/mix`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MixRegistration {
    /// `ip:port`, IPv6 in brackets: the first announced address. Registrations of old nodes may carry a host name.
    pub mix_host: String,
    /// Ours: every announced address; empty when `mixHost` is the only one.
    #[serde(default, deserialize_with = "null_is_empty", skip_serializing_if = "Vec::is_empty")]
    pub mix_hosts: Vec<String>,
    /// Base58 of the Ed25519 public key: who the node is.
    pub identity_key: String,
    /// Base58 of the X25519 public key that packets are made for.
    pub sphinx_key: String,
    /// The protocol's version, [`PROTOCOL_VERSION`].
    pub version: String,
    /// Free text, for people.
    #[serde(default)]
    pub location: String,
    /// Where rewards go; empty when unset, but always written.
    #[serde(default)]
    pub incentives_address: String,
    /// Layer of the mix network, from 1.
    pub layer: u64,
    /// Ours: the signature of the identity key over all other fields.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<Proof>,
}

impl Proof {
    /// With the addresses that were signed, for an entry that is listed with other ones.
    #[must_use]
    pub fn with_announced(self, announced: Announced) -> Self {
        Self { announced: Some(announced), ..self }
    }
}

/// The signature of an identity over its entry; see [`crate::signing`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Proof {
    /// Greater than that of every earlier call of this identity.
    pub counter: u64,
    /// Base58 of the Ed25519 signature.
    pub signature: String,
    /// In a registration: base58 of the code that shows knowledge of the registry's join token. Never listed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admission: Option<String>,
    /// In a topology: the signed addresses, where the entry is listed with only some of them.
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
    /// Every address that this mix announces, each once, `mixHost` first.
    ///
    /// A host name is skipped: packets carry addresses, so nothing can be compared with a name.
    pub fn announced_addresses(&self) -> Vec<SocketAddr> {
        announced_addresses(&self.mix_host, &self.mix_hosts)
    }
}

/// Body of `POST /api/mixmining/register/gateway`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GatewayRegistration {
    /// `ip:port` on which the gateway takes packets from the last mix.
    pub mix_host: String,
    /// Ours: every announced address; empty when `mixHost` is the only one.
    #[serde(default, deserialize_with = "null_is_empty", skip_serializing_if = "Vec::is_empty")]
    pub mix_hosts: Vec<String>,
    /// Where clients connect, usually a `ws://` URL.
    pub clients_host: String,
    /// Base58 of the Ed25519 public key.
    pub identity_key: String,
    /// Base58 of the X25519 public key.
    pub sphinx_key: String,
    /// The protocol's version, [`PROTOCOL_VERSION`].
    pub version: String,
    /// Free text, for people.
    #[serde(default)]
    pub location: String,
    /// Where rewards go; empty when unset, but always written.
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
    /// Every address on which this gateway takes packets, each once, `mixHost` first; host names are skipped.
    pub fn announced_addresses(&self) -> Vec<SocketAddr> {
        announced_addresses(&self.mix_host, &self.mix_hosts)
    }
}

/// A registered mix.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RegisteredMix {
    /// What the mix registered with.
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
    /// What the gateway registered with.
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
    /// Ours: how many layers the network has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layers: Option<u64>,
    /// The chain's validators, which no node needs: kept as they came.
    #[serde(default)]
    pub validators: serde_json::Value,
    /// Ours: base58 of the Ed25519 public key of the registry, which every signature of its entries covers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registry_key: Option<String>,
    /// Ours: where the registry's test packets return to, `ip:port`. A node forwards to them as to a gateway.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub test_addresses: Vec<String>,
    /// Ours: listed identities that have signed before and need not sign any more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub releases: Vec<Release>,
}

/// An identity whose calls need no signature any more, signed by the registry; see [`crate::signing::release`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Release {
    /// The released identity.
    pub identity_key: String,
    /// What it signed with this counter or a lower one is void.
    pub counter: u64,
    /// Base58 of the registry's signature.
    pub signature: String,
}

/// Layers of the Nym network, and of one whose directory does not give their number.
const LAYERS: u64 = 3;
/// Larger numbers of layers are a mistake, or an attempt to keep readers busy.
pub const LAYERS_MAX: u64 = 100;

impl Topology {
    /// The number of layers of the network. What nodes claim does not count: any stranger could add a layer.
    pub fn layer_count(&self) -> u64 {
        self.layers.filter(|layers| (1..=LAYERS_MAX).contains(layers)).unwrap_or(LAYERS)
    }

    /// Every address that packets may be sent to: those of all mixes and gateways, and of the registry's tests.
    pub fn announced_addresses(&self) -> impl Iterator<Item = SocketAddr> {
        let mixes = self.mix_nodes.iter().flat_map(RegisteredMix::announced_addresses);
        let gateways = self.gateways.iter().flat_map(RegisteredGateway::announced_addresses);
        mixes.chain(gateways).chain(self.return_addresses())
    }

    /// Where the registry's test packets return to.
    pub fn return_addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.test_addresses.iter().take(TEST_ADDRESSES_MAX).filter_map(|address| address.parse().ok())
    }

    /// The mix with this identity, if it is listed.
    pub fn mix(&self, identity: &str) -> Option<&RegisteredMix> {
        self.mix_nodes.iter().find(|mix| mix.registration.identity_key == identity)
    }
}

/// The `validators` of a topology from a directory that has none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Validators {
    /// Height of the chain.
    pub block_height: u64,
    /// The chain's validators.
    pub validators: Vec<serde_json::Value>,
}

/// Reply to a registration that was accepted: `{"ok":true}`, and what is not listed yet.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegistrationReply {
    /// Always true.
    pub ok: bool,
    /// Ours: announced addresses that are not listed, because nothing proves them yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pending: Vec<PendingAddress>,
}

impl RegistrationReply {
    /// Whether an address of this IP version is not listed: a call over it may prove it.
    pub fn is_pending_over(&self, version: IpVersion) -> bool {
        let is_of_version = |address: SocketAddr| address.is_ipv4() == (version == IpVersion::V4);
        self.pending.iter().any(|pending| pending.address.parse().is_ok_and(is_of_version))
    }
}

/// An announced address that nothing proves yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingAddress {
    /// `ip:port`.
    pub address: String,
    /// Why it is not listed, and what proves it.
    pub reason: String,
}

/// Reply of `GET /api/mixmining/pending`: registrations that are not listed, or not with all of their addresses.
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
    /// The identity that the request named.
    pub identity_key: String,
    /// The next signed call of this identity has a greater counter.
    pub counter: u64,
    /// Base58 of the registry's public key.
    pub registry_key: String,
    /// As in the request.
    pub nonce: String,
    /// Base58 of the registry's signature over the other fields.
    pub signature: String,
}

/// Reply to an unregistration or a report that was accepted: `{"ok":true}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepted {
    /// Always true.
    pub ok: bool,
}

/// Body of every reply that refuses: `{"error":"…"}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// What is wrong, in one line.
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
    /// Packets sent since the last report, by next hop `ip:port`. We leave it empty: it says who talks to whom.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub sent: BTreeMap<String, u64>,
}

/// Element of the reply of `GET /api/metrics/mixes`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PersistedMixMetric {
    /// What the node reported.
    #[serde(flatten)]
    pub metric: MixMetric,
    /// When the directory received it, in nanoseconds since the epoch.
    pub timestamp: i64,
}

/// Reply of `POST /api/metrics/mixes`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NextReport {
    /// Seconds until the directory wants the next report.
    pub next_report_in: u64,
}

/// The Internet protocol that a measurement went over; `"4"` or `"6"` on the wire.
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
    /// What the test packet went over.
    pub ip_version: IpVersion,
    /// Whether the test packet came through.
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

/// Reply of `GET /api/mixmining/node/{key}/report`: uptime in whole per cent, 0 when nothing was measured.
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
    fn the_number_of_layers_is_the_directorys_or_three() {
        let said = |layers: serde_json::Value| {
            let document = json!({"mixNodes": [], "gateways": [], "layers": layers});
            serde_json::from_value::<Topology>(document).unwrap().layer_count()
        };
        for (layers, expected) in [(json!(2), 2), (json!(null), 3), (json!(0), 3), (json!(u64::MAX), 3)] {
            assert_eq!(said(layers.clone()), expected, "{layers}");
        }
        let silent = serde_json::to_value(Topology::default()).unwrap();
        assert!(silent.get("layers").is_none(), "original programs get what they know: {silent}");
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
    fn what_is_no_topology_is_not_read_as_an_empty_one() {
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
