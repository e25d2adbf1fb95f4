//! `DigitalOcean`: the metadata of a droplet.

use std::time::Duration;

use super::Provider;
use crate::inquiry::{Inquiry, Public, RequestRules, Step};

const MANNERS: RequestRules =
    RequestRules { name: "digitalocean metadata", timeout: Duration::from_secs(2), retry_on: &[429, 500, 503] };

pub(super) struct DigitalOcean {
    pub(super) base: String,
}

impl Provider for DigitalOcean {
    async fn look_up(&self, allow_private: bool, steps: &mut Vec<Step>) -> Public {
        let mut public = Public::default();
        let Some(mut inquiry) = Inquiry::plain(MANNERS, allow_private, steps) else { return public };
        for what in ["ipv4", "ipv6"] {
            let url = format!("{}/metadata/v1/interfaces/public/0/{what}/address", self.base);
            if let Ok(Some(text)) = inquiry.get(what, &url, &[]).await {
                public.add(inquiry.address(what, &text));
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
    async fn a_droplet_knows_its_addresses() {
        let base = paths(
            None,
            &[
                ("/metadata/v1/interfaces/public/0/ipv4/address", "36.68.243.18"),
                ("/metadata/v1/interfaces/public/0/ipv6/address", "2604:A880:0800:0010:0000:0000:017D:2001"),
            ],
        )
        .url();
        let mut steps = Vec::new();
        let public = DigitalOcean { base }.look_up(false, &mut steps).await;
        assert_eq!(public.v4.unwrap().source, "digitalocean metadata: ipv4");
        assert_eq!(public.v6.unwrap().ip.to_string(), "2604:a880:800:10::17d:2001");
    }
}
