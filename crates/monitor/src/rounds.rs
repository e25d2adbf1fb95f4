//! Rounds of the network monitor. In each round, every node is tested once over each IP version that it announces, on a
//! route of this node alone, so that a lost packet has one possible cause. Random routes over all layers show whether
//! the network as a whole mixes. No I/O; the time is a parameter.

mod plan;
mod progress;
mod summary;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use nym_mixnode_api::{BatchMixStatus, MixStatus};
use nym_mixnode_sphinx::Hop;
use tokio::time::Instant;

use crate::check::Target;
use crate::family::IpFamily;
use crate::gateways::ListedGateway;
use crate::report::Counts;

use self::plan::Plan;

pub use self::progress::{NodeProgress, ReputationTrend};
pub use self::summary::{FamilySummary, Summary};

/// Timing of the rounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RoundSettings {
    /// Interval between the starts of two rounds.
    pub every: Duration,
    /// A packet later than this, beyond its delays, is lost.
    pub timeout: Duration,
    /// How long nodes may need to learn of the monitor. Until then, losses do not count.
    pub settle: Duration,
    /// Whether random routes are tested as well.
    pub routes: bool,
}

impl RoundSettings {
    /// Rounds at this interval. A node that stops is down at the end of the second round that begins afterwards, at the
    /// latest: both of its packets are lost by then.
    #[must_use]
    pub fn every(every: Duration) -> Self {
        const TIMEOUT_MAX: Duration = Duration::from_secs(5);
        const SETTLE: Duration = Duration::from_secs(35);
        Self { every, timeout: (every / 2).min(TIMEOUT_MAX), settle: SETTLE, routes: true }
    }
}

/// What the registry lists at the start of a round.
#[derive(Debug, Clone, Default)]
pub struct Listing {
    /// All mixes.
    pub nodes: Vec<ListedNode>,
    /// Gateways to test, without monitors and probers.
    pub gateways: Vec<ListedGateway>,
    /// Layers of the network.
    pub layers: u64,
    /// Minimum reputation of the active set.
    pub active_reputation: i64,
    /// Whether nodes that read the registry's list forward to this monitor.
    pub has_monitor: bool,
}

/// A listed mix.
#[derive(Debug, Clone)]
pub struct ListedNode {
    /// The node, with its addresses resolved.
    pub target: Target,
    /// Its reputation.
    pub reputation: i64,
    /// Whether it is in the active set.
    pub is_active: bool,
}

/// Packet to send.
#[derive(Debug, Clone)]
pub struct Test {
    /// Nodes on its way, in order.
    pub mixes: Vec<Hop>,
    /// IP version of the whole route.
    pub family: IpFamily,
    /// What it tests.
    pub label: Label,
}

/// What a packet tests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Label {
    /// One node.
    Node {
        /// Its identity.
        identity: Arc<str>,
        /// IP version of the route.
        family: IpFamily,
        /// Whether the first packet was lost.
        is_retry: bool,
    },
    /// One node of each layer.
    Route {
        /// IP version of the route.
        family: IpFamily,
    },
}

/// A node over one IP version.
type LaneKey = (Arc<str>, IpFamily);

#[derive(Debug)]
struct Lane {
    hop: Hop,
    /// Whether a packet is on its way.
    is_pending: bool,
    /// Whether a packet has returned since the monitor is listed.
    has_passed: bool,
    /// Whether the last verdict was a failure.
    is_down: bool,
}

/// State of the rounds.
#[derive(Debug)]
pub struct Rounds {
    settings: RoundSettings,
    /// IP versions over which packets can return.
    families: Vec<IpFamily>,
    listing: Arc<Listing>,
    started: Option<Instant>,
    listed_since: Option<Instant>,
    /// When the network was first seen with nodes.
    nodes_since: Option<Instant>,
    lanes: HashMap<LaneKey, Lane>,
    plan: Plan,
    verdicts: HashMap<LaneKey, bool>,
    routes: Counts,
    last_return: HashMap<IpFamily, Instant>,
    trend: ReputationTrend,
}

