//! Allowed next hops, and the framing of packets for each of them.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use arc_swap::ArcSwap;
use nym_mixnode_net::is_globally_routable;
use nym_mixnode_sphinx::PacketSize;
use nym_mixnode_wire::Framing;
use strum::{EnumString, VariantNames};

use crate::DropReason;

/// Where packets may go.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, EnumString, VariantNames)]
#[strum(serialize_all = "lowercase")]
pub enum Rule {
    /// Only the directory's addresses, port included. Nowhere until a topology is known.
    #[default]
    Topology,
    /// Any globally routable address that is not this node's own.
    Public,
    /// Any address, for closed networks.
    Any,
}

/// The addresses in the directory, each with the framing of its node.
#[derive(Debug, Clone, Default)]
pub struct NextHops(HashMap<SocketAddr, Framing>);

impl NextHops {
    /// Adds the address of a node that registered with this version.
    ///
    /// Two entries can have the same address. The older framing wins, because every release reads it: an entry of
    /// another operator must not make packets unreadable for the node at that address.
    pub fn add(&mut self, address: SocketAddr, version: &str) {
        let framing = Framing::of_version(version);
        self.0.entry(address).and_modify(|listed| *listed = framing.min(*listed)).or_insert(framing);
    }

    /// Number of addresses.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether the set is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The addresses, in no particular order.
    pub fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.0.keys().copied()
    }
}

/// Forwarding policy, which all workers share and which applies before a connection is made.
#[derive(Debug)]
pub struct Policy {
    rule: Rule,
    listed: ArcSwap<NextHops>,
    own: ArcSwap<HashSet<IpAddr>>,
}

impl Policy {
    /// Creates a policy without a topology and without own addresses.
    #[must_use]
    pub fn new(rule: Rule) -> Self {
        Self { rule, listed: ArcSwap::default(), own: ArcSwap::default() }
    }

    /// Where packets may go.
    #[must_use]
    pub fn rule(&self) -> Rule {
        self.rule
    }

    /// Checks whether a packet of this size may go to `next_hop`. Port 0 is never allowed.
    ///
    /// # Errors
    /// The reason to drop the packet.
    pub fn check(&self, next_hop: SocketAddr, size: PacketSize) -> Result<(), DropReason> {
        if next_hop.port() == 0 {
            return Err(DropReason::NextHopRefused);
        }
        let listed = self.listed.load().0.get(&next_hop).copied();
        let is_allowed = match self.rule {
            Rule::Topology => listed.is_some(),
            Rule::Public => is_globally_routable(next_hop.ip()) && !self.is_own(next_hop.ip()),
            Rule::Any => true,
        };
        if !is_allowed {
            return Err(DropReason::NextHopRefused);
        }
        if listed.unwrap_or_default().has(size) { Ok(()) } else { Err(DropReason::SizeUnknownToNextHop) }
    }

    /// The framing of `next_hop`, from its registered version; the oldest framing when the directory does not list it.
    #[must_use]
    pub fn framing(&self, next_hop: SocketAddr) -> Framing {
        self.listed.load().0.get(&next_hop).copied().unwrap_or_default()
    }

    /// Replaces the addresses that the directory lists.
    pub fn set_topology(&self, listed: NextHops) {
        self.listed.store(listed.into());
    }

    /// Replaces the addresses of this node, which [`Rule::Public`] rejects with any port.
    pub fn set_own(&self, addresses: impl IntoIterator<Item = IpAddr>) {
        self.own.store(addresses.into_iter().map(reached).collect::<HashSet<_>>().into());
    }

    /// Number of addresses that the topology allows; 0 under the other rules.
    #[must_use]
    pub fn listed(&self) -> usize {
        if self.rule == Rule::Topology { self.listed.load().0.len() } else { 0 }
    }

    fn is_own(&self, ip: IpAddr) -> bool {
        let own = self.own.load();
        own.contains(&ip) || own.contains(&reached(ip))
    }
}

/// The effective destination of `ip`: the IPv4 address embedded in a mapped, NAT64 or 6to4 address, otherwise `ip`.
fn reached(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(ip) => embedded_v4(ip).map_or(IpAddr::V6(ip), IpAddr::V4),
        ip @ IpAddr::V4(_) => ip,
    }
}

