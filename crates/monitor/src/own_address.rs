//! The prober's own addresses, one per family: as requested, else loopback for a directory on this machine, else the
//! source address for packets to the tested network.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};

use thiserror::Error;

use super::family::IpFamily;
use super::prober::Endpoint;

/// Requested addresses of the prober; port 0 takes any free port.
#[derive(Debug, Clone, Default)]
pub struct OwnAddressRequest {
    /// Local addresses to listen on, at most one per family; detected if empty.
    pub hosts: Vec<SocketAddr>,
    /// Announced addresses for those, at most one per family.
    pub announce_hosts: Vec<SocketAddr>,
}

/// Error while choosing addresses.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum OwnAddressError {
    /// Several addresses of one family.
    #[error("{option} has two {family} addresses; pass at most one per family")]
    Twice {
        /// Name of the option.
        option: &'static str,
        /// Family of the addresses.
        family: IpFamily,
    },
    /// The listen address is unspecified, and no announce address is given.
    #[error("--host {0} means all local addresses; pass the one that the nodes reach as --announce-host")]
    AnnounceUnknown(IpAddr),
    /// Neither family works on this machine.
    #[error("this machine has neither an IPv4 nor an IPv6 address for reaching the network; pass one with --host")]
    NoAddress,
}

/// Parses an address with or without a port: `192.0.2.1`, `192.0.2.1:1789`, `2001:db8::1`, `[2001:db8::1]`,
/// `[2001:db8::1]:1789`. The default port is 0.
///
/// # Errors
/// When the text is not an address; the message is for the user.
pub fn parse_host(text: &str) -> Result<SocketAddr, String> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    bare.parse::<IpAddr>()
        .map(|ip| SocketAddr::new(ip, 0))
        .or_else(|_| text.parse())
        .map_err(|_| format!("'{text}' is not an IP address such as 192.0.2.1, 192.0.2.1:1789 or [2001:db8::1]:1789"))
}

/// Decides where the prober listens and what it announces, given the addresses of directory and nodes.
///
/// A family without an endpoint in the result cannot be tested from here.
///
/// # Errors
/// When the request is contradictory, or no family is usable.
pub fn choose(
    request: &OwnAddressRequest,
    directory: &[SocketAddr],
    nodes: &[SocketAddr],
) -> Result<Vec<Endpoint>, OwnAddressError> {
    let mut endpoints = Vec::new();
    for family in IpFamily::ALL {
        let host = only_one("--host", family, &request.hosts)?;
        let announced = only_one("--announce-host", family, &request.announce_hosts)?;
        let found = || default_ip(family, directory, nodes).map(|ip| SocketAddr::new(ip, 0));
        let bind = match host {
            Some(host) => Some(host),
            // A request for one family disables the other.
            None if !request.hosts.is_empty() => None,
            None => found().or_else(|| announced.map(|_| SocketAddr::new(family.unspecified(), 0))),
        };
        let Some(bind) = bind else { continue };
        let announce = match announced {
            Some(announced) => announced,
            None if bind.ip().is_unspecified() => {
                let ip = found().ok_or(OwnAddressError::AnnounceUnknown(bind.ip()))?.ip();
                SocketAddr::new(ip, bind.port())
            }
            None => bind,
        };
        endpoints.push(Endpoint { bind, announce });
    }
    if endpoints.is_empty() { Err(OwnAddressError::NoAddress) } else { Ok(endpoints) }
}

/// Whether this machine can listen on the loopback address of a family.
#[must_use]
pub fn has_loopback(family: IpFamily) -> bool {
    TcpListener::bind((family.loopback(), 0)).is_ok()
}

fn only_one(
    option: &'static str,
    family: IpFamily,
    addresses: &[SocketAddr],
) -> Result<Option<SocketAddr>, OwnAddressError> {
    let mut of_family = addresses.iter().copied().filter(|address| IpFamily::of(address.ip()) == family);
    match (of_family.next(), of_family.next()) {
        (_, Some(_)) => Err(OwnAddressError::Twice { option, family }),
        (first, None) => Ok(first),
    }
}

