//! The addresses of this machine's own interfaces.

use std::fs;
use std::net::{IpAddr, Ipv6Addr};

use super::NotPublic;
use super::inquiry::{Found, Public, Step};

/// IPv6 addresses with their flags, on Linux; under `self`, for in a sandbox /proc may have nothing but processes.
const IF_INET6: &str = "/proc/self/net/if_inet6";
/// Flags of the kernel: the link is still being asked whether somebody else has the address.
const TENTATIVE: u32 = 0x40;
/// Temporary (RFC 8981), found to be a duplicate, deprecated, tentative: a peer that is told such an address loses us.
const NOT_TO_BE_TOLD: u32 = 0x01 | 0x08 | 0x20 | TENTATIVE;

/// Whether this machine is about to have the address, and cannot bind it yet.
pub(crate) fn is_tentative(ip: IpAddr) -> bool {
    let IpAddr::V6(ip) = ip else { return false };
    flagged(&fs::read_to_string(IF_INET6).unwrap_or_default(), TENTATIVE).contains(&ip)
}

/// Every address of this machine's interfaces; none when the system does not list them.
pub(crate) fn interface_addresses() -> Vec<IpAddr> {
    let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
    interfaces.into_iter().map(|interface| interface.ip()).collect()
}

/// The addresses that others can reach; in a closed network (`allow_private`) private ones where there is no better.
pub(super) fn look_up(allow_private: bool, steps: &mut Vec<Step>) -> Public {
    const STEP: &str = "local interface";
    let interfaces = match if_addrs::get_if_addrs() {
        Ok(interfaces) => interfaces,
        Err(error) => {
            steps.push(Step { asked: STEP.to_owned(), answer: error.to_string(), failed: true });
            return Public::default();
        }
    };
    let fleeting = flagged(&fs::read_to_string(IF_INET6).unwrap_or_default(), NOT_TO_BE_TOLD);
    let addresses: Vec<(IpAddr, String)> = interfaces
        .into_iter()
        .map(|interface| (interface.ip(), interface.name))
        .filter(|(ip, _)| !matches!(ip, IpAddr::V6(v6) if fleeting.contains(v6)))
        .collect();
    let public = choose(&addresses, allow_private);
    let seen: Vec<_> = addresses.iter().map(|(ip, name)| described(*ip, name)).collect();
    let answer = if seen.is_empty() { "no interface has an address".to_owned() } else { seen.join(", ") };
    steps.push(Step { asked: STEP.to_owned(), answer, failed: false });
    public
}

fn choose(addresses: &[(IpAddr, String)], allow_private: bool) -> Public {
    let found = |(ip, name): &(IpAddr, String)| Some(Found { ip: *ip, source: format!("local interface: {name}") });
    let mut public = Public::default();
    for address in addresses.iter().filter(|(ip, _)| NotPublic::of(*ip).is_none()) {
        public.add(found(address));
    }
    if allow_private {
        let useless = [NotPublic::Loopback, NotPublic::LinkLocal, NotPublic::Unspecified, NotPublic::Multicast];
        for address in
            addresses.iter().filter(|(ip, _)| NotPublic::of(*ip).is_some_and(|kind| !useless.contains(&kind)))
        {
            public.add(found(address));
        }
    }
    public
}

fn described(ip: IpAddr, name: &str) -> String {
    match NotPublic::of(ip) {
        None => format!("{name} has {ip}"),
        Some(kind) => format!("{name} has {ip} ({kind})"),
    }
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

    fn chosen(texts: &[&str], allow_private: bool) -> (Option<String>, Option<String>) {
        let addresses: Vec<_> = texts.iter().map(|text| (text.parse().unwrap(), "eth0".to_owned())).collect();
        let public = choose(&addresses, allow_private);
        (public.v4.map(|found| found.ip.to_string()), public.v6.map(|found| found.ip.to_string()))
    }

    #[test]
    fn public_addresses_come_before_private_ones_and_these_only_on_demand() {
        let all = ["127.0.0.1", "10.0.0.1", "36.68.243.18", "::1", "fe80::1", "fd00::1", "2600::1"];
        let public = (Some("36.68.243.18".to_owned()), Some("2600::1".to_owned()));
        assert_eq!(chosen(&all, false), public);
        assert_eq!(chosen(&all, true), public);
        let private = ["127.0.0.1", "172.20.0.5", "::1", "fe80::1", "fd00::1"];
        assert_eq!(chosen(&private, false), (None, None));
        assert_eq!(chosen(&private, true), (Some("172.20.0.5".to_owned()), Some("fd00::1".to_owned())));
        assert_eq!(chosen(&["127.0.0.1", "::1", "fe80::1"], true), (None, None));
    }

    #[test]
    fn temporary_and_unready_addresses_are_left_out() {
        let table = "00000000000000000000000000000001 01 80 10 80       lo\n\
                     26000000000000000000000000000001 02 40 00 80     eth0\n\
                     26000000000000000000000000000002 02 40 00 01     eth0\n\
                     26000000000000000000000000000003 02 40 00 c0     eth0\n\
                     garbage\n";
        let left_out: Vec<Ipv6Addr> = ["2600::2", "2600::3"].map(|ip| ip.parse().unwrap()).into();
        assert_eq!(flagged(table, NOT_TO_BE_TOLD), left_out);
        assert_eq!(flagged(table, TENTATIVE), left_out[1..]);
    }
}
