//! Which next hops a packet may name.

use std::collections::HashSet;
use std::net::SocketAddr;

use arc_swap::ArcSwap;

use crate::address::is_globally_routable;

/// The exact addresses that the directory lists.
pub type NextHops = HashSet<SocketAddr>;

/// Decides for each packet, before anything is connected. Shared by all workers.
#[derive(Debug)]
pub enum Policy {
    /// Only the directory's addresses, port included. Empty until a topology is known.
    Topology(ArcSwap<NextHops>),
    /// Any globally routable address.
    Public,
    /// Anywhere: for closed networks.
    Any,
}

impl Policy {
    /// A policy `topology` that allows nothing yet.
    #[must_use]
    pub fn empty_topology() -> Self {
        Self::Topology(ArcSwap::default())
    }

    /// Whether a packet may go to `next_hop`. Port 0 is nowhere.
    #[must_use]
    pub fn allows(&self, next_hop: SocketAddr) -> bool {
        if next_hop.port() == 0 {
            return false;
        }
        match self {
            Self::Topology(listed) => listed.load().contains(&next_hop),
            Self::Public => is_globally_routable(next_hop.ip()),
            Self::Any => true,
        }
    }

    /// Replaces the allowed addresses; without effect under the other policies.
    pub fn set_topology(&self, listed: NextHops) {
        if let Self::Topology(current) = self {
            current.store(listed.into());
        }
    }

    /// How many addresses the topology allows; 0 under the other policies.
    #[must_use]
    pub fn listed(&self) -> usize {
        match self {
            Self::Topology(listed) => listed.load().len(),
            Self::Public | Self::Any => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn topology_allows_exact_pairs_only() {
        let policy = Policy::empty_topology();
        assert!(!policy.allows(address("192.0.2.1:1789")));
        policy.set_topology(HashSet::from([address("192.0.2.1:1789"), address("[2001:db8::1]:1789")]));
        assert!(policy.allows(address("192.0.2.1:1789")));
        assert!(policy.allows(address("[2001:db8::1]:1789")));
        // A known host's other port, a mapped form, and the usual targets of a request forgery.
        for refused in ["192.0.2.1:22", "[2001:db8::1]:22", "127.0.0.1:1789", "169.254.169.254:80", "10.0.0.1:1789"] {
            assert!(!policy.allows(address(refused)), "{refused}");
        }
    }

    #[test]
    fn public_refuses_what_is_not_globally_routable() {
        for refused in [
            "127.0.0.1:1789",
            "[::1]:1789",
            "169.254.169.254:80",
            "192.168.1.1:1789",
            "[::ffff:10.0.0.1]:1",
            "1.1.1.1:0",
        ] {
            assert!(!Policy::Public.allows(address(refused)), "{refused}");
        }
        assert!(Policy::Public.allows(address("1.1.1.1:1789")));
        assert!(Policy::Any.allows(address("127.0.0.1:1789")));
        assert!(!Policy::Any.allows(address("127.0.0.1:0")));
    }
}
