//! `DigitalOcean` and Vultr: one text per address of the first interface.

use crate::inquiry::{Inquiry, Public};

/// `interface` is the URL of the interface.
pub(super) async fn look_up(interface: &str, inquiry: &mut Inquiry<'_>, public: &mut Public) {
    for family in ["ipv4", "ipv6"] {
        public.add(inquiry.get_address(family, &format!("{interface}/{family}/address")).await);
    }
}

#[cfg(test)]
mod tests {
    use super::super::Cloud;
    use super::super::stand_in::paths;

    #[tokio::test]
    async fn a_droplet_knows_its_addresses() {
        let base = paths(
            None,
            &[
                ("/metadata/v1/interfaces/public/0/ipv4/address", "36.68.243.18"),
                ("/metadata/v1/interfaces/public/0/ipv6/address", "2604:A880:0800:0010:0000:0000:017D:2001"),
            ],
        )
        .url();
        let public = Cloud::DigitalOcean.look_up(Some(&base), false, &mut Vec::new()).await;
        assert_eq!(public.v4.unwrap().source, "digitalocean metadata: ipv4");
        assert_eq!(public.v6.unwrap().ip.to_string(), "2604:a880:800:10::17d:2001");
    }

    #[tokio::test]
    async fn a_vultr_instance_without_ipv6_has_one_address() {
        let base = paths(None, &[("/v1/interfaces/0/ipv4/address", "36.68.243.18")]).url();
        let mut steps = Vec::new();
        let public = Cloud::Vultr.look_up(Some(&base), false, &mut steps).await;
        assert_eq!(public.v4.unwrap().source, "vultr metadata: ipv4");
        assert_eq!(public.v6, None);
        assert!(steps.iter().all(|step| !step.failed), "{steps:?}");
    }
}
