//! Hetzner Cloud: plain text for IPv4, and the network configuration of cloud-init for IPv6.

use std::time::Duration;

use serde::Deserialize;

use super::Provider;
use crate::inquiry::{Inquiry, Public, RequestRules, Step, shown};

const MANNERS: RequestRules =
    RequestRules { name: "hetzner metadata", timeout: Duration::from_secs(2), retry_on: &[429, 500, 503] };

pub(super) struct Hetzner {
    pub(super) base: String,
}

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

impl Provider for Hetzner {
    async fn look_up(&self, allow_private: bool, steps: &mut Vec<Step>) -> Public {
        let mut public = Public::default();
        let Some(mut inquiry) = Inquiry::plain(MANNERS, allow_private, steps) else { return public };
        let url = format!("{}/hetzner/v1/metadata/public-ipv4", self.base);
        if let Ok(Some(text)) = inquiry.get("public-ipv4", &url, &[]).await {
            public.add(inquiry.address("public-ipv4", &text));
        }
        let url = format!("{}/hetzner/v1/metadata/network-config", self.base);
        if let Ok(Some(text)) = inquiry.get("network-config", &url, &[]).await {
            match serde_saphyr::from_str::<NetworkConfig>(&text) {
                Ok(network) => {
                    let subnets = network.config.into_iter().flat_map(|device| device.subnets);
                    let all: Vec<_> =
                        subnets.filter_map(|subnet| subnet.address).filter(|ip| ip.contains(':')).collect();
                    public.add(inquiry.first_address("network-config", all.iter().map(String::as_str)));
                }
                Err(_) => inquiry.fail("network-config", &format!("not a network configuration: {}", shown(&text))),
            }
        }
        public
    }
}

#[cfg(test)]
mod tests {
    use super::super::stand_in::paths;
    use super::*;

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
        let public = Hetzner { base }.look_up(false, &mut steps).await;
        assert!(steps.iter().all(|step| !step.failed), "{steps:?}");
        assert_eq!(public.v4.unwrap().source, "hetzner metadata: public-ipv4");
        let found = public.v6.unwrap();
        assert_eq!(
            (found.ip.to_string().as_str(), found.source.as_str()),
            ("2a01:4f8:c17:b8f::1", "hetzner metadata: network-config")
        );
    }
}
