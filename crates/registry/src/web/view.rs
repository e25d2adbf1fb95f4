//! View data of the pages, from the store.

use std::collections::{HashMap, HashSet};

use nym_mixnode_api::{PendingAddress, RegisteredGateway, RegisteredMix, Topology};
use nym_mixnode_explorer::{
    Admission, Detail, History, Join, Network, Node, Reachable, Role, Rules as ReputationRules, Share, Tests,
};
use nym_mixnode_net::Reach;
use tokio::task::spawn_blocking;

use super::history;
use crate::service::{HISTORY_HOURS_MAX, Rejection, Service};
use crate::store::{RecentTests, TestSlot};
use crate::task::output_of;

const SECOND: i64 = 1_000_000_000;
const HOUR: i64 = 3600 * SECOND;

/// Intervals of a history: half hours of a day.
const SLOTS: usize = 48;
const SLOT: i64 = HOUR / 2;

/// Nanoseconds as whole seconds.
pub(super) fn seconds(nanoseconds: i64) -> i64 {
    nanoseconds / SECOND
}

/// All listed nodes with their tests of the last hour.
pub(super) async fn network(service: &Service, now: i64) -> Result<Network, Rejection> {
    let (topology, active) = service.all_and_active(now).await?;
    let recent = service.recent_tests(now - HOUR).await?;
    // Other requests continue meanwhile.
    let nodes = output_of(spawn_blocking(move || nodes(topology, &active, &recent))).await;
    Ok(Network {
        layers: service.rules().layers,
        rules: reputation_rules(service),
        nodes,
        registry_key: service.registry_key(),
    })
}

fn nodes(topology: Topology, active: &HashSet<String>, recent: &[RecentTests]) -> Vec<Node> {
    let tests: HashMap<(&str, i64), Tests> =
        recent.iter().map(|of| ((of.identity.as_str(), of.ip_version), tests(of))).collect();
    let with_tests = |node: Node| {
        let of = |ip_version| tests.get(&(node.identity.as_str(), ip_version)).copied();
        let (v4, v6, is_active) = (of(4), of(6), active.contains(&node.identity));
        Node { v4, v6, is_active, ..node }
    };
    let mixes = topology.mix_nodes.into_iter().map(mix);
    // Entries of probers and monitors expire.
    let lasting = topology.gateways.into_iter().filter(|gateway| gateway.registration.expires_in.is_none());
    mixes.chain(lasting.map(gateway)).map(with_tests).collect()
}

/// What the page of one node shows in addition.
pub(super) async fn detail(
    service: &Service,
    identity: &str,
    pending: Vec<PendingAddress>,
    now: i64,
) -> Result<Detail, Rejection> {
    let from = now - i64::try_from(SLOTS).unwrap_or_default() * SLOT;
    let slots = service.test_slots(identity, from, SLOT).await?;
    let points = service.node_history(identity, HISTORY_HOURS_MAX, now).await?;
    Ok(Detail {
        pending,
        windows: history::windows(&points, seconds(now)),
        day: day(&slots, from),
        month: history::month(&points, seconds(now)),
        reputation: history::reputation(&points),
    })
}

/// What the commands for joining depend on.
pub(super) fn join(service: &Service, url: Option<String>) -> Join {
    let reachable = match service.rules().reach {
        Reach::Internet => Reachable::Internet,
        Reach::Private => Reachable::Private,
        Reach::Machine => Reachable::Machine,
    };
    let admission = match service.gate().closed_by() {
        (false, false) => Admission::Open,
        (false, true) => Admission::Token,
        (true, false) => Admission::List,
        (true, true) => Admission::TokenOrList,
    };
    Join {
        url,
        reachable,
        admission,
        layers: service.rules().layers,
        rules: reputation_rules(service),
        registry_key: service.registry_key(),
    }
}

fn reputation_rules(service: &Service) -> ReputationRules {
    let rules = service.reputation_rules();
    ReputationRules {
        active_at: rules.active,
        passed: rules.passed,
        failed: -rules.failed,
        uptime_min: rules.uptime_min,
    }
}

/// Defines the conversion of an entry to a node of the pages. Entries of both kinds have the same fields besides the role.
macro_rules! node_of {
    ($convert:ident, $listed:ty, $entry:ident => $role:expr) => {
        fn $convert(listed: $listed) -> Node {
            let $entry = listed.registration;
            Node {
                role: $role,
                addresses: addresses($entry.mix_host, $entry.mix_hosts),
                identity: $entry.identity_key,
                sphinx_key: $entry.sphinx_key,
                version: $entry.version,
                location: $entry.location,
                since: seconds(listed.registration_time),
                reputation: listed.reputation,
                is_active: false,
                v4: None,
                v6: None,
            }
        }
    };
}

node_of!(mix, RegisteredMix, entry => Role::Mix { layer: entry.layer });
node_of!(gateway, RegisteredGateway, entry => Role::Gateway {
    clients_host: entry.clients_host,
    clients_tls: entry.clients_tls.map(|tls| (tls.url, tls.key_hash)),
});

/// All addresses of an entry, in its order.
fn addresses(first: String, all: Vec<String>) -> Vec<String> {
    if all.is_empty() { vec![first] } else { all }
}

fn tests(of: &RecentTests) -> Tests {
    #[expect(clippy::cast_precision_loss, reason = "a mean of times within an hour")]
    let interval = (of.count > 1).then(|| (of.at - of.first_at) as f64 / SECOND as f64 / (of.count - 1) as f64);
    Tests { up: of.up != 0, at: seconds(of.at), interval }
}

fn day(slots: &[TestSlot], from: i64) -> History {
    let (mut v4, mut v6) = (vec![Share::default(); SLOTS], vec![Share::default(); SLOTS]);
    for slot in slots {
        let shares = if slot.ip_version == 4 { &mut v4 } else { &mut v6 };
        // A clock that was set back leaves measurements of the future.
        if let Some(share) = usize::try_from(slot.slot).ok().and_then(|at| shares.get_mut(at)) {
            let count = |count| u64::try_from(count).unwrap_or_default();
            *share = Share { passed: count(slot.passed), total: count(slot.total) };
        }
    }
    History { from: seconds(from), interval: seconds(SLOT), v4, v6 }
}
