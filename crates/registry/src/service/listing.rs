//! Topology: which entries it lists, with which addresses. Serialised once per change and shared by all responses.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use nym_mixnode_api::signing::Entry;
use nym_mixnode_api::{
    Announced, GatewayRegistration, MixRegistration, RegisteredGateway, RegisteredMix, Release, Topology, Validators,
};
use sha2::{Digest, Sha256};
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep};
use tracing::error;

use super::history::{DAY_HOURS, HOUR};
use super::{Rejection, Service, TEST_ADDRESSES_KEPT};
use crate::reputation::ReputationRules;
use crate::store::{ListedNode, Role, from_json};
use crate::task::output_of;

/// Share of time for building lists while nodes constantly change: at most a tenth of one core.
const PAUSE_FACTOR: u32 = 10;

/// Maximum delay of a response because of this limit. A list that changes once per second is made without delay.
const PAUSE_MAX: Duration = Duration::from_millis(500);

/// How long a list is served without another attempt when the store has failed.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// Cached lists of nodes.
#[derive(Debug, Default)]
pub(super) struct Listings {
    all: Listing,
    active: Listing,
    removed: Listing,
}

/// Selection of entries with a proven address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Selection {
    All,
    /// With the reputation and the uptime of the active set. Entries that expire, as those of probers, are never in it.
    Active,
    /// With the reputation of the active set and too little uptime.
    Removed,
}

/// One list: JSON, and an entity tag that changes with it.
#[derive(Debug, Clone)]
pub(crate) struct Listed {
    pub(crate) json: Bytes,
    pub(crate) tag: String,
    /// Layers of the network without a mix in this list.
    pub(crate) empty_layers: Arc<[u64]>,
}

type Listing = Arc<Mutex<Option<Latest>>>;

#[derive(Debug)]
struct Latest {
    listed: Listed,
    generation: u64,
    /// When the list changes without a write, because an entry expires or an hour of measurements is a day old.
    valid_until: i64,
    begun_at: Instant,
    made_at: Instant,
    took: Duration,
    /// No attempt to replace the list before this time: the store has failed.
    retry_at: Instant,
}

impl Service {
    /// JSON of all nodes.
    pub(crate) async fn all(&self, now: i64) -> Result<Listed, Rejection> {
        self.latest(&self.0.listings.all, Selection::All, now).await
    }

    /// JSON of the active set.
    pub(crate) async fn active(&self, now: i64) -> Result<Listed, Rejection> {
        self.latest(&self.0.listings.active, Selection::Active, now).await
    }

    /// JSON of the nodes that the active set lacks because of their uptime.
    pub(crate) async fn removed(&self, now: i64) -> Result<Listed, Rejection> {
        self.latest(&self.0.listings.removed, Selection::Removed, now).await
    }

    /// Changes when the lists may have changed.
    pub(crate) fn generation(&self) -> u64 {
        self.store().generation()
    }

    /// Selected nodes, oldest registration first.
    pub(crate) async fn topology(&self, selection: Selection, now: i64) -> Result<Topology, Rejection> {
        let mut topology = empty_topology();
        topology.layers = Some(self.0.rules.layers);
        topology.active_reputation = Some(self.0.reputation.active);
        topology.registry_key = Some(self.store().key().public_base58());
        topology.test_addresses = self.test_addresses(now).await?;
        let nodes = self.selected(selection, now).await?;
        list_all(nodes, topology).await
    }

    /// All nodes, and the identities of those in the active set.
    pub(crate) async fn all_and_active(&self, now: i64) -> Result<(Topology, HashSet<String>), Rejection> {
        let membership = self.membership(now).await?;
        let nodes = self.store().listed(0, now).await?;
        let is_active = |node: &&ListedNode| membership.of(node) == Some(Selection::Active);
        let active = nodes.iter().filter(is_active).map(|node| node.identity.clone()).collect();
        Ok((list_all(nodes, Topology::default()).await?, active))
    }

    /// Return addresses of the test packets of this registry and of those that share its database.
    async fn test_addresses(&self, now: i64) -> Result<Vec<String>, Rejection> {
        let mut addresses = self.0.test_addresses.clone();
        if self.store().is_shared() {
            addresses.extend(self.store().test_addresses(now.saturating_sub(TEST_ADDRESSES_KEPT)).await?);
            addresses.sort();
            addresses.dedup();
        }
        Ok(addresses)
    }

    async fn selected(&self, selection: Selection, now: i64) -> sqlx::Result<Vec<ListedNode>> {
        if selection == Selection::All {
            return self.store().listed(0, now).await;
        }
        let membership = self.membership(now).await?;
        let mut nodes = self.store().listed(self.0.reputation.active, now).await?;
        nodes.retain(|node| membership.of(node) == Some(selection));
        Ok(nodes)
    }

    async fn membership(&self, now: i64) -> sqlx::Result<Membership> {
        let uptimes = self.store().uptimes(now / HOUR - DAY_HOURS + 1, now / HOUR).await?;
        Ok(Membership { rules: self.0.reputation, uptimes })
    }

    /// Returns a list that contains all changes until this call, or the latest one while the store fails. Concurrent
    /// callers share one query, also while nodes constantly change. The query continues when its caller leaves: otherwise
    /// callers that leave early could keep all others waiting.
    async fn latest(&self, listing: &Listing, selection: Selection, now: i64) -> Result<Listed, Rejection> {
        let called_at = Instant::now();
        let latest = Arc::clone(listing).lock_owned().await;
        if let Some(latest) = &*latest {
            let is_current = now < latest.valid_until && latest.generation == self.generation();
            // While this caller waited, another one made a list.
            let is_newer = latest.begun_at > called_at;
            if is_current || is_newer || latest.retry_at > Instant::now() {
                return Ok(latest.listed.clone());
            }
        }
        output_of(tokio::spawn(self.clone().remake(latest, selection, now))).await
    }

