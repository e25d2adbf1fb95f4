//! Vultr: the metadata of an instance.

use std::time::Duration;

use super::Provider;
use crate::inquiry::{Inquiry, Public, RequestRules, Step};

const MANNERS: RequestRules =
    RequestRules { name: "vultr metadata", timeout: Duration::from_secs(10), retry_on: &[429, 500, 503] };

pub(super) struct Vultr {
    pub(super) base: String,
}

impl Provider for Vultr {
    async fn look_up(&self, allow_private: bool, steps: &mut Vec<Step>) -> Public {
        let mut public = Public::default();
        let Some(mut inquiry) = Inquiry::plain(MANNERS, allow_private, steps) else { return public };
        for what in ["ipv4", "ipv6"] {
            let url = format!("{}/v1/interfaces/0/{what}/address", self.base);
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
    async fn an_instance_without_ipv6_has_one_address() {
        let base = paths(None, &[("/v1/interfaces/0/ipv4/address", "36.68.243.18")]).url();
        let mut steps = Vec::new();
        let public = Vultr { base }.look_up(false, &mut steps).await;
        assert_eq!(public.v4.unwrap().source, "vultr metadata: ipv4");
        assert_eq!(public.v6, None);
        assert!(steps.iter().all(|step| !step.failed), "{steps:?}");
    }
}
