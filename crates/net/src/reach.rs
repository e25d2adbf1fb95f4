//! Rules for the addresses that packets may be sent to, shared by registries and nodes.
//!
//! Anyone can register any address in a directory. Without these rules, an attacker could make nodes send chosen bytes
//! to services on their own loopback interface or network.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use thiserror::Error;

use super::NotPublic;

/// What kind of network the nodes are in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Reach {
    /// The internet: globally routable addresses only.
    #[default]
    Internet,
    /// A private network: also private, shared, unique local and documentation addresses.
    Private,
    /// One machine: also loopback addresses.
    Machine,
}

/// Why packets must not go to an address. The text is a predicate that follows the address in messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Unreachable {
    /// Port 0 cannot receive connections.
    #[error("has port 0")]
    Port,
    /// Scoped to an interface of one machine.
    #[error("has a scope, which is valid on one machine only")]
    Scoped,
    /// The metadata service of a cloud.
    #[error("is an address of cloud metadata")]
    Metadata,
    /// Not an address of this kind of network.
    #[error("is {0}")]
    Kind(NotPublic),
}

impl Reach {
    /// Reach of a program that listens on these addresses.
    #[must_use]
    pub fn new(allow_private: bool, listen: impl IntoIterator<Item = IpAddr>) -> Self {
        let mut listen = listen.into_iter().peekable();
        let only_here = listen.peek().is_some() && listen.all(|ip| ip.to_canonical().is_loopback());
        match (allow_private, only_here) {
            (false, _) => Self::Internet,
            (true, false) => Self::Private,
            (true, true) => Self::Machine,
        }
    }

    /// Reach of the network of a directory at these addresses, inferred from them.
    #[must_use]
    pub fn of_directory(addresses: impl IntoIterator<Item = IpAddr>) -> Self {
        let of_one = |ip: IpAddr| match NotPublic::of(ip) {
            None => Self::Internet,
            Some(NotPublic::Loopback) => Self::Machine,
            Some(_) => Self::Private,
        };
        addresses.into_iter().map(of_one).max().unwrap_or_default()
    }

    /// Returns the canonical form of an address that nodes of this network may have.
    ///
    /// # Errors
    /// When the address cannot be a node's, or must not be sent to.
    pub fn check(self, address: SocketAddr) -> Result<SocketAddr, Unreachable> {
        if address.port() == 0 {
            return Err(Unreachable::Port);
        }
        if matches!(address, SocketAddr::V6(v6) if v6.scope_id() != 0) {
            return Err(Unreachable::Scoped);
        }
        let ip = address.ip().to_canonical();
        if is_metadata(ip) {
            return Err(Unreachable::Metadata);
        }
        match NotPublic::of(ip) {
            Some(kind) if !self.includes(kind) => Err(Unreachable::Kind(kind)),
            _ => Ok(SocketAddr::new(ip, address.port())),
        }
    }

    fn includes(self, kind: NotPublic) -> bool {
        match kind {
            NotPublic::Private
            | NotPublic::Shared
            | NotPublic::UniqueLocal
            | NotPublic::Documentation
            | NotPublic::Benchmarking => self >= Self::Private,
            NotPublic::Loopback => self >= Self::Machine,
            NotPublic::Unspecified | NotPublic::LinkLocal | NotPublic::Multicast | NotPublic::Reserved => false,
        }
    }
}

impl fmt::Display for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Internet => "internet",
            Self::Private => "private",
            Self::Machine => "machine",
        })
    }
}

/// Whether `ip` is a cloud metadata address outside 169.254.0.0/16, which is link-local anyway.
fn is_metadata(ip: IpAddr) -> bool {
    const ALIBABA: Ipv4Addr = Ipv4Addr::new(100, 100, 100, 200);
    const AZURE: Ipv4Addr = Ipv4Addr::new(168, 63, 129, 16);
    const ORACLE: Ipv4Addr = Ipv4Addr::new(192, 0, 0, 192);
    const AWS: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);
    const GCP: Ipv6Addr = Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254);
    match ip {
        IpAddr::V4(ip) => [ALIBABA, AZURE, ORACLE].contains(&ip),
        IpAddr::V6(ip) => [AWS, GCP].contains(&ip) || embedded_v4(ip).is_some_and(|ip| is_metadata(ip.into())),
    }
}