    async fn remake(
        self,
        mut latest: OwnedMutexGuard<Option<Latest>>,
        selection: Selection,
        now: i64,
    ) -> Result<Listed, Rejection> {
        if let Some(latest) = &*latest {
            let pause = (latest.took * PAUSE_FACTOR).min(PAUSE_MAX);
            sleep(pause.saturating_sub(latest.made_at.elapsed())).await;
        }
        match (self.make(selection, now).await, &mut *latest) {
            (Ok(made), latest) => Ok(latest.insert(made).listed.clone()),
            (Err(error), Some(latest)) => {
                error!(%error, "cannot read the nodes; serving the earlier list");
                latest.retry_at = Instant::now() + RETRY_AFTER;
                Ok(latest.listed.clone())
            }
            (Err(error), None) => Err(error),
        }
    }

    async fn make(&self, selection: Selection, now: i64) -> Result<Latest, Rejection> {
        let begun_at = Instant::now();
        // Read before the query: a change during the query must cause another one.
        let generation = self.generation();
        let topology = self.topology(selection, now).await?;
        let next_hour = (now / HOUR + 1).saturating_mul(HOUR);
        let valid_until = self.store().next_expiry(now).await?.map_or(next_hour, |expiry| expiry.min(next_hour));
        let listed = output_of(spawn_blocking(move || Listed::of(&topology))).await?;
        let made_at = Instant::now();
        Ok(Latest { listed, generation, valid_until, begun_at, made_at, took: begun_at.elapsed(), retry_at: made_at })
    }
}

impl Listed {
    fn of(topology: &Topology) -> sqlx::Result<Self> {
        let json = serde_json::to_vec(topology).map_err(|error| sqlx::Error::Encode(error.into()))?;
        Ok(Self { tag: tag_of(&json), json: json.into(), empty_layers: topology.empty_layers().into() })
    }
}

/// What decides whether nodes are in the active set.
struct Membership {
    rules: ReputationRules,
    /// Measurements of the last day, by identity.
    uptimes: HashMap<String, [(i64, i64); 2]>,
}

impl Membership {
    /// [`Selection::Active`], [`Selection::Removed`], or `None` for a node without the reputation.
    fn of(&self, node: &ListedNode) -> Option<Selection> {
        if node.expires_at.is_some() || node.reputation < self.rules.active {
            return None;
        }
        let is_up = self.uptimes.get(&node.identity).is_none_or(|uptime| self.rules.is_up(*uptime));
        Some(if is_up { Selection::Active } else { Selection::Removed })
    }
}

/// Adds the nodes to a topology. Other requests continue meanwhile: 10 000 nodes take tens of milliseconds.
async fn list_all(nodes: Vec<ListedNode>, mut topology: Topology) -> Result<Topology, Rejection> {
    let add = move || {
        nodes.into_iter().try_for_each(|node| list(node, &mut topology))?;
        Ok(topology)
    };
    output_of(spawn_blocking(add)).await
}

/// A topology without nodes.
fn empty_topology() -> Topology {
    Topology { validators: serde_json::json!(Validators::default()), ..Topology::default() }
}

fn tag_of(json: &[u8]) -> String {
    let digest = Sha256::digest(json);
    format!("\"{}\"", bs58::encode(&digest[..16]).into_string())
}

fn list(node: ListedNode, topology: &mut Topology) -> sqlx::Result<()> {
    let (registration_time, reputation) = (node.registered_at, node.reputation);
    let identity = match node.role {
        Role::Mix => {
            let mut registration: MixRegistration = from_json(&node.registration)?;
            let announced = (registration.mix_host.clone(), registration.mix_hosts.clone());
            keep_proven(&node, &mut registration, announced);
            let identity = registration.identity_key.clone();
            topology.mix_nodes.push(RegisteredMix { registration, registration_time, reputation });
            identity
        }
        Role::Gateway => {
            let mut registration: GatewayRegistration = from_json(&node.registration)?;
            let announced = (registration.mix_host.clone(), registration.mix_hosts.clone());
            keep_proven(&node, &mut registration, announced);
            let identity = registration.identity_key.clone();
            topology.gateways.push(RegisteredGateway { registration, registration_time, reputation });
            identity
        }
    };
    let release = |(counter, signature)| Release { identity_key: identity, counter, signature };
    topology.releases.extend(node.release.map(release));
    Ok(())
}

/// Keeps only the proven addresses. The signed addresses are added to the proof.
fn keep_proven<E: Entry>(node: &ListedNode, entry: &mut E, (mix_host, mix_hosts): (String, Vec<String>)) {
    if !node.is_partly_pending {
        return;
    }
    let is_proven = |host: &&String| host.parse().is_ok_and(|host| node.proven.contains(&canonical(host)));
    let mut hosts: Vec<String> = Vec::new();
    for host in std::iter::once(&mix_host).chain(&mix_hosts).filter(is_proven) {
        if !hosts.contains(host) {
            hosts.push(host.clone());
        }
    }
    let first = hosts.first().cloned().unwrap_or_default();
    entry.set_addresses(Announced { mix_host: first, mix_hosts: if hosts.len() > 1 { hosts } else { Vec::new() } });
    let proof = entry.proof().cloned();
    entry.set_proof(proof.map(|proof| proof.with_announced(Announced { mix_host, mix_hosts })));
}

fn canonical(address: SocketAddr) -> String {
    SocketAddr::new(address.ip().to_canonical(), address.port()).to_string()
}
