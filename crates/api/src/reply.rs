//! Replies of a directory to calls of nodes, and the list of pending addresses.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::IpVersion;

/// Reply to an accepted registration: `{"ok":true}` and the addresses that are not listed yet.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PendingAddress {
    /// `ip:port`.
    pub address: String,
    /// Why it is not listed, and how to prove it.
    pub reason: String,
}

/// Reply of `GET /api/mixmining/pending`: registrations that are pending as a whole or for some of their addresses.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PendingList {
    /// One element for each address.
    pub pending: Vec<PendingEntry>,
}

/// Address of the list of pending addresses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PendingEntry {
    /// Identity that claims the address.
    pub identity_key: String,
    /// The address, and why it is not listed.
    #[serde(flatten)]
    pub pending: PendingAddress,
}

/// Reply of `GET /api/mixmining/counter/{identity}?nonce=…`, signed by the registry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Accepted {
    /// Always true.
    pub ok: bool,
}

/// Body of every error reply: `{"error":"…"}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Refusal {
    /// Error message of one line.
    pub error: String,
}
