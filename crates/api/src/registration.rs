//! Registrations of mixes and gateways.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::null_is_empty;

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

impl Proof {
    /// Sets the signed addresses, for an entry that is listed with other addresses.
    #[must_use]
    pub fn with_announced(self, announced: Announced) -> Self {
        Self { announced: Some(announced), ..self }
    }
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