fn embedded_v4(ip: Ipv6Addr) -> Option<Ipv4Addr> {
    let ([0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..]) = ip.segments() else { return None };
    Some(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACK: PacketSize = PacketSize::Ack;
    const REFUSED: Result<(), DropReason> = Err(DropReason::NextHopRefused);

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn listed(entries: &[(&str, &str)]) -> NextHops {
        let mut next_hops = NextHops::default();
        for (at, version) in entries {
            next_hops.add(address(at), version);
        }
        next_hops
    }

    #[test]
    fn topology_allows_exact_pairs_only() {
        let policy = Policy::new(Rule::Topology);
        assert_eq!(policy.check(address("192.0.2.1:1789"), ACK), REFUSED);
        policy.set_topology(listed(&[("192.0.2.1:1789", "0.9.2"), ("[2001:db8::1]:1789", "0.9.2")]));
        assert_eq!(policy.check(address("192.0.2.1:1789"), ACK), Ok(()));
        assert_eq!(policy.check(address("[2001:db8::1]:1789"), ACK), Ok(()));
        assert_eq!(policy.listed(), 2);
        // A known host's other port, a mapped form, and the usual targets of a request forgery.
        for refused in ["192.0.2.1:22", "[2001:db8::1]:22", "127.0.0.1:1789", "169.254.169.254:80", "10.0.0.1:1789"] {
            assert_eq!(policy.check(address(refused), ACK), REFUSED, "{refused}");
        }
    }

    #[test]
    fn public_rejects_addresses_that_are_not_globally_routable() {
        let policy = Policy::new(Rule::Public);
        for refused in [
            "127.0.0.1:1789",
            "[::1]:1789",
            "169.254.169.254:80",
            "192.168.1.1:1789",
            "[::ffff:10.0.0.1]:1",
            "1.1.1.1:0",
        ] {
            assert_eq!(policy.check(address(refused), ACK), REFUSED, "{refused}");
        }
        assert_eq!(policy.check(address("1.1.1.1:1789"), ACK), Ok(()));
        assert_eq!(Policy::new(Rule::Any).check(address("127.0.0.1:1789"), ACK), Ok(()));
        assert_eq!(Policy::new(Rule::Any).check(address("127.0.0.1:0"), ACK), REFUSED);
    }

    #[test]
    fn public_rejects_every_port_and_form_of_own_addresses() {
        let policy = Policy::new(Rule::Public);
        policy.set_own(["36.68.243.18", "2600::1", "10.0.0.7"].map(|ip| ip.parse().unwrap()));
        for refused in [
            "36.68.243.18:1789",
            "36.68.243.18:22",
            "[::ffff:36.68.243.18]:22",
            "[64:ff9b::2444:f312]:22",
            "[2002:2444:f312::1]:22",
            "[2600::1]:80",
        ] {
            assert_eq!(policy.check(address(refused), ACK), REFUSED, "{refused}");
        }
        for allowed in ["36.68.243.19:22", "[2600::2]:80", "[64:ff9b::2444:f313]:22"] {
            assert_eq!(policy.check(address(allowed), ACK), Ok(()), "{allowed}");
        }
    }

    #[test]
    fn a_next_hop_gets_the_framing_of_its_version_and_the_sizes_of_that_framing() {
        let [old, new, newest] = ["192.0.2.1:1", "192.0.2.2:1", "192.0.2.3:1"];
        for rule in [Rule::Topology, Rule::Any] {
            let policy = Policy::new(rule);
            policy.set_topology(listed(&[(old, "0.9.2"), (new, "1.1.9"), (newest, "2025.12")]));
            let framings = [old, new, newest].map(|at| policy.framing(address(at)));
            assert_eq!(framings, [Framing::V0_9, Framing::V1_1, Framing::V2025_12]);
            for size in [PacketSize::Extended8, PacketSize::Extended16] {
                assert_eq!(policy.check(address(old), size), Err(DropReason::SizeUnknownToNextHop));
                assert_eq!(policy.check(address(new), size), Ok(()));
                assert_eq!(policy.check(address(newest), size), Ok(()));
            }
        }
        let policy = Policy::new(Rule::Any);
        assert_eq!(policy.framing(address(newest)), Framing::V0_9, "of unknown release");
        assert_eq!(policy.check(address(newest), PacketSize::Extended8), Err(DropReason::SizeUnknownToNextHop));
    }

    #[test]
    fn a_second_entry_at_an_address_cannot_make_packets_unreadable_there() {
        let at = "192.0.2.1:1789";
        for versions in [["0.9.2", "2025.12"], ["2025.12", "0.9.2"], ["1.1.0", "nonsense"]] {
            let policy = Policy::new(Rule::Topology);
            policy.set_topology(listed(&versions.map(|version| (at, version))));
            assert_eq!(policy.framing(address(at)), Framing::V0_9, "{versions:?}");
        }
    }
}
