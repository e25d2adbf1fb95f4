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
