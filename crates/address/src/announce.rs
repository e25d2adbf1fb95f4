//! Announce addresses: the addresses at which other nodes reach this one.

use std::fmt;
use std::net::SocketAddr;

use nym_mixnode_net::NotPublic;
use thiserror::Error;

/// An announce address. It need not belong to an interface of this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AnnounceAddr(SocketAddr);

impl AnnounceAddr {
    /// Checks that others can reach the address; in a closed network (`allow_private`) private addresses are accepted.
    ///
    /// # Errors
    /// If other nodes cannot reach it.
    pub fn new(address: SocketAddr, allow_private: bool) -> Result<Self, Unannounceable> {
        match NotPublic::of(address.ip()) {
            None => Ok(Self(address)),
            Some(kind) if allow_private && !kind.is_nowhere() => Ok(Self(address)),
            Some(kind) => Err(Unannounceable { kind }),
        }
    }

    /// Returns the plain socket address.
    #[must_use]
    pub fn get(self) -> SocketAddr {
        self.0
    }
}

impl fmt::Display for AnnounceAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An announce address and its source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announced {
    /// The address.
    pub address: AnnounceAddr,
    /// The source, such as `aws metadata: public-ipv4` or the line of a file.
    pub source: String,
}

/// Why an address is not announced, and what to do; a predicate that follows the address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("is {kind}, not one that other nodes can reach: {}", advice(*.kind))]
pub struct Unannounceable {
    /// The kind of address.
    pub kind: NotPublic,
}

fn advice(kind: NotPublic) -> &'static str {
    if kind.is_nowhere() {
        "announce the public one with --announce-host"
    } else {
        "bind to it with --host and announce the public one with --announce-host, or, in a closed network, pass \
         --allow-private"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_closed_networks_accept_private_addresses() {
        for (text, public, private) in [
            ("36.68.243.18:1789", true, true),
            ("[2600::1]:1789", true, true),
            ("10.126.5.7:1789", false, true),
            ("127.0.0.1:1789", false, true),
            ("192.0.2.1:1789", false, true),
            ("[fd00::1]:1789", false, true),
            ("0.0.0.0:1789", false, false),
            ("[::]:1789", false, false),
            ("[ff02::1]:1789", false, false),
        ] {
            let address = text.parse().unwrap();
            assert_eq!(AnnounceAddr::new(address, false).is_ok(), public, "{text}");
            assert_eq!(AnnounceAddr::new(address, true).is_ok(), private, "{text}");
        }
    }

    #[test]
    fn a_private_address_is_rejected_with_advice() {
        let error = AnnounceAddr::new("10.126.5.7:1789".parse().unwrap(), false).unwrap_err().to_string();
        for word in ["a private address", "--host", "--announce-host", "--allow-private"] {
            assert!(error.contains(word), "{error}");
        }
    }
}
