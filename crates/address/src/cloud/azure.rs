//! Microsoft Azure: the instance metadata service, and the load balancer metadata for public addresses of the Standard
//! SKU, which the former omits.

use serde_json::Value;

use crate::inquiry::{Inquiry, Public};

const HEADER: (&str, &str) = ("Metadata", "true");

pub(super) async fn look_up(base: &str, inquiry: &mut Inquiry<'_>, public: &mut Public) {
    let url = format!("{base}/metadata/instance/network?api-version=2021-02-01");
    if let Ok(Some(network)) = inquiry.json("instance/network", &url, &[HEADER]).await {
        public.add(inquiry.first_address("publicIpAddress", of_interfaces(&network, "ipv4", "publicIpAddress")));
        // A public IPv6 address is assigned to the machine itself, despite the name of the key.
        public.add(inquiry.first_address("ipv6", of_interfaces(&network, "ipv6", "privateIpAddress")));
    }
    if !public.is_complete() {
        let url = format!("{base}/metadata/loadbalancer?api-version=2020-10-01");
        if let Ok(Some(balancer)) = inquiry.json("loadbalancer", &url, &[HEADER]).await {
            let (v4, v6): (Vec<_>, Vec<_>) = frontends(&balancer).partition(|ip| !ip.contains(':'));
            public.add(inquiry.first_address("loadbalancer frontendIpAddress", v4));
            public.add(inquiry.first_address("loadbalancer frontendIpAddress", v6));
        }
    }
}

fn of_interfaces<'j>(network: &'j Value, family: &'static str, key: &'static str) -> impl Iterator<Item = &'j str> {
    let interfaces = network["interface"].as_array().into_iter().flatten();
    let addresses =
        interfaces.flat_map(move |interface| interface[family]["ipAddress"].as_array().into_iter().flatten());
    addresses.filter_map(move |address| address[key].as_str())
}

fn frontends(balancer: &Value) -> impl Iterator<Item = &str> {
    let addresses = balancer["loadbalancer"]["publicIpAddresses"].as_array().into_iter().flatten();
    addresses.filter_map(|address| address["frontendIpAddress"].as_str())
}

#[cfg(test)]
mod tests {
    use super::super::Cloud;
    use super::super::stand_in::paths;
    use super::*;
    use crate::inquiry::Step;

    const NETWORK: &str = "/metadata/instance/network?api-version=2021-02-01";
    const BALANCER: &str = "/metadata/loadbalancer?api-version=2020-10-01";

    async fn look_up(data: &'static [(&'static str, &'static str)]) -> (Public, Vec<Step>) {
        let mut steps = Vec::new();
        let base = paths(Some(HEADER), data).url();
        let public = Cloud::Azure.look_up(Some(&base), false, &mut steps).await;
        (public, steps)
    }

    #[tokio::test]
    async fn a_basic_address_is_the_instances() {
        let (public, steps) = look_up(&[(
            NETWORK,
            r#"{"interface":[{"ipv4":{"ipAddress":[{"privateIpAddress":"10.0.0.4","publicIpAddress":"36.68.243.18"}],
                "subnet":[{"address":"10.0.0.0","prefix":"24"}]},
                "ipv6":{"ipAddress":[{"privateIpAddress":"2603:1020::4"}]},"macAddress":"000D3AF806EC"}]}"#,
        )])
        .await;
        assert_eq!(public.v4.expect("an IPv4 address").ip.to_string(), "36.68.243.18", "{steps:?}");
        assert_eq!(public.v6.expect("an IPv6 address").ip.to_string(), "2603:1020::4", "{steps:?}");
    }

    #[tokio::test]
    async fn a_standard_address_is_the_load_balancers() {
        let (public, steps) = look_up(&[
            (
                NETWORK,
                r#"{"interface":[{"ipv4":{"ipAddress":[{"privateIpAddress":"10.0.0.4","publicIpAddress":""}]},
                    "ipv6":{"ipAddress":[]}}]}"#,
            ),
            (
                BALANCER,
                r#"{"loadbalancer":{"publicIpAddresses":[
                    {"frontendIpAddress":"36.68.243.18","privateIpAddress":"10.0.0.4"},
                    {"frontendIpAddress":"[2603:1020::7]","privateIpAddress":"[fd00::4]"}],
                    "inboundRules":[],"outboundRules":[]}}"#,
            ),
        ])
        .await;
        let found = public.v4.expect("an IPv4 address");
        assert_eq!(found.source, "azure metadata: loadbalancer frontendIpAddress", "{steps:?}");
        assert_eq!(public.v6.expect("an IPv6 address").ip.to_string(), "2603:1020::7", "{steps:?}");
    }
}
