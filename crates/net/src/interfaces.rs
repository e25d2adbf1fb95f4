//! Addresses of this machine's interfaces, with the kernel's flags of IPv6.

use std::fs;
use std::net::{IpAddr, Ipv6Addr};

/// IPv6 addresses with their flags. Uses `/proc/self` because a sandbox may hide the rest of /proc.
const IF_INET6: &str = "/proc/self/net/if_inet6";
/// Flag of the kernel: duplicate address detection has not ended.
const TENTATIVE: u32 = 0x40;
/// Temporary (RFC 8981), duplicate, deprecated or tentative: peers would lose a node at such an address.
const UNSTABLE: u32 = 0x01 | 0x08 | 0x20 | TENTATIVE;

/// Whether duplicate address detection still runs for a local address, which cannot be bound yet.
#[must_use]
pub(super) fn is_tentative(ip: IpAddr) -> bool {
    has_flag(ip, TENTATIVE)
}

/// Whether a local address is temporary, duplicate, deprecated or tentative.
#[must_use]
pub fn is_unstable(ip: IpAddr) -> bool {
    has_flag(ip, UNSTABLE)
}

/// Every address of this machine's interfaces; empty when the system does not list them.
#[must_use]
pub fn interface_addresses() -> Vec<IpAddr> {
    let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
    interfaces.into_iter().map(|interface| interface.ip()).collect()
}

fn has_flag(ip: IpAddr, any_of: u32) -> bool {
    let IpAddr::V6(ip) = ip else { return false };
    flagged(&fs::read_to_string(IF_INET6).unwrap_or_default(), any_of).contains(&ip)
}

/// Addresses that have one of these flags.
fn flagged(if_inet6: &str, any_of: u32) -> Vec<Ipv6Addr> {
    let of_line = |line: &str| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let [address, _, _, _, flags, ..] = fields[..] else { return None };
        let address = u128::from_str_radix(address, 16).ok()?;
        let flags = u32::from_str_radix(flags, 16).ok()?;
        (flags & any_of != 0).then(|| Ipv6Addr::from(address))
    };
    if_inet6.lines().filter_map(of_line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn temporary_and_unready_addresses_are_left_out() {
        let table = "00000000000000000000000000000001 01 80 10 80       lo\n\
                     26000000000000000000000000000001 02 40 00 80     eth0\n\
                     26000000000000000000000000000002 02 40 00 01     eth0\n\
                     26000000000000000000000000000003 02 40 00 c0     eth0\n\
                     garbage\n";
        let left_out: Vec<Ipv6Addr> = ["2600::2", "2600::3"].map(|ip| ip.parse().unwrap()).into();
        assert_eq!(flagged(table, UNSTABLE), left_out);
        assert_eq!(flagged(table, TENTATIVE), left_out[1..]);
    }
}
