//! A registry over HTTP, as a monitor uses it.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;

use nym_mixnode_api::{ACTIVE_REPUTATION, BatchMixStatus, Topology};
use nym_mixnode_directory::{Client, Directory, MonitorToken};
use nym_mixnode_net::Reach;

use crate::check::Target;
use crate::gateways::ListedGateway;
use crate::monitor::Network;
use crate::rounds::{ListedNode, Listing};

/// A registry over HTTP, at which the monitor is registered.
#[derive(Debug)]
pub struct DirectoryNetwork {
    /// Client of the registry.
    pub client: Arc<Client>,
    /// Identity under which the monitor is registered.
    pub identity: String,
    /// File with the registry's token, read before each report; `None` sends none.
    pub token_file: Option<PathBuf>,
    /// Addresses that nodes of this network can have.
    pub reach: Reach,
}

impl Network for DirectoryNetwork {
    fn reach(&self) -> Reach {
        self.reach
    }

    async fn listing(&self) -> Result<Listing, String> {
        let topology = self.client.topology().await.map_err(|error| error.to_string())?;
        let active = self.client.active_topology().await.map_err(|error| error.to_string())?;
        let is_own = |identity: &str| identity == self.identity;
        let has_monitor = topology.gateways.iter().any(|gateway| is_own(&gateway.registration.identity_key));
        Ok(Listing::new(&topology, &active, self.reach, has_monitor).await)
    }

    async fn report(&self, results: BatchMixStatus) -> Result<(), String> {
        let token =
            self.token_file.as_deref().map(MonitorToken::read).transpose().map_err(|error| error.to_string())?;
        let token = token.as_ref().map(MonitorToken::reveal);
        self.client.report_status(&results, token).await.map_err(|error| error.to_string())
    }
}

impl Listing {
    /// Lists the mixes and gateways of a topology; their host names are resolved.
    pub async fn new(topology: &Topology, active: &Topology, reach: Reach, has_monitor: bool) -> Self {
        let active: HashSet<&str> = active.mix_nodes.iter().map(|mix| mix.registration.identity_key.as_str()).collect();
        let mut nodes = Vec::with_capacity(topology.mix_nodes.len());
        for mix in &topology.mix_nodes {
            nodes.push(ListedNode {
                target: Target::resolve(&mix.registration).await.within(reach),
                reputation: mix.reputation,
                is_active: active.contains(mix.registration.identity_key.as_str()),
            });
        }
        Self {
            nodes,
            gateways: topology.gateways.iter().filter_map(ListedGateway::new).collect(),
            layers: topology.layer_count(),
            active_reputation: topology.active_reputation.unwrap_or(ACTIVE_REPUTATION),
            has_monitor,
        }
    }
}
