//! JSON types of the directory API: those of the 0.9.2 validator, and our additions (all optional on the wire).
//!
//! Parsing is lenient, to accept old and newer directories: unknown fields are ignored, and a `null` list is empty.
//! Serialisation is exact: a registration without our additions is byte for byte what a 0.9.2 node sends. *Registries*
//! validate more strictly than these types.

mod measurement;
mod registration;
mod reply;
pub mod signing;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod topology;

use serde::{Deserialize, Deserializer};

pub use measurement::{
    BatchMixStatus, BatchMixStatusReport, IpVersion, LayerTotals, MixMetric, MixStatus, MixStatusReport, NextReport,
    PersistedMixMetric, PersistedMixStatus,
};
pub use registration::{Announced, ClientsTls, GatewayRegistration, MixRegistration, Proof};
pub use reply::{Accepted, CounterReply, PendingAddress, PendingEntry, PendingList, Refusal, RegistrationReply};
pub use topology::{
    ACTIVE_REPUTATION, LAYERS_MAX, RegisteredGateway, RegisteredMix, Release, Topology, Validators,
    layers_without_active,
};

/// Protocol version that all nodes of this network register with, independent of their program version.
pub const PROTOCOL_VERSION: &str = "0.9.2";

/// The 0.9.2 validator writes an empty list as `null`.
fn null_is_empty<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

#[cfg(test)]
mod tests;