impl Rounds {
    /// Rounds of a monitor with addresses of these families.
    #[must_use]
    pub fn new(settings: RoundSettings, families: Vec<IpFamily>) -> Self {
        Self {
            settings,
            families,
            listing: Arc::default(),
            started: None,
            listed_since: None,
            nodes_since: None,
            lanes: HashMap::new(),
            plan: Plan::default(),
            verdicts: HashMap::new(),
            routes: Counts::default(),
            last_return: HashMap::new(),
            trend: ReputationTrend::default(),
        }
    }

    /// Gateways to test in this round.
    #[must_use]
    pub fn gateways(&self) -> &[ListedGateway] {
        &self.listing.gateways
    }

    /// IP versions over which packets can return.
    #[must_use]
    pub fn families(&self) -> &[IpFamily] {
        &self.families
    }

    /// Timing of the rounds.
    #[must_use]
    pub const fn settings(&self) -> RoundSettings {
        self.settings
    }

    /// Whether a round has begun, so that a listing is known.
    #[must_use]
    pub fn has_listing(&self) -> bool {
        self.listing.layers > 0
    }

    /// Begins a round; without a listing, with the one of the round before.
    pub fn begin(&mut self, listing: Option<Listing>, now: Instant) {
        if let Some(listing) = listing {
            let reputations = listing.nodes.iter().map(|node| (node.target.identity.as_str(), node.reputation));
            self.trend.observe(reputations, now);
            if !listing.nodes.is_empty() {
                self.nodes_since.get_or_insert(now);
            }
            self.listing = Arc::new(listing);
        }
        if self.listing.has_monitor {
            self.listed_since.get_or_insert(now);
        } else {
            // Nodes lose the monitor from their lists, and must learn of it again.
            self.listed_since = None;
            self.lanes.values_mut().for_each(|lane| lane.has_passed = false);
        }
        self.started = Some(now);
        let listing = Arc::clone(&self.listing);
        let mut before = std::mem::take(&mut self.lanes);
        for node in &listing.nodes {
            let identity: Arc<str> = node.target.identity.as_str().into();
            for family in self.families.iter().copied() {
                let Some(hop) = node.target.hop(family) else { continue };
                let key = (Arc::clone(&identity), family);
                let lane =
                    before.remove(&key).unwrap_or(Lane { hop, is_pending: false, has_passed: false, is_down: false });
                self.lanes.insert(key, Lane { hop, ..lane });
            }
        }
        let idle = self.lanes.iter().filter(|(_, lane)| !lane.is_pending).map(|(key, _)| key.clone()).collect();
        let routes = if !self.settings.routes || self.is_settling(now) { Vec::new() } else { self.routes() };
        self.plan = Plan::new(idle, routes, &self.settings, now);
    }

    /// Whether losses do not count yet, because nodes may not know the monitor.
    #[must_use]
    pub fn is_settling(&self, now: Instant) -> bool {
        let is_known = self.listed_since.is_some_and(|since| now >= since + self.settings.settle);
        !is_known && !self.lanes.values().all(|lane| lane.has_passed)
    }

    /// Packets to send now.
    pub fn due(&mut self, now: Instant) -> Vec<Test> {
        let mut tests = Vec::new();
        for (identity, family) in self.plan.lanes_due(now) {
            tests.extend(self.test(identity, family, false));
        }
        for route in self.plan.routes_due(now) {
            self.routes.sent += 1;
            tests.push(route);
        }
        tests
    }

    /// Takes note of a packet that returned.
    pub fn on_return(&mut self, label: Label, now: Instant) {
        match label {
            Label::Node { identity, family, .. } => {
                self.last_return.insert(family, now);
                let Some(lane) = self.lanes.get_mut(&(Arc::clone(&identity), family)) else { return };
                (lane.is_pending, lane.has_passed, lane.is_down) = (false, true, false);
                self.verdicts.insert((identity, family), true);
            }
            Label::Route { family } => {
                self.last_return.insert(family, now);
                self.routes.returned += 1;
            }
        }
    }

