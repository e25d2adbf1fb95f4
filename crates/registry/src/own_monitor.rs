//! The registry's own network monitor (`--with-monitor`): it shares the prober of the address check, whose addresses nodes
//! learn from every topology, and uses the service directly.

use nym_mixnode_api::BatchMixStatus;
use nym_mixnode_monitor::Network;
use nym_mixnode_monitor::rounds::Listing;
use nym_mixnode_net::Reach;

use super::majority::Reporter;
use super::now_ns;
use super::service::{Rejection, Selection, Service};

/// The network of this registry.
#[derive(Debug, Clone)]
pub(super) struct OwnNetwork {
    service: Service,
    reach: Reach,
}

impl OwnNetwork {
    pub(super) fn new(service: Service, reach: Reach) -> Self {
        Self { service, reach }
    }
}

impl Network for OwnNetwork {
    fn reach(&self) -> Reach {
        self.reach
    }

    async fn listing(&self) -> Result<Listing, String> {
        let fail = |error: Rejection| error.to_string();
        let topology = self.service.topology(Selection::All, now_ns()).await.map_err(fail)?;
        let active = self.service.topology(Selection::Active, now_ns()).await.map_err(fail)?;
        Ok(Listing::new(&topology, &active, self.reach, true).await)
    }

    async fn report(&self, results: BatchMixStatus) -> Result<(), String> {
        self.service.add_statuses(&Reporter::Own, &results.status, now_ns()).await.map_err(|error| error.to_string())
    }
}
