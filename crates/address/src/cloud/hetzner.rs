//! Hetzner Cloud: plain text for IPv4, and the network configuration of cloud-init for IPv6.

use serde::Deserialize;

use crate::inquiry::{Inquiry, Public, shown};

/// The address part of cloud-init's network configuration, version 1.
#[derive(Deserialize)]
struct NetworkConfig {
    config: Vec<Device>,
}

#[derive(Deserialize)]
struct Device {
    #[serde(default)]
    subnets: Vec<Subnet>,
}

#[derive(Deserialize)]
struct Subnet {
    address: Option<String>,
}

pub(super) async fn look_up(base: &str, inquiry: &mut Inquiry<'_>, public: &mut Public) {
    let url = format!("{base}/hetzner/v1/metadata/public-ipv4");
    public.add(inquiry.get_address("public-ipv4", &url).await);
    let url = format!("{base}/hetzner/v1/metadata/network-config");
    if let Ok(Some(text)) = inquiry.get("network-config", &url, &[]).await {
        match serde_saphyr::from_str::<NetworkConfig>(&text) {
            Ok(network) => {
                let subnets = network.config.into_iter().flat_map(|device| device.subnets);
                let all: Vec<_> = subnets.filter_map(|subnet| subnet.address).filter(|ip| ip.contains(':')).collect();
                public.add(inquiry.first_address("network-config", all.iter().map(String::as_str)));
            }
            Err(_) => inquiry.fail("network-config", &format!("not a network configuration: {}", shown(&text))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Cloud;
    use super::super::stand_in::paths;

    #[tokio::test]
    async fn ipv6_is_in_the_network_configuration() {
        let base = paths(
            None,
            &[
                ("/hetzner/v1/metadata/public-ipv4", "36.68.243.18"),
                (
                    "/hetzner/v1/metadata/network-config",
                    "config:\n- mac_address: 96:00:00:08:19:da\n  name: eth0\n  subnets:\n  - dns_nameservers:\n    \
                     - 213.133.99.99\n    ipv4: true\n    type: dhcp\n  - address: 2a01:4f8:c17:b8f::1/64\n    \
                     gateway: fe80::1\n    ipv6: true\n    type: static\n  type: physical\nversion: 1\n",
                ),
            ],
        )
        .url();
        let mut steps = Vec::new();
        let public = Cloud::Hetzner.look_up(Some(&base), false, &mut steps).await;
        assert!(steps.iter().all(|step| !step.failed), "{steps:?}");
        assert_eq!(public.v4.unwrap().source, "hetzner metadata: public-ipv4");
        let found = public.v6.unwrap();
        assert_eq!(
            (found.ip.to_string().as_str(), found.source.as_str()),
            ("2a01:4f8:c17:b8f::1", "hetzner metadata: network-config")
        );
    }
}
