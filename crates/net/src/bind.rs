//! The address that a node listens on.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use socket2::{Domain, Protocol, Socket, Type};

/// A local address on which packets are accepted. Other machines may not be able to reach it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BindAddr(SocketAddr);

impl BindAddr {
    /// A configured address. Whether it is local is checked when it is bound.
    #[must_use]
    pub fn new(address: SocketAddr) -> Self {
        Self(address)
    }

    /// Every address of this machine: `[::]`, which takes IPv4 as well, or `0.0.0.0` where there is no IPv6.
    #[must_use]
    pub fn everywhere(port: u16) -> Self {
        let ip: IpAddr = if has_ipv6() { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() };
        Self(SocketAddr::new(ip, port))
    }

    /// As a plain address.
    #[must_use]
    pub fn get(self) -> SocketAddr {
        self.0
    }
}

/// A bind address and its source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listening {
    pub address: BindAddr,
    /// Source of the address, such as `--host` or a line of a file.
    pub source: String,
}

/// Address families.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Families {
    pub v4: bool,
    pub v6: bool,
}

impl Families {
    pub const BOTH: Self = Self { v4: true, v6: true };

    /// The families in which sockets with these bind addresses accept connections: `[::]` accepts both.
    pub fn listened_on(addresses: impl IntoIterator<Item = IpAddr>) -> Self {
        addresses.into_iter().map(|ip| ip.to_canonical()).fold(Self { v4: false, v6: false }, |families, ip| Self {
            v4: families.v4 || ip.is_ipv4() || ip.is_unspecified(),
            v6: families.v6 || ip.is_ipv6(),
        })
    }

    /// Whether there is one.
    #[must_use]
    pub fn any(self) -> bool {
        self.v4 || self.v6
    }

    /// Whether the family of `ip` is among them.
    #[must_use]
    pub fn contain(self, ip: IpAddr) -> bool {
        if ip.to_canonical().is_ipv4() { self.v4 } else { self.v6 }
    }
}

impl fmt::Display for Families {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.v4, self.v6) {
            (true, true) => "IPv4 and IPv6",
            (true, false) => "IPv4 only",
            (false, true) => "IPv6 only",
            (false, false) => "no address",
        })
    }
}

/// Whether the kernel supports IPv6 and allows sockets to listen on it.
fn has_ipv6() -> bool {
    let any_port = SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), 0);
    Socket::new(Domain::IPV6, Type::STREAM, Some(Protocol::TCP))
        .is_ok_and(|socket| socket.bind(&any_port.into()).is_ok())
}

impl fmt::Display for BindAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_ipv6_wildcard_accepts_both_families() {
        for (listen, words) in [
            (&["0.0.0.0"][..], "IPv4 only"),
            (&["10.126.5.7"], "IPv4 only"),
            (&["::ffff:10.126.5.7"], "IPv4 only"),
            (&["2600::1"], "IPv6 only"),
            (&["::"], "IPv4 and IPv6"),
            (&["2600::1", "10.126.5.7"], "IPv4 and IPv6"),
        ] {
            let families = Families::listened_on(listen.iter().map(|ip| ip.parse().unwrap()));
            assert_eq!(families.to_string(), words, "{listen:?}");
            assert_eq!(families.contain("192.0.2.1".parse().unwrap()), words.contains("IPv4"), "{listen:?}");
            assert_eq!(families.contain("fd00::2".parse().unwrap()), words.contains("IPv6"), "{listen:?}");
        }
    }
}