fn default_ip(family: IpFamily, directory: &[SocketAddr], nodes: &[SocketAddr]) -> Option<IpAddr> {
    if directory.iter().any(|address| address.ip().is_loopback()) {
        return has_loopback(family).then_some(family.loopback());
    }
    let target = family.first_in(directory).or_else(|| family.first_in(nodes));
    source_towards(target.unwrap_or_else(|| elsewhere(family)))
}

/// Source address of packets to `target`. Connecting a UDP socket queries the routing table and sends nothing.
fn source_towards(target: SocketAddr) -> Option<IpAddr> {
    let socket = UdpSocket::bind((IpFamily::of(target.ip()).unspecified(), 0)).ok()?;
    socket.connect(target).ok()?;
    socket.local_addr().ok().map(|address| address.ip()).filter(|ip| !ip.is_unspecified())
}

/// Documentation address, reached only by a default route.
const fn elsewhere(family: IpFamily) -> SocketAddr {
    let ip = match family {
        IpFamily::V4 => IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
        IpFamily::V6 => IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)),
    };
    SocketAddr::new(ip, 1789)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> SocketAddr {
        parse_host(text).unwrap()
    }

    fn request(hosts: &[&str], announce_hosts: &[&str]) -> OwnAddressRequest {
        let parse = |texts: &[&str]| texts.iter().map(|text| address(text)).collect();
        OwnAddressRequest { hosts: parse(hosts), announce_hosts: parse(announce_hosts) }
    }

    #[test]
    fn hosts_come_with_and_without_ports_and_brackets() {
        for (text, expected) in [
            ("192.0.2.1", "192.0.2.1:0"),
            ("192.0.2.1:1789", "192.0.2.1:1789"),
            ("2001:db8::1", "[2001:db8::1]:0"),
            ("[2001:db8::1]", "[2001:db8::1]:0"),
            ("[2001:db8::1]:1789", "[2001:db8::1]:1789"),
        ] {
            assert_eq!(address(text).to_string(), expected);
        }
        for text in ["", "mix.example", "192.0.2.1:", "[::1", "192.0.2.1:99999"] {
            assert!(parse_host(text).is_err(), "{text}");
        }
    }

    #[test]
    fn only_the_requested_addresses_are_used() {
        let endpoints = choose(&request(&["127.0.0.1:5000"], &["192.0.2.7:6000"]), &[], &[]).unwrap();
        assert_eq!(endpoints, [Endpoint { bind: address("127.0.0.1:5000"), announce: address("192.0.2.7:6000") }]);
        let endpoints = choose(&request(&["::1", "127.0.0.1"], &[]), &[], &[]).unwrap();
        assert_eq!(endpoints, [Endpoint::local(address("127.0.0.1")), Endpoint::local(address("::1"))]);
    }

    #[test]
    fn a_directory_on_this_machine_means_loopback() {
        let directory = [address("127.0.0.1:8081")];
        let endpoints = choose(&OwnAddressRequest::default(), &directory, &[address("192.0.2.1:1789")]).unwrap();
        assert!(endpoints.iter().all(|endpoint| endpoint.announce.ip().is_loopback()));
        assert_eq!(endpoints.len() == 2, has_loopback(IpFamily::V6));
    }

    #[test]
    fn two_addresses_of_a_family_are_refused() {
        let error = choose(&request(&["127.0.0.1", "127.0.0.2"], &[]), &[], &[]).unwrap_err();
        assert_eq!(error, OwnAddressError::Twice { option: "--host", family: IpFamily::V4 });
    }

    #[test]
    fn every_local_address_needs_one_to_announce() {
        let endpoints = choose(&request(&["0.0.0.0:5000"], &["192.0.2.7"]), &[], &[]).unwrap();
        assert_eq!(endpoints, [Endpoint { bind: address("0.0.0.0:5000"), announce: address("192.0.2.7") }]);
        let endpoints = choose(&request(&["0.0.0.0:5000"], &[]), &[address("127.0.0.1:1")], &[]).unwrap();
        assert_eq!(endpoints[0].announce, address("127.0.0.1:5000"));
    }
}
