//! What a heartbeat keeps registered: a mix or a gateway.

use std::fmt;
use std::net::SocketAddr;

use nym_mixnode_api::signing::{self, Entry, RegistryKey};
use nym_mixnode_api::{GatewayRegistration, IpVersion, MixRegistration, RegistrationReply, Topology};

use super::{Directory, DirectoryError};

/// A registration, and what of it a directory lists.
pub trait Announcement: Entry + PartialEq + fmt::Debug + Send + Sync {
    /// Whether the directory collects the packet counts of such nodes.
    const HAS_METRICS: bool;

    /// The first announced address.
    fn host(&self) -> &str;

    /// All announced addresses.
    fn addresses(&self) -> Vec<SocketAddr>;

    /// Registers with a directory. Over an IP version, the source address proves the announced one.
    fn register(
        &self,
        directory: &impl Directory,
        over: Option<IpVersion>,
    ) -> impl Future<Output = Result<RegistrationReply, DirectoryError>> + Send;

    /// The listed entry of an identity in this role.
    fn listed<'a>(topology: &'a Topology, identity: &str) -> Option<&'a Self>;

    /// Host and signed counter of an identity in the other role.
    fn in_other_role(topology: &Topology, identity: &str, registry: &RegistryKey) -> Option<(String, Option<u64>)>;

    /// Name of the first field in which a listed entry differs from ours.
    fn difference(listed: &Self, ours: &Self) -> Option<&'static str>;

    /// As [`difference`](Self::difference), for a directory that keeps one address per node and changes texts.
    fn unsigned_difference(listed: &Self, ours: &Self) -> Option<&'static str>;
}

impl Announcement for MixRegistration {
    const HAS_METRICS: bool = true;

    fn host(&self) -> &str {
        &self.mix_host
    }

    fn addresses(&self) -> Vec<SocketAddr> {
        self.announced_addresses()
    }

    async fn register(
        &self,
        directory: &impl Directory,
        over: Option<IpVersion>,
    ) -> Result<RegistrationReply, DirectoryError> {
        directory.register_mix(self, over).await
    }

    fn listed<'a>(topology: &'a Topology, identity: &str) -> Option<&'a Self> {
        topology.mix(identity).map(|mix| &mix.registration)
    }

    fn in_other_role(topology: &Topology, identity: &str, registry: &RegistryKey) -> Option<(String, Option<u64>)> {
        let gateway = GatewayRegistration::listed(topology, identity)?;
        Some((gateway.mix_host.clone(), signing::signed_counter(gateway, registry)))
    }

    fn difference(listed: &Self, ours: &Self) -> Option<&'static str> {
        first_of([
            ("mixHost", listed.mix_host != ours.mix_host),
            ("mixHosts", listed.mix_hosts != ours.mix_hosts),
            ("sphinxKey", listed.sphinx_key != ours.sphinx_key),
            ("version", listed.version != ours.version),
            ("location", listed.location != ours.location),
            ("incentivesAddress", listed.incentives_address != ours.incentives_address),
            ("layer", listed.layer != ours.layer),
        ])
    }

    fn unsigned_difference(listed: &Self, ours: &Self) -> Option<&'static str> {
        first_of([("sphinxKey", listed.sphinx_key != ours.sphinx_key), ("layer", listed.layer != ours.layer)])
    }
}

impl Announcement for GatewayRegistration {
    const HAS_METRICS: bool = false;

    fn host(&self) -> &str {
        &self.mix_host
    }

    fn addresses(&self) -> Vec<SocketAddr> {
        self.announced_addresses()
    }

    async fn register(
        &self,
        directory: &impl Directory,
        over: Option<IpVersion>,
    ) -> Result<RegistrationReply, DirectoryError> {
        directory.register_gateway(self, over).await
    }

    fn listed<'a>(topology: &'a Topology, identity: &str) -> Option<&'a Self> {
        topology.gateways.iter().map(|gateway| &gateway.registration).find(|gateway| gateway.identity_key == identity)
    }

    fn in_other_role(topology: &Topology, identity: &str, registry: &RegistryKey) -> Option<(String, Option<u64>)> {
        let mix = MixRegistration::listed(topology, identity)?;
        Some((mix.mix_host.clone(), signing::signed_counter(mix, registry)))
    }

    fn difference(listed: &Self, ours: &Self) -> Option<&'static str> {
        first_of([
            ("mixHost", listed.mix_host != ours.mix_host),
            ("mixHosts", listed.mix_hosts != ours.mix_hosts),
            ("clientsHost", listed.clients_host != ours.clients_host),
            ("sphinxKey", listed.sphinx_key != ours.sphinx_key),
            ("version", listed.version != ours.version),
            ("location", listed.location != ours.location),
            ("incentivesAddress", listed.incentives_address != ours.incentives_address),
            ("expiresIn", listed.expires_in != ours.expires_in),
            ("clientsTls", listed.clients_tls != ours.clients_tls),
        ])
    }

    fn unsigned_difference(listed: &Self, ours: &Self) -> Option<&'static str> {
        first_of([
            ("sphinxKey", listed.sphinx_key != ours.sphinx_key),
            ("clientsHost", listed.clients_host != ours.clients_host),
        ])
    }
}

fn first_of<const N: usize>(fields: [(&'static str, bool); N]) -> Option<&'static str> {
    fields.into_iter().find(|(_, differs)| *differs).map(|(field, _)| field)
}
