//! Registrations of mixes and gateways.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::null_is_empty;

/// Body of `POST /api/mixmining/register/mix`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MixRegistration {
    /// First announced address: `ip:port`, IPv6 in brackets. Registrations of old nodes may have a host name.
    #[schema(pattern = r"^([0-9.]+|\[[0-9A-Fa-f:.%]+\]):[0-9]{1,5}$", example = "192.0.2.1:1789")]
    pub mix_host: String,
    /// Ours: every announced address; empty when `mixHost` is the only one.
    #[serde(default, deserialize_with = "null_is_empty", skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Option<Vec<String>>, max_items = 8)]
    pub mix_hosts: Vec<String>,
    /// Base58 of the Ed25519 public key that identifies the node.
    #[schema(pattern = "^[1-9A-HJ-NP-Za-km-z]{32,44}$", example = "6Ky4PYVGYn2DqcR9rRR7RYkjWbWyTfaTxGvVX6wWgnqz")]
    pub identity_key: String,
    /// Base58 of the X25519 public key for Sphinx packets.
    #[schema(pattern = "^[1-9A-HJ-NP-Za-km-z]{32,44}$", example = "7kRUSmLM3rGd5qbKQZuL5VGUau1gwgh7gK4dxD3RmW5p")]
    pub sphinx_key: String,
    /// Version of the protocol, which all nodes of this network register with.
    #[schema(min_length = 1, max_length = 512, example = "0.9.2")]
    pub version: String,
    /// Free text for display.
    #[serde(default)]
    #[schema(max_length = 512)]
    pub location: String,
    /// Address for rewards; empty when unset, but always serialised.
    #[serde(default)]
    #[schema(max_length = 512)]
    pub incentives_address: String,
    /// Layer of the mix network, from 1.
    #[schema(minimum = 1, maximum = 100)]
    pub layer: u64,
    /// Ours: the signature of the identity key over all other fields.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<Proof>,
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct GatewayRegistration {
    /// `ip:port` on which the gateway receives packets from the last mix.
    #[schema(pattern = r"^([0-9.]+|\[[0-9A-Fa-f:.%]+\]):[0-9]{1,5}$", example = "192.0.2.1:1789")]
    pub mix_host: String,
    /// Ours: every announced address; empty when `mixHost` is the only one.
    #[serde(default, deserialize_with = "null_is_empty", skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Option<Vec<String>>, max_items = 8)]
    pub mix_hosts: Vec<String>,
    /// Address for clients, usually a `ws://` URL.
    #[schema(min_length = 1, max_length = 512, example = "ws://192.0.2.1:9000")]
    pub clients_host: String,
    /// Base58 of the Ed25519 public key.
    #[schema(pattern = "^[1-9A-HJ-NP-Za-km-z]{32,44}$", example = "6Ky4PYVGYn2DqcR9rRR7RYkjWbWyTfaTxGvVX6wWgnqz")]
    pub identity_key: String,
    /// Base58 of the X25519 public key.
    #[schema(pattern = "^[1-9A-HJ-NP-Za-km-z]{32,44}$", example = "7kRUSmLM3rGd5qbKQZuL5VGUau1gwgh7gK4dxD3RmW5p")]
    pub sphinx_key: String,
    /// Version of the protocol, which all nodes of this network register with.
    #[schema(min_length = 1, max_length = 512, example = "0.9.2")]
    pub version: String,
    /// Free text for display.
    #[serde(default)]
    #[schema(max_length = 512)]
    pub location: String,
    /// Address for rewards; empty when unset, but always serialised.
    #[serde(default)]
    #[schema(max_length = 512)]
    pub incentives_address: String,
    /// Ours: the directory forgets the gateway after this many seconds unless it registers again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 315_360_000)]
    pub expires_in: Option<u64>,
    /// Ours: where clients connect with TLS. Clients that know this field use it instead of `clientsHost`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clients_tls: Option<ClientsTls>,
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

/// Where clients reach a gateway with TLS, and by which key they know it: no authority vouches for the key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClientsTls {
    /// `wss://` URL.
    #[schema(min_length = 1, max_length = 512, example = "wss://192.0.2.1:9443")]
    pub url: String,
    /// Base64 of the SHA-256 of the public key (`SubjectPublicKeyInfo`) in the certificate there.
    #[schema(pattern = "^[A-Za-z0-9+/]{43}=$", example = "qFVIzO06NAv2GHpuJH2qLBc+veS7+qg+I8ab+E5TuwM=")]
    pub key_hash: String,
}

/// Signature of an identity over its entry; see `signing`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Proof {
    /// Counter, greater than that of every earlier call of this identity.
    #[schema(minimum = 1)]
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

impl Proof {
    /// Sets the signed addresses, for an entry that is listed with other addresses.
    #[must_use]
    pub fn with_announced(self, announced: Announced) -> Self {
        Self { announced: Some(announced), ..self }
    }
}

/// The addresses of an entry as its identity signed them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Announced {
    /// `mixHost` as signed.
    pub mix_host: String,
    /// `mixHosts` as signed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mix_hosts: Vec<String>,
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
