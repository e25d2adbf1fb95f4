//! Addresses of this machine's own interfaces that can be announced.

use std::net::IpAddr;

use nym_mixnode_net::{NotPublic, is_unstable};

use super::inquiry::{Found, Public, Step};

/// The addresses that others can reach; in a closed network (`allow_private`) also private ones, as a fallback.
pub(super) fn look_up(allow_private: bool, steps: &mut Vec<Step>) -> Public {
    const STEP: &str = "local interface";
    let interfaces = match if_addrs::get_if_addrs() {
        Ok(interfaces) => interfaces,
        Err(error) => {
            steps.push(Step { asked: STEP.to_owned(), answer: error.to_string(), failed: true });
            return Public::default();
        }
    };
    let addresses: Vec<(IpAddr, String)> = interfaces
        .into_iter()
        .map(|interface| (interface.ip(), interface.name))
        .filter(|(ip, _)| !is_unstable(*ip))
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
}
