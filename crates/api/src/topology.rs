//! The topology: the registered mixes and gateways, and what the registry signs about them.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{GatewayRegistration, MixRegistration, null_is_empty};

/// Minimum reputation for the active set.
pub const ACTIVE_REPUTATION: i64 = 100;

/// Maximum number of test return addresses that a node forwards to.
const TEST_ADDRESSES_MAX: usize = 8;

/// Such as `layers 1 and 2 have no active node`; `None` if no layer is empty.
pub fn layers_without_active(empty: &[u64]) -> Option<String> {
    let (last, others) = empty.split_last()?;
    let others: Vec<_> = others.iter().map(ToString::to_string).collect();
    Some(if others.is_empty() {
        format!("layer {last} has no active node")
    } else {
        format!("layers {} and {last} have no active node", others.join(", "))
    })
}

/// Layers of the Nym network, and the default for directories that do not give their number.
const LAYERS: u64 = 3;

/// Maximum number of layers; a larger number is a mistake or an attack on its readers.
pub const LAYERS_MAX: u64 = 100;

/// Reply of `GET /api/mixmining/topology` and its variants.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
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
    /// Ours: minimum reputation of the active set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active_reputation: Option<i64>,
    /// Validators of the chain, kept unchanged; nodes do not use them.
    #[serde(default)]
    #[schema(value_type = Validators)]
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

impl Topology {
    /// Number of layers of the network. Ignores the layers that nodes claim: any stranger could add one.
    pub fn layer_count(&self) -> u64 {
        self.layers.filter(|layers| (1..=LAYERS_MAX).contains(layers)).unwrap_or(LAYERS)
    }

    /// Layers without a mix, through which no packet can pass.
    pub fn empty_layers(&self) -> Vec<u64> {
        let has_mix = |layer: &u64| self.mix_nodes.iter().any(|mix| mix.registration.layer == *layer);
        (1..=self.layer_count()).filter(|layer| !has_mix(layer)).collect()
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

/// A registered mix.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RegisteredMix {
    /// Registration of the mix.
    #[serde(flatten)]
    pub registration: MixRegistration,
    /// Nanoseconds since the epoch.
    pub registration_time: i64,
    /// Grows with each successful measurement, never below 0.
    pub reputation: i64,
}

impl RegisteredMix {
    /// As [`MixRegistration::announced_addresses`].
    pub fn announced_addresses(&self) -> Vec<SocketAddr> {
        self.registration.announced_addresses()
    }
}

/// A registered gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
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

/// Release of an identity from signing, signed by the registry; see `signing::release`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Release {
    /// The released identity.
    pub identity_key: String,
    /// Signatures of the identity with this counter or a lower one are void.
    pub counter: u64,
    /// Base58 of the registry's signature.
    pub signature: String,
}

/// `validators` of a topology from a directory without a chain.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Validators {
    /// Height of the chain.
    pub block_height: u64,
    /// The chain's validators.
    #[schema(value_type = Vec<Object>)]
    pub validators: Vec<serde_json::Value>,
}
