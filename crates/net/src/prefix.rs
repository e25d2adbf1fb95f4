//! Address groups that connection limits count by.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// The addresses of one subscriber: an IPv4 address or an IPv6 /64.
#[must_use]
pub fn subscriber(ip: IpAddr) -> IpNet {
    group(ip, 32, 64)
}

/// The addresses that one customer of a provider can get at little cost: an IPv4 /24 or an IPv6 /48.
#[must_use]
pub fn network(ip: IpAddr) -> IpNet {
    group(ip, 24, 48)
}

fn group(ip: IpAddr, v4_bits: u8, v6_bits: u8) -> IpNet {
    match ip.to_canonical() {
        IpAddr::V4(ip) => IpNet::V4(Ipv4Net::new_assert(ip, v4_bits).trunc()),
        IpAddr::V6(ip) => IpNet::V6(Ipv6Net::new_assert(ip, v6_bits).trunc()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_grouped_by_their_holders() {
        for (ip, of_subscriber, of_network) in [
            ("192.0.2.7", "192.0.2.7/32", "192.0.2.0/24"),
            ("::ffff:192.0.2.7", "192.0.2.7/32", "192.0.2.0/24"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64", "2001:db8:1::/48"),
            ("::1", "::/64", "::/48"),
        ] {
            let ip = ip.parse().unwrap();
            assert_eq!(subscriber(ip).to_string(), of_subscriber);
            assert_eq!(network(ip).to_string(), of_network);
        }
    }
}