/// The IPv4 address to which a translator or a tunnel of the network sends packets for `ip`.
fn embedded_v4(ip: Ipv6Addr) -> Option<Ipv4Addr> {
    let ([0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..]) = ip.segments() else { return None };
    Some(Ipv4Addr::from(u32::from(high) << 16 | u32::from(low)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Which kinds of network accept the address, from the internet to one machine.
    fn accepts(text: &str) -> [bool; 3] {
        [Reach::Internet, Reach::Private, Reach::Machine].map(|reach| reach.check(text.parse().unwrap()).is_ok())
    }

    #[test]
    fn each_kind_of_network_has_its_addresses() {
        for (address, expected) in [
            // The internet's.
            ("36.68.243.18:1789", [true, true, true]),
            ("[2600::1]:1789", [true, true, true]),
            ("[::ffff:36.68.243.18]:1789", [true, true, true]),
            ("[64:ff9b::2444:f312]:1789", [true, true, true]),
            // Private ones.
            ("10.126.5.7:1789", [false, true, true]),
            ("172.30.89.11:1789", [false, true, true]),
            ("192.168.1.1:1789", [false, true, true]),
            ("100.64.0.1:1789", [false, true, true]),
            ("192.0.2.1:1789", [false, true, true]),
            ("198.18.0.1:1789", [false, true, true]),
            ("[fd17:89::11]:1789", [false, true, true]),
            ("[2001:db8::1]:1789", [false, true, true]),
            ("[::ffff:10.0.0.1]:1789", [false, true, true]),
            // This machine's.
            ("127.0.0.1:6379", [false, false, true]),
            ("127.255.255.254:1", [false, false, true]),
            ("[::1]:6379", [false, false, true]),
            ("[::ffff:127.0.0.1]:6379", [false, false, true]),
            // In no network.
            ("36.68.243.18:0", [false; 3]),
            ("0.0.0.0:1789", [false; 3]),
            ("0.1.2.3:1789", [false; 3]),
            ("[::]:1789", [false; 3]),
            ("[::ffff:0.0.0.0]:1789", [false; 3]),
            ("169.254.169.254:80", [false; 3]),
            ("[::ffff:169.254.169.254]:80", [false; 3]),
            ("[64:ff9b::a9fe:a9fe]:80", [false; 3]),
            ("[2002:a9fe:a9fe::1]:80", [false; 3]),
            ("[fe80::1]:1789", [false; 3]),
            ("[fe80::1%2]:1789", [false; 3]),
            ("[2600::1%2]:1789", [false; 3]),
            ("224.0.0.1:1789", [false; 3]),
            ("[ff02::1]:1789", [false; 3]),
            ("255.255.255.255:1789", [false; 3]),
            ("240.0.0.1:1789", [false; 3]),
            ("[fd00:ec2::254]:80", [false; 3]),
            ("[fd20:ce::254]:80", [false; 3]),
            ("100.100.100.200:80", [false; 3]),
            ("168.63.129.16:80", [false; 3]),
            ("[64:ff9b::a83f:8110]:80", [false; 3]),
            ("[64:ff9b::7f00:1]:6379", [false; 3]),
            ("[2002:7f00:1::]:6379", [false; 3]),
            ("[2002:a00:1::]:6379", [false; 3]),
            ("[::7f00:1]:6379", [false; 3]),
            ("[::ffff:0:127.0.0.1]:6379", [false; 3]),
            ("[64:ff9b:1::7f00:1]:6379", [false; 3]),
            ("[2001::1]:1789", [false; 3]),
        ] {
            assert_eq!(accepts(address), expected, "{address}");
        }
    }

    #[test]
    fn an_address_has_one_spelling() {
        let mapped = "[::ffff:36.68.243.18]:1789".parse().unwrap();
        assert_eq!(Reach::Internet.check(mapped), Ok("36.68.243.18:1789".parse().unwrap()));
    }

    #[test]
    fn a_directory_is_in_the_network_that_it_serves() {
        for (ips, expected) in [
            (vec![], Reach::Internet),
            (vec!["36.68.243.18", "2600::1"], Reach::Internet),
            (vec!["36.68.243.18", "10.0.0.1"], Reach::Private),
            (vec!["fd17:89::2"], Reach::Private),
            (vec!["127.0.0.1"], Reach::Machine),
        ] {
            assert_eq!(Reach::of_directory(ips.iter().map(|ip| ip.parse().unwrap())), expected, "{ips:?}");
        }
    }

    #[test]
    fn loopback_belongs_to_programs_that_listen_nowhere_else() {
        let listen = |ips: &[&str]| ips.iter().map(|ip| ip.parse().unwrap()).collect::<Vec<IpAddr>>();
        for (allow_private, ips, expected) in [
            (false, listen(&["127.0.0.1"]), Reach::Internet),
            (true, listen(&["127.0.0.1", "::1"]), Reach::Machine),
            (true, listen(&["127.0.0.1", "10.0.0.1"]), Reach::Private),
            (true, listen(&["::"]), Reach::Private),
            (true, listen(&[]), Reach::Private),
        ] {
            assert_eq!(Reach::new(allow_private, ips.clone()), expected, "{ips:?}");
        }
    }
}
