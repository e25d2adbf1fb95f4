//! `OpenStack`: the networks of an instance; floating IPv4 addresses only appear in the EC2-compatible part.

use serde_json::Value;

use crate::inquiry::{Inquiry, Public};

pub(super) async fn look_up(base: &str, inquiry: &mut Inquiry<'_>, public: &mut Public) {
    let url = format!("{base}/latest/meta-data/public-ipv4");
    public.add(inquiry.get_address("public-ipv4", &url).await);
    let url = format!("{base}/openstack/latest/network_data.json");
    if let Ok(Some(data)) = inquiry.json("network_data.json", &url, &[]).await {
        for family in ["ipv4", "ipv6"] {
            let what = format!("network_data.json {family}");
            public.add(inquiry.first_address(&what, of_networks(&data, family)));
        }
    }
}

fn of_networks<'j>(data: &'j Value, family: &'static str) -> impl Iterator<Item = &'j str> {
    let networks = data["networks"].as_array().into_iter().flatten();
    let of_family =
        networks.filter(move |network| network["type"].as_str().is_some_and(|kind| kind.starts_with(family)));
    of_family.filter_map(|network| network["ip_address"].as_str())
}

#[cfg(test)]
mod tests {
    use super::super::Cloud;
    use super::super::stand_in::paths;
    use super::*;

    const NETWORKS: (&str, &str) = (
        "/openstack/latest/network_data.json",
        r#"{"links":[],"services":[],"networks":[
            {"id":"network0","type":"ipv4","ip_address":"10.184.0.244","netmask":"255.255.240.0"},
            {"id":"network1","type":"ipv6","ip_address":"2001:4860::7","netmask":"ffff:ffff:ffff:ffff::"}]}"#,
    );

    async fn look_up(data: &'static [(&'static str, &'static str)]) -> Public {
        let mut steps = Vec::new();
        let public = Cloud::OpenStack.look_up(Some(&paths(None, data).url()), false, &mut steps).await;
        assert!(steps.iter().all(|step| !step.failed), "{steps:?}");
        public
    }

    #[tokio::test]
    async fn a_floating_address_comes_from_the_ec2_style_part() {
        let public = look_up(&[NETWORKS, ("/latest/meta-data/public-ipv4", "36.68.243.18")]).await;
        assert_eq!(public.v4.unwrap().source, "openstack metadata: public-ipv4");
        assert_eq!(public.v6.unwrap().source, "openstack metadata: network_data.json ipv6");
    }

    #[tokio::test]
    async fn without_one_the_private_address_is_not_announced() {
        assert_eq!(look_up(&[NETWORKS]).await.v4, None);
    }
}
