//! Tests of gateways: once per round a connection to each of their ports, over which nothing is sent.
//!
//! The addresses come from untrusted callers. They must follow the rules for addresses of the network. The number of
//! connections is limited: one per port and round, and a few ports per address for clients, which no registry proves.

mod clients_host;
mod dials;

use std::collections::HashSet;
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
    clients_host: String,
}

impl ListedGateway {
    /// A listed gateway, or `None` for a monitor or prober.
    #[must_use]
    pub fn new(listed: &RegisteredGateway) -> Option<Self> {
        let registration = &listed.registration;
        registration.expires_in.is_none().then(|| Self {
            identity: registration.identity_key.clone(),
            mix_hosts: registration.announced_addresses(),
            clients_host: registration.clients_host.clone(),
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

    /// The first permitted address of any family.
    fn any(&self, addresses: &[SocketAddr]) -> Option<SocketAddr> {
        self.families.iter().find_map(|family| self.first(addresses, *family))
    }
}

/// Tests of gateways in the background, at most one of each gateway at a time.
#[derive(Debug, Default)]
pub(crate) struct GatewayTests {
    tasks: JoinSet<(String, Vec<MixStatus>)>,
    /// Identities of the gateways under test.
    pending: HashSet<String>,
    permits: Permits,
}

impl GatewayTests {
    /// Tests these gateways, spread over half a round. Those whose last test has not ended are left out.
    pub(crate) fn begin(&mut self, gateways: &[ListedGateway], scope: Scope, settings: RoundSettings) {
        let (dials, scope) = (Arc::new(Dials::new(self.permits.clone(), settings.timeout)), Arc::new(scope));
        let count = u32::try_from(gateways.len()).unwrap_or(u32::MAX);
        for (number, gateway) in (0_u32..).zip(gateways) {
            if !self.pending.insert(gateway.identity.clone()) {
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
    pub(crate) fn take(&mut self) -> Vec<MixStatus> {
        let mut results = Vec::new();
        while let Some(ended) = self.tasks.try_join_next() {
            let Ok((identity, of_gateway)) = ended else { continue };
            self.pending.remove(&identity);
            results.extend(of_gateway);
        }
        results
    }
}

/// One result per IP version at whose address for packets it can be tested. Over each, both ports must answer.
async fn test(gateway: &ListedGateway, scope: &Scope, dials: &Dials) -> Vec<MixStatus> {
    let of_family = |family| Some((family, scope.first(&gateway.mix_hosts, family)?));
    let mix_hosts: Vec<(IpFamily, SocketAddr)> = IpFamily::ALL.into_iter().filter_map(of_family).collect();
    if mix_hosts.is_empty() {
        return Vec::new();
    }
    let for_clients = dials.resolve(&gateway.clients_host).await;
    let clients_answer = match scope.any(&for_clients) {
        None if for_clients.is_empty() => false,
        // An address that this monitor cannot dial says nothing about the gateway.
        None => return Vec::new(),
        Some(address) => match dials.clients_port_answers(address).await {
            Some(answers) => answers,
            None => return Vec::new(),
        },
    };
    let mut results = Vec::new();
    for (family, address) in mix_hosts {
        let up = dials.answers(address).await && clients_answer;
        results.push(MixStatus { pub_key: gateway.identity.clone(), ip_version: family.ip_version(), up });
    }
    results
}

#[cfg(test)]
mod tests;
