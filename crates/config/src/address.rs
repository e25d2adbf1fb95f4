//! Addresses as operators write them: IPv4 or IPv6, with or without brackets, with or without a port.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use thiserror::Error;

/// An IP address with an optional port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Host {
    pub ip: IpAddr,
    pub port: Option<u16>,
}

/// The text is not a valid [`Host`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum HostError {
    #[error("not an IP address such as 192.0.2.1, 192.0.2.1:1789, 2001:db8::1 or [2001:db8::1]:1789")]
    NotAnAddress,
    #[error("the port is not a number from 1 to 65535")]
    BadPort,
    #[error("a multicast or broadcast address, which no node can have")]
    NotUnicast,
}

impl Host {
    /// The socket address, with `port` as the default.
    #[must_use]
    pub fn with_default_port(self, port: u16) -> SocketAddr {
        SocketAddr::new(self.ip, self.port.unwrap_or(port))
    }
}

impl FromStr for Host {
    type Err = HostError;

    fn from_str(text: &str) -> Result<Self, HostError> {
        // A bare IPv6 address contains colons, so it has to be tried before looking for a port.
        let (ip, port) = match text.parse::<IpAddr>() {
            Ok(ip) => (ip, None),
            Err(_) => split_port(text)?,
        };
        // `::ffff:192.0.2.1` is an IPv4 address in IPv6 notation.
        let ip = ip.to_canonical();
        let broadcast = matches!(ip, IpAddr::V4(v4) if v4.is_broadcast());
        if ip.is_multicast() || broadcast { Err(HostError::NotUnicast) } else { Ok(Self { ip, port }) }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) => SocketAddr::new(self.ip, port).fmt(f),
            None => self.ip.fmt(f),
        }
    }
}

fn split_port(text: &str) -> Result<(IpAddr, Option<u16>), HostError> {
    let (ip, port) = if let Some(bracketed) = text.strip_prefix('[') {
        let (ip, rest) = bracketed.split_once(']').ok_or(HostError::NotAnAddress)?;
        let ip = ip.parse::<Ipv6Addr>().map_err(|_| HostError::NotAnAddress)?;
        if rest.is_empty() {
            return Ok((ip.into(), None));
        }
        (IpAddr::V6(ip), rest.strip_prefix(':').ok_or(HostError::NotAnAddress)?)
    } else {
        let (ip, port) = text.split_once(':').ok_or(HostError::NotAnAddress)?;
        (ip.parse().map_err(|_| HostError::NotAnAddress)?, port)
    };
    match port.parse() {
        Ok(0) | Err(_) => Err(HostError::BadPort),
        Ok(port) => Ok((ip, Some(port))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_way_of_writing_an_address() {
        for (text, expected) in [
            ("192.0.2.1", "192.0.2.1:1789"),
            ("192.0.2.1:7", "192.0.2.1:7"),
            ("2001:db8::1", "[2001:db8::1]:1789"),
            ("[2001:db8::1]", "[2001:db8::1]:1789"),
            ("[2001:db8::1]:7", "[2001:db8::1]:7"),
            ("0.0.0.0", "0.0.0.0:1789"),
            ("::", "[::]:1789"),
            ("::ffff:192.0.2.1", "192.0.2.1:1789"),
        ] {
            let host: Host = text.parse().unwrap();
            assert_eq!(host.with_default_port(1789).to_string(), expected, "{text}");
        }
    }

    #[test]
    fn refuses_what_is_no_unicast_address_and_port() {
        for (text, expected) in [
            ("", HostError::NotAnAddress),
            ("example.org", HostError::NotAnAddress),
            ("example.org:1789", HostError::NotAnAddress),
            ("192.0.2", HostError::NotAnAddress),
            ("192.0.2.256", HostError::NotAnAddress),
            ("[192.0.2.1]:7", HostError::NotAnAddress),
            ("[2001:db8::1", HostError::NotAnAddress),
            ("[2001:db8::1]7", HostError::NotAnAddress),
            ("fe80::1%eth0", HostError::NotAnAddress),
            ("192.0.2.1:", HostError::BadPort),
            ("192.0.2.1:0", HostError::BadPort),
            ("192.0.2.1:65536", HostError::BadPort),
            ("[2001:db8::1]:http", HostError::BadPort),
            ("224.0.0.1", HostError::NotUnicast),
            ("255.255.255.255", HostError::NotUnicast),
            ("ff02::1", HostError::NotUnicast),
        ] {
            assert_eq!(text.parse::<Host>(), Err(expected), "{text}");
        }
    }
}
