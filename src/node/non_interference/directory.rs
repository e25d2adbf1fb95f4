//! A directory without sockets, which records what it is told.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nym_mixnode_api::{
    CounterReply, GatewayRegistration, IpVersion, MixMetric, MixRegistration, Proof, RegisteredGateway,
    RegistrationReply, Topology, testing,
};
use nym_mixnode_directory::{Directory, DirectoryError, Unregistered};
use tokio::time::Instant;

use super::world::version_of;

/// Posted requests with their times.
pub(super) type Posts = Arc<Mutex<Vec<(Instant, String)>>>;

/// Lists this node and the next hops, and records the posts.
#[derive(Default)]
pub(super) struct Notebook {
    pub(super) posts: Posts,
    next_hops: Vec<SocketAddr>,
    mix: Mutex<Option<MixRegistration>>,
    gateway: Mutex<Option<GatewayRegistration>>,
}

impl Notebook {
    pub(super) fn new(next_hops: Vec<SocketAddr>) -> Self {
        Self { next_hops, ..Self::default() }
    }
}

impl Directory for Notebook {
    fn location(&self) -> &'static str {
        "http://d/"
    }

    async fn counter(&self, _: &str, _: &str) -> Result<Option<CounterReply>, DirectoryError> {
        Ok(None)
    }

    async fn register_mix(
        &self,
        mix: &MixRegistration,
        _: Option<IpVersion>,
    ) -> Result<RegistrationReply, DirectoryError> {
        self.posts.lock().unwrap().push((Instant::now(), format!("{mix:?}")));
        *self.mix.lock().unwrap() = Some(mix.clone());
        Ok(RegistrationReply::default())
    }

    async fn register_gateway(
        &self,
        gateway: &GatewayRegistration,
        _: Option<IpVersion>,
    ) -> Result<RegistrationReply, DirectoryError> {
        self.posts.lock().unwrap().push((Instant::now(), format!("{gateway:?}")));
        *self.gateway.lock().unwrap() = Some(gateway.clone());
        Ok(RegistrationReply::default())
    }

    async fn unregister(&self, _: &str, _: Option<&Proof>) -> Result<Unregistered, DirectoryError> {
        Ok(Unregistered::NotListed)
    }

    async fn topology(&self) -> Result<Topology, DirectoryError> {
        let next_hop = |address: SocketAddr| MixRegistration {
            version: version_of(address).to_owned(),
            layer: 2,
            ..testing::mix(address.to_string(), address.to_string())
        };
        let all = self.next_hops.iter().copied().map(next_hop).chain(self.mix.lock().unwrap().clone());
        let gateways = self.gateway.lock().unwrap().clone();
        let gateways =
            gateways.map(|registration| RegisteredGateway { registration, registration_time: 0, reputation: 0 });
        Ok(Topology {
            mix_nodes: all.map(testing::listed).collect(),
            gateways: gateways.into_iter().collect(),
            ..Topology::default()
        })
    }

    async fn post_metrics(&self, metric: &MixMetric) -> Result<Duration, DirectoryError> {
        self.posts.lock().unwrap().push((Instant::now(), format!("{metric:?}")));
        // The shortest interval.
        Ok(Duration::ZERO)
    }
}
