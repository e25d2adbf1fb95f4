//! The prober's own addresses, one for each family: as told, else loopback for a directory on this machine, else the
//! source address that the system would use towards the network under test.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};

use thiserror::Error;

use super::family::IpFamily;
use super::prober::Endpoint;

/// What the user said about the prober's addresses; port 0 stands for "any".
#[derive(Debug, Clone, Default)]
pub struct OwnAddressRequest {
    /// Local addresses to listen on, at most one of each family; empty: find out.
    pub hosts: Vec<SocketAddr>,
    /// Addresses at which the nodes reach those, at most one of each family.
    pub announce_hosts: Vec<SocketAddr>,
}

/// Addresses that make no sense, or none at all.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum OwnAddressError {
    /// Several addresses of one family.
    #[error("{option} was given two {family} addresses; give one of each family at the most")]
    Twice {
        /// The option.
        option: &'static str,
        /// The family.
        family: IpFamily,
    },
    /// Listening on every local address, and no way to tell which of them the nodes reach.
    #[error("--host {0} stands for every local address: say with --announce-host which one the nodes reach")]
    AnnounceUnknown(IpAddr),
    /// Neither family works on this machine.
    #[error("this machine has neither an IPv4 nor an IPv6 address towards the network; give one with --host")]
    NoAddress,
}

/// An address with or without a port: `192.0.2.1`, `192.0.2.1:1789`, `2001:db8::1`, `[2001:db8::1]`,
/// `[2001:db8::1]:1789`. Without one the port is 0.
///
/// # Errors
/// With words for the user when the text is none of these.
pub fn parse_host(text: &str) -> Result<SocketAddr, String> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    bare.parse::<IpAddr>()
        .map(|ip| SocketAddr::new(ip, 0))
        .or_else(|_| text.parse())
        .map_err(|_| format!("'{text}' is no IP address, like 192.0.2.1, 192.0.2.1:1789 or [2001:db8::1]:1789"))
}

/// Decides where the prober listens and what it announces. `towards` are addresses of directory and nodes.
///
/// A family without an endpoint in the answer cannot be tested from here.
///
/// # Errors
/// When the request contradicts itself, or no family is left.
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
            // Whoever names one family's address wants no others.
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

/// The local address that packets to `target` would carry. Connecting a UDP socket asks the routing table and sends
/// nothing.
fn source_towards(target: SocketAddr) -> Option<IpAddr> {
    let socket = UdpSocket::bind((IpFamily::of(target.ip()).unspecified(), 0)).ok()?;
    socket.connect(target).ok()?;
    socket.local_addr().ok().map(|address| address.ip()).filter(|ip| !ip.is_unspecified())
}

/// An address (of the ranges for documentation) that only a default route leads to.
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
    fn what_was_asked_for_is_taken_and_nothing_else() {
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
