//! Classification of IP addresses: globally routable, or the kind of special-purpose address.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether packets to `ip` leave this network: neither loopback, private, link-local, shared (CGNAT), documentation,
/// benchmarking, multicast, reserved, nor an embedding of such an IPv4 address in an IPv6 one.
///
/// Source: the IANA special-purpose address registries for IPv4 and IPv6.
#[must_use]
pub fn is_globally_routable(ip: IpAddr) -> bool {
    NotPublic::of(ip).is_none()
}

/// Kinds of addresses that are not globally routable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotPublic {
    /// `0.0.0.0` and `::`.
    Unspecified,
    /// The machine itself.
    Loopback,
    /// One cable or one virtual switch.
    LinkLocal,
    /// RFC 1918.
    Private,
    /// RFC 6598, behind a provider's address translation.
    Shared,
    /// The private addresses of IPv6.
    UniqueLocal,
    /// Made for examples.
    Documentation,
    /// Made for measurements between two machines.
    Benchmarking,
    /// Many machines at once.
    Multicast,
    /// Reserved for another purpose.
    Reserved,
}

impl NotPublic {
    /// The kind of `ip`; `None` when it is globally routable.
    #[must_use]
    pub fn of(ip: IpAddr) -> Option<Self> {
        match ip.to_canonical() {
            IpAddr::V4(ip) => Self::of_v4(ip),
            IpAddr::V6(ip) => Self::of_v6(ip),
        }
    }

    fn of_v4(ip: Ipv4Addr) -> Option<Self> {
        Some(match ip.octets() {
            [0, 0, 0, 0] => Self::Unspecified,
            [127, ..] => Self::Loopback,
            // Also the clouds' metadata.
            [169, 254, ..] => Self::LinkLocal,
            [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => Self::Private,
            [100, 64..=127, ..] => Self::Shared,
            [192, 0, 2, _] | [198, 51, 100, _] | [203, 0, 113, _] => Self::Documentation,
            [198, 18 | 19, ..] => Self::Benchmarking,
            [224..=239, ..] => Self::Multicast,
            // This network, protocol assignments, 6to4 relays; reserved and broadcast.
            [0, ..] | [192, 0, 0, _] | [192, 88, 99, _] | [240..=255, ..] => Self::Reserved,
            _ => return None,
        })
    }

    fn of_v6(ip: Ipv6Addr) -> Option<Self> {
        Some(match ip.segments() {
            [0, 0, 0, 0, 0, 0, 0, 0] => Self::Unspecified,
            [0, 0, 0, 0, 0, 0, 0, 1] => Self::Loopback,
            [0xfe80..=0xfebf, ..] => Self::LinkLocal,
            [0xfc00..=0xfdff, ..] => Self::UniqueLocal,
            [0xff00..=0xffff, ..] => Self::Multicast,
            [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => Self::Documentation,
            // NAT64 and 6to4 carry an IPv4 address that decides.
            [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => {
                return Self::of_v4(join(high, low)).map(|_| Self::Reserved);
            }
            // Teredo, ORCHID, benchmarking and other protocol assignments.
            [0x2001, 0..=0x1ff, ..] => Self::Reserved,
            // Global unicast is 2000::/3; everything else is special or unassigned.
            [0x2000..=0x3fff, ..] => return None,
            _ => Self::Reserved,
        })
    }

    /// Whether no machine is reachable at such an address in any network.
    #[must_use]
    pub fn is_nowhere(self) -> bool {
        matches!(self, Self::Unspecified | Self::Multicast)
    }
}

fn join(high: u16, low: u16) -> Ipv4Addr {
    let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
    Ipv4Addr::new(a, b, c, d)
}

impl fmt::Display for NotPublic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unspecified => "every address of this machine",
            Self::Loopback => "a loopback address",
            Self::LinkLocal => "a link-local address",
            Self::Private => "a private address",
            Self::Shared => "an address behind a provider's address translation (CGNAT)",
            Self::UniqueLocal => "a private address (unique local)",
            Self::Documentation => "an address for documentation",
            Self::Benchmarking => "an address for benchmarks",
            Self::Multicast => "a multicast address",
            Self::Reserved => "a reserved address",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_addresses_are_not_globally_routable() {
        let special = [
            "0.0.0.0",
            "10.126.5.7",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.7",
            "203.0.113.9",
            "224.0.0.1",
            "239.1.1.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:10.0.0.1",
            "::ffff:127.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:2::1",
            "2001:db8::1",
            "2002:7f00:1::1",
            "2002:c0a8:1::",
            "3fff::1",
            "5f00::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ];
        for ip in special {
            assert!(!is_globally_routable(ip.parse().unwrap()), "{ip}");
        }
    }

    #[test]
    fn ordinary_addresses_are_globally_routable() {
        let ordinary = [
            "1.1.1.1",
            "36.68.243.18",
            "100.63.255.255",
            "100.128.0.1",
            "167.70.75.75",
            "172.15.0.1",
            "172.32.0.1",
            "192.0.1.1",
            "198.17.0.1",
            "223.255.255.1",
            "2a00:1450::1",
            "2600::1",
            "2001:4860:4860::8888",
            "64:ff9b::101:101",
            "2002:101:101::1",
        ];
        for ip in ordinary {
            assert!(is_globally_routable(ip.parse().unwrap()), "{ip}");
        }
    }

    #[test]
    fn each_special_address_is_named_for_what_it_is() {
        for (ip, kind) in [
            ("0.0.0.0", NotPublic::Unspecified),
            ("::", NotPublic::Unspecified),
            ("127.0.0.1", NotPublic::Loopback),
            ("::1", NotPublic::Loopback),
            ("169.254.169.254", NotPublic::LinkLocal),
            ("fe80::1", NotPublic::LinkLocal),
            ("10.126.5.7", NotPublic::Private),
            ("::ffff:10.0.0.1", NotPublic::Private),
            ("100.64.0.1", NotPublic::Shared),
            ("fd00:ec2::254", NotPublic::UniqueLocal),
            ("192.0.2.1", NotPublic::Documentation),
            ("2001:db8::1", NotPublic::Documentation),
            ("198.18.0.1", NotPublic::Benchmarking),
            ("224.0.0.1", NotPublic::Multicast),
            ("ff02::1", NotPublic::Multicast),
            ("240.0.0.1", NotPublic::Reserved),
            ("2002:c0a8:1::", NotPublic::Reserved),
        ] {
            assert_eq!(NotPublic::of(ip.parse().unwrap()), Some(kind), "{ip}");
        }
        assert_eq!(NotPublic::of("36.68.243.18".parse().unwrap()), None);
    }
}
