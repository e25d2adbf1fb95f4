//! Addresses in JSON output, of `detect --json` and `/status`.

use std::net::SocketAddr;

use nym_mixnode_net::Listening;
use serde::Serialize;

use super::Announced;

/// An address with its source. `docs/addresses.md` documents these keys and the values of `family`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AddressReport {
    /// `ipv4` or `ipv6`.
    pub family: &'static str,
    /// The address with its port.
    pub address: SocketAddr,
    /// A description for people.
    pub source: String,
}

impl AddressReport {
    fn new(address: SocketAddr, source: &str) -> Self {
        let family = if address.is_ipv4() { "ipv4" } else { "ipv6" };
        Self { family, address, source: source.to_owned() }
    }
}

impl From<&Announced> for AddressReport {
    fn from(announced: &Announced) -> Self {
        Self::new(announced.address.get(), &announced.source)
    }
}

impl From<&Listening> for AddressReport {
    fn from(listening: &Listening) -> Self {
        Self::new(listening.address.get(), &listening.source)
    }
}
