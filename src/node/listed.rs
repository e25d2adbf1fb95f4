//! The next-hop addresses in the directory's topology, after validation.
//!
//! Anyone can register an entry in a directory. Addresses that no node of this network can have are skipped, and host
//! names are resolved. Nodes without a usable address are reported.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;

use arc_swap::{ArcSwap, ArcSwapOption};
use nym_mixnode_api::{PROTOCOL_VERSION, Topology};
use nym_mixnode_base::optional::if_some;
use nym_mixnode_mix::NextHops;
use nym_mixnode_net::Reach;
use nym_mixnode_telemetry::http::SkippedNode;
use tokio::sync::Notify;
use tokio::time::sleep_until;
use tracing::warn;

use super::host_names::{Address, HostNames};

/// Maximum number of skipped nodes that are listed; all are counted.
const NAMED_MAX: usize = 20;

/// Maximum length of a displayed text from the directory.
const SHOWN_CHARS_MAX: usize = 60;

/// The latest topology and its usable addresses.
#[derive(Debug)]
pub(super) struct ListedNodes {
    reach: Reach,
    names: HostNames,
    latest: ArcSwapOption<Topology>,
    changed: Notify,
    usable: ArcSwap<Usable>,
}

/// Usable and skipped nodes of a topology.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Usable {
    pub(super) mixes: usize,
    pub(super) gateways: usize,
    /// Number of skipped nodes, by reason: one of [`SKIPPED`](nym_mixnode_telemetry::instruments::SKIPPED).
    pub(super) skipped: BTreeMap<&'static str, usize>,
    /// Examples of skipped nodes.
    pub(super) named: Vec<SkippedNode>,
}

impl ListedNodes {
    pub(super) fn new(reach: Reach) -> Self {
        Self {
            reach,
            names: HostNames::default(),
            latest: ArcSwapOption::empty(),
            changed: Notify::new(),
            usable: ArcSwap::default(),
        }
    }

    /// Stores a topology, and returns the addresses of its nodes, without names that are not resolved yet.
    pub(super) fn take(&self, topology: &Topology) -> NextHops {
        self.latest.store(Some(topology.clone().into()));
        self.changed.notify_one();
        self.select(topology)
    }

    /// Usable and skipped nodes of the latest topology.
    pub(super) fn usable(&self) -> arc_swap::Guard<std::sync::Arc<Usable>> {
        self.usable.load()
    }

    /// Resolves the host names of the latest topology periodically while polled, and reports the addresses each time.
    pub(super) async fn follow_names(&self, on_next_hops: impl Fn(NextHops)) -> Infallible {
        loop {
            let again_at = match self.latest.load_full() {
                Some(topology) => {
                    let again_at = self.names.resolve(hosts(&topology)).await;
                    // A newer topology may have arrived in the meantime.
                    if let (Some(_), Some(latest)) = (again_at, self.latest.load_full()) {
                        on_next_hops(self.select(&latest));
                    }
                    again_at
                }
                None => None,
            };
            tokio::select! {
                () = self.changed.notified() => {}
                () = if_some(again_at.map(sleep_until)) => {}
            }
        }
    }

    fn select(&self, topology: &Topology) -> NextHops {
        let mut selection = Selection {
            reach: self.reach,
            names: &self.names,
            next_hops: NextHops::default(),
            usable: Usable::default(),
        };
        for mix in &topology.mix_nodes {
            let mix = &mix.registration;
            let hosts = hosts_of(&mix.mix_host, &mix.mix_hosts);
            selection.usable.mixes += usize::from(selection.take(&mix.identity_key, &mix.version, hosts));
        }
        for gateway in &topology.gateways {
            let gateway = &gateway.registration;
            let hosts = hosts_of(&gateway.mix_host, &gateway.mix_hosts);
            selection.usable.gateways += usize::from(selection.take(&gateway.identity_key, &gateway.version, hosts));
        }
        for address in topology.return_addresses().filter_map(|address| self.reach.check(address).ok()) {
            selection.next_hops.add(address, PROTOCOL_VERSION);
        }
        let Selection { next_hops, usable, .. } = selection;
        if usable.skipped != self.usable.load().skipped {
            usable.warn();
        }
        self.usable.store(usable.into());
        next_hops
    }
}

impl Usable {
    fn warn(&self) {
        let skipped: usize = self.skipped.values().sum();
        if skipped == 0 {
            return;
        }
        let example = self.named.first().map(|node| format!("{}: {}", node.identity, node.reason)).unwrap_or_default();
        warn!(
            skipped,
            usable = self.mixes + self.gateways,
            example,
            "skipping nodes of the directory; /status lists them"
        );
    }
}

struct Selection<'a> {
    reach: Reach,
    names: &'a HostNames,
    next_hops: NextHops,
    usable: Usable,
}

impl Selection<'_> {
    /// Adds the addresses of one node; `false` when it has none.
    fn take<'a>(&mut self, identity: &str, version: &str, hosts: impl Iterator<Item = &'a str>) -> bool {
        let mut problem = None;
        let mut has_any = false;
        for host in hosts {
            match self.addresses_of(host) {
                Ok(addresses) => {
                    has_any = true;
                    for address in addresses {
                        self.next_hops.add(address, version);
                    }
                }
                Err((kind, reason)) => problem = problem.or(Some((kind, format!("{} {reason}", shown(host))))),
            }
        }
        if let (false, Some((kind, reason))) = (has_any, problem) {
            *self.usable.skipped.entry(kind).or_default() += 1;
            if self.usable.named.len() < NAMED_MAX {
                let identity = identity.chars().take(SHOWN_CHARS_MAX).collect();
                self.usable.named.push(SkippedNode { identity, reason });
            }
        }
        has_any
    }

    fn addresses_of(&self, host: &str) -> Result<Vec<SocketAddr>, (&'static str, String)> {
        let candidates = match self.names.lookup(host) {
            Address::Known(addresses) => addresses,
            Address::Pending => return Err(("unresolved", "is not resolved yet".to_owned())),
            Address::Failed(reason) => return Err(("unresolved", reason)),
        };
        let mut usable = Vec::new();
        let mut problem = ("unresolved", "has no address".to_owned());
        for candidate in candidates {
            match self.reach.check(candidate) {
                Ok(address) => usable.push(address),
                Err(reason) => problem = ("address", reason.to_string()),
            }
        }
        if usable.is_empty() { Err(problem) } else { Ok(usable) }
    }
}

fn hosts(topology: &Topology) -> impl Iterator<Item = &str> {
    let mixes = topology.mix_nodes.iter().map(|mix| (&mix.registration.mix_host, &mix.registration.mix_hosts));
    let gateways = topology.gateways.iter().map(|node| (&node.registration.mix_host, &node.registration.mix_hosts));
    mixes.chain(gateways).flat_map(|(first, others)| hosts_of(first, others))
}

fn hosts_of<'a>(first: &'a str, others: &'a [String]) -> impl Iterator<Item = &'a str> {
    std::iter::once(first).chain(others.iter().map(String::as_str))
}

/// Shortens a text from the directory to one line.
fn shown(host: &str) -> String {
    format!("{:?}", host.chars().take(SHOWN_CHARS_MAX).collect::<String>())
}

#[cfg(test)]
mod tests;
