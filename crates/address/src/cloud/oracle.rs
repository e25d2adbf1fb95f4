//! Oracle Cloud: the virtual network cards of an instance. Their public IPv4 address is often omitted.

use crate::inquiry::{Inquiry, Public};

const HEADER: (&str, &str) = ("Authorization", "Bearer Oracle");

pub(super) async fn look_up(base: &str, inquiry: &mut Inquiry<'_>, public: &mut Public) {
    let url = format!("{base}/opc/v2/vnics/");
    if let Ok(Some(cards)) = inquiry.json("vnics", &url, &[HEADER]).await {
        let cards = || cards.as_array().into_iter().flatten();
        public.add(inquiry.first_address("publicIp", cards().filter_map(|card| card["publicIp"].as_str())));
        let v6 = cards().flat_map(|card| card["ipv6Addresses"].as_array().into_iter().flatten());
        public.add(inquiry.first_address("ipv6Addresses", v6.filter_map(|address| address.as_str())));
    }
}

#[cfg(test)]
mod tests {
    use super::super::Cloud;
    use super::super::stand_in::paths;
    use super::*;

    #[tokio::test]
    async fn addresses_are_found_and_missing_ones_are_not_failures() {
        let base = paths(
            Some(HEADER),
            &[(
                "/opc/v2/vnics/",
                r#"[{"vnicId":"ocid1.vnic","privateIp":"10.0.3.6","vlanTag":11,"macAddr":"00:00:00:00:00:01",
                     "virtualRouterIp":"10.0.3.1","subnetCidrBlock":"10.0.3.0/24",
                     "ipv6Addresses":["2603:c020::6"]}]"#,
            )],
        )
        .url();
        let mut steps = Vec::new();
        let public = Cloud::Oracle.look_up(Some(&base), false, &mut steps).await;
        assert!(steps.iter().all(|step| !step.failed), "{steps:?}");
        assert_eq!(public.v4, None);
        assert_eq!(public.v6.unwrap().source, "oracle metadata: ipv6Addresses");
    }
}