    /// Takes note of a lost packet; returns the packet to send before the verdict, if any.
    pub fn on_loss(&mut self, label: Label, now: Instant) -> Option<Test> {
        let Label::Node { identity, family, is_retry } = label else {
            self.routes.lost += 1;
            return None;
        };
        let is_known = self.listed_since.is_some_and(|since| now >= since + self.settings.settle);
        let lane = self.lanes.get_mut(&(Arc::clone(&identity), family))?;
        lane.is_pending = false;
        if !is_retry {
            return self.test(identity, family, true);
        }
        if is_known || lane.has_passed {
            lane.is_down = true;
            self.verdicts.insert((identity, family), false);
        }
        None
    }

    /// Ends the round if its time is over; returns its results.
    pub fn end(&mut self, now: Instant) -> Option<(BatchMixStatus, Summary)> {
        let started = self.started.filter(|started| now >= *started + self.settings.every)?;
        self.started = None;
        let verdicts = std::mem::take(&mut self.verdicts);
        let withheld = self.own_faults(&verdicts, started);
        let status = verdicts
            .iter()
            .filter(|((_, family), is_up)| **is_up || !withheld.contains(family))
            .map(|((identity, family), up)| MixStatus {
                pub_key: identity.to_string(),
                ip_version: family.ip_version(),
                up: *up,
            })
            .collect();
        let routes = std::mem::take(&mut self.routes);
        // Packets still on their way count in the next round.
        self.routes.sent = routes.in_transit();
        let decided = Counts { sent: routes.returned + routes.lost, ..routes };
        let mut summary = Summary::new(&self.listing, &self.with_pending(verdicts), decided, withheld);
        summary.settling = self.is_settling(now);
        summary.is_overdue = !summary.settling && summary.empty_layers.iter().any(|layer| self.is_overdue(*layer, now));
        summary.progress = self.trend.slowest(self.listing.active_reputation, now);
        Some((BatchMixStatus { status }, summary))
    }

    /// Verdicts of a round, with the earlier failures of nodes whose test lasts longer than the round.
    fn with_pending(&self, mut verdicts: HashMap<LaneKey, bool>) -> HashMap<LaneKey, bool> {
        for (key, _) in self.lanes.iter().filter(|(_, lane)| lane.is_down && lane.is_pending) {
            verdicts.entry(key.clone()).or_insert(false);
        }
        verdicts
    }

    /// Families over which this monitor itself is the likely cause: nothing returned from any of several nodes.
    fn own_faults(&self, verdicts: &HashMap<LaneKey, bool>, started: Instant) -> Vec<IpFamily> {
        let recent = started.checked_sub(2 * self.settings.timeout).unwrap_or(started);
        let is_silent = |family: &IpFamily| self.last_return.get(family).is_none_or(|last| *last < recent);
        let down = |family: &IpFamily| verdicts.iter().any(|((_, of), up)| of == family && !up);
        let several = |family: &IpFamily| self.lanes.keys().filter(|(_, of)| of == family).count() > 1;
        let all = self.families.iter().copied();
        all.filter(|family| is_silent(family) && down(family) && several(family)).collect()
    }

    /// Whether this layer should have an active node: the network has had nodes for a while, and no node of the layer
    /// still gains reputation.
    fn is_overdue(&self, layer: u64, now: Instant) -> bool {
        let patience = self.settings.settle + 2 * self.settings.every;
        let is_joining = |node: &ListedNode| {
            node.target.layer == layer
                && node.reputation < self.listing.active_reputation
                && self.trend.is_moving(&node.target.identity, patience, now)
        };
        self.nodes_since.is_some_and(|since| now > since + patience) && !self.listing.nodes.iter().any(is_joining)
    }

    fn test(&mut self, identity: Arc<str>, family: IpFamily, is_retry: bool) -> Option<Test> {
        let lane = self.lanes.get_mut(&(Arc::clone(&identity), family))?;
        lane.is_pending = true;
        Some(Test { mixes: vec![lane.hop], family, label: Label::Node { identity, family, is_retry } })
    }

    fn routes(&self) -> Vec<Test> {
        self.families.iter().flat_map(|family| plan::random_routes(&self.listing, *family)).collect()
    }
}

#[cfg(test)]
mod tests;
