//! Tests of gateways: once per round a connection to each of their ports, with or without TLS, over which nothing is sent.
//!
//! The addresses come from untrusted callers. They must follow the rules for addresses of the network. The number of
//! connections is limited: one per port and round, and a few ports per address for clients, which no registry proves.

mod clients_host;
mod dials;

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;

use nym_mixnode_api::{MixStatus, RegisteredGateway};
use nym_mixnode_net::Reach;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::family::IpFamily;
use crate::rounds::RoundSettings;

pub use clients_host::addresses_of as addresses_of_clients_host;
use dials::{Dials, Permits};

/// A gateway that the registry lists until it unregisters. Monitors and probers have entries that expire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedGateway {
    identity: String,
    /// Addresses for packets.
    mix_hosts: Vec<SocketAddr>,
    /// URLs for clients: without TLS, and with it.
    clients_hosts: Vec<String>,
}

impl ListedGateway {
    /// A listed gateway, or `None` for a monitor or prober.
    #[must_use]
    pub fn new(listed: &RegisteredGateway) -> Option<Self> {
        let registration = &listed.registration;
        registration.expires_in.is_none().then(|| Self {
            identity: registration.identity_key.clone(),
            mix_hosts: registration.announced_addresses(),
            clients_hosts: [&registration.clients_host]
                .into_iter()
                .chain(registration.clients_tls.as_ref().map(|tls| &tls.url))
                .cloned()
                .collect(),
        })
    }
}

/// What a test may dial.
#[derive(Debug, Clone)]
pub(crate) struct Scope {
    /// IP versions of this machine.
    pub(crate) families: Vec<IpFamily>,
    /// Addresses that nodes of this network can have.
    pub(crate) reach: Reach,
}

impl Scope {
    /// The first permitted address of this family.
    fn first(&self, addresses: &[SocketAddr], family: IpFamily) -> Option<SocketAddr> {
        let has_family = self.families.contains(&family);
        let mut permitted = addresses.iter().filter_map(|address| self.reach.check(*address).ok());
        permitted.find(|address| has_family && IpFamily::of(address.ip()) == family)
    }

    /// The first permitted address of each family.
    fn of_each(&self, addresses: &[SocketAddr]) -> Vec<(IpFamily, SocketAddr)> {
        let of_family = |family| Some((family, self.first(addresses, family)?));
        IpFamily::ALL.into_iter().filter_map(of_family).collect()
    }

    /// The first permitted address of any family.
    fn any(&self, addresses: &[SocketAddr]) -> Option<SocketAddr> {
        self.families.iter().find_map(|family| self.first(addresses, *family))
    }
}

/// Result of a gateway over the IP version of its address for packets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TestedGateway {
    pub(crate) status: MixStatus,
    /// IP version over which its port for clients was dialled; none if its entry names no such port.
    pub(crate) clients_family: Option<IpFamily>,
}

impl TestedGateway {
    /// Whether one of its ports was dialled over this IP version.
    pub(crate) fn is_over(&self, family: IpFamily) -> bool {
        self.status.ip_version == family.ip_version() || self.clients_family == Some(family)
    }
}

/// Tests of gateways in the background, at most one of each gateway at a time.
#[derive(Debug, Default)]
pub(crate) struct GatewayTests {
    tasks: JoinSet<(String, Vec<TestedGateway>)>,
    /// Identities of the gateways under test, with the IP versions of their addresses for packets.
    pending: HashMap<String, Vec<IpFamily>>,
    permits: Permits,
}

impl GatewayTests {
    /// Tests these gateways, spread over half a round. Those whose last test has not ended are left out.
    pub(crate) fn begin(&mut self, gateways: &[ListedGateway], scope: Scope, settings: RoundSettings) {
        let (dials, scope) = (Arc::new(Dials::new(self.permits.clone(), settings.timeout)), Arc::new(scope));
        let count = u32::try_from(gateways.len()).unwrap_or(u32::MAX);
        for (number, gateway) in (0_u32..).zip(gateways) {
            let families = scope.of_each(&gateway.mix_hosts).into_iter().map(|(family, _)| family).collect();
            if self.pending.insert(gateway.identity.clone(), families).is_some() {
                continue;
            }
            let (dials, scope, gateway) = (Arc::clone(&dials), Arc::clone(&scope), gateway.clone());
            let pause = settings.every / 2 * number / count;
            self.tasks.spawn(async move {
                sleep(pause).await;
                let results = test(&gateway, &scope, &dials).await;
                (gateway.identity, results)
            });
        }
    }

    /// Results since the last call.
    pub(crate) fn take(&mut self) -> Vec<TestedGateway> {
        let mut results = Vec::new();
        while let Some(ended) = self.tasks.try_join_next() {
            let Ok((identity, of_gateway)) = ended else { continue };
            self.pending.remove(&identity);
            results.extend(of_gateway);
        }
        results
    }

    /// IP versions over which none of several gateways passed, after [`Self::take`] has returned these results. Tests
    /// that have not ended count as failures.
    pub(crate) fn silent_families(&self, results: &[TestedGateway]) -> Vec<IpFamily> {
        let is_silent = |family: &IpFamily| {
            let over = || results.iter().filter(|tested| tested.is_over(*family));
            let ended: HashSet<&str> = over().map(|tested| tested.status.pub_key.as_str()).collect();
            let pending = self.pending.values().filter(|families| families.contains(family)).count();
            !ended.is_empty() && ended.len() + pending > 1 && !over().any(|tested| tested.status.up)
        };
        IpFamily::ALL.into_iter().filter(is_silent).collect()
    }
}

/// One result per IP version at whose address for packets it can be tested. Over each, all ports must answer.
async fn test(gateway: &ListedGateway, scope: &Scope, dials: &Dials) -> Vec<TestedGateway> {
    let mix_hosts = scope.of_each(&gateway.mix_hosts);
    if mix_hosts.is_empty() {
        return Vec::new();
    }
    let (mut clients_family, mut clients_answer) = (None, true);
    for host in &gateway.clients_hosts {
        let Some((family, answers)) = clients_port_answers(host, scope, dials).await else { return Vec::new() };
        clients_family = clients_family.or(family);
        clients_answer &= answers;
    }
    let mut results = Vec::new();
    for (family, address) in mix_hosts {
        let up = dials.answers(address).await && clients_answer;
        let status = MixStatus { pub_key: gateway.identity.clone(), ip_version: family.ip_version(), up };
        results.push(TestedGateway { status, clients_family });
    }
    results
}

/// Whether the port for clients answers, and the IP version over which it was dialled. `None` if that says nothing about
/// the gateway: the look-up of its name failed, or this monitor cannot dial the address.
async fn clients_port_answers(clients_host: &str, scope: &Scope, dials: &Dials) -> Option<(Option<IpFamily>, bool)> {
    let addresses = dials.resolve(clients_host).await?;
    if addresses.is_empty() {
        return Some((None, false));
    }
    let address = scope.any(&addresses)?;
    let answers = dials.clients_port_answers(address).await?;
    Some((Some(IpFamily::of(address.ip())), answers))
}

#[cfg(test)]
mod tests;
