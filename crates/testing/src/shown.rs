//! What a registry shows of its nodes, as its readers get it: reputation, measurements, and states in the explorer.

use std::collections::BTreeSet;

use nym_mixnode_api::{IpVersion, PersistedMixStatus, Topology};

/// Maximum number of rounds that end until a dead node is down: the one in which it dies, and two more.
pub const ROUNDS_UNTIL_DOWN_MAX: usize = 3;

/// The pages and lists of a registry. `get` returns the body of a successful reply to a path.
pub struct Shown<G> {
    get: G,
}

impl<G: Fn(&str) -> Option<String>> Shown<G> {
    /// Those that this function gets.
    pub const fn new(get: G) -> Self {
        Self { get }
    }

    /// Reputation and measurements of a listed node, which belong together.
    pub fn standing(&self, identity: &str) -> Option<Standing> {
        let before = self.measurements(identity)?;
        let reputation = self.listed()?.mix(identity)?.reputation;
        let measurements = self.measurements(identity)?;
        (measurements == before).then_some(Standing { reputation, measurements })
    }

    /// All listed nodes.
    pub fn listed(&self) -> Option<Topology> {
        Some(serde_json::from_str(&(self.get)("/api/mixmining/topology")?).unwrap())
    }

    /// Whether a node is in the active set.
    pub fn is_active(&self, identity: &str) -> Option<bool> {
        let active: Topology = serde_json::from_str(&(self.get)("/api/mixmining/topology/active")?).unwrap();
        Some(active.mix(identity).is_some())
    }

    /// State of a node in the explorer, such as `IPv6 fails`.
    pub fn state(&self, identity: &str) -> Option<String> {
        let page = (self.get)(&format!("/nodes/{identity}"))?;
        let (_, mark) = page.split_once("<span class=\"state ")?;
        let (_, label) = mark.split_once('>')?;
        label.split_once('<').map(|(label, _)| label.to_owned())
    }

    fn measurements(&self, identity: &str) -> Option<Vec<PersistedMixStatus>> {
        let body = (self.get)(&format!("/api/mixmining/node/{identity}/history"))?;
        Some(serde_json::from_str(&body).unwrap())
    }
}

/// Reputation of a node, and the measurements that led to it, newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Its reputation.
    pub reputation: i64,
    measurements: Vec<PersistedMixStatus>,
}

impl Standing {
    /// Whether the latest test over this IP version passed.
    #[must_use]
    pub fn passes(&self, version: IpVersion) -> Option<bool> {
        let latest = self.measurements.iter().find(|measured| measured.status.ip_version == version)?;
        Some(latest.status.up)
    }

    /// Number of rounds in which this node was measured after the last measurement of an earlier standing.
    #[must_use]
    pub fn rounds_since(&self, earlier: &Self) -> usize {
        self.since(earlier).map(|measured| measured.timestamp).collect::<BTreeSet<_>>().len()
    }

    /// Reputation that follows from an earlier standing by the default rule: 3 points for each passed test, and 2 less
    /// for each failed one.
    #[must_use]
    pub fn by_the_rule(&self, earlier: &Self) -> i64 {
        let mut later: Vec<_> = self.since(earlier).collect();
        later.reverse();
        let points = |measured: &PersistedMixStatus| if measured.status.up { 3 } else { -2 };
        later.into_iter().fold(earlier.reputation, |reputation, measured| (reputation + points(measured)).max(0))
    }

    /// Number of rounds that ended between `death` and the first failed test of this node: `death` is what another node
    /// had right after this one died, and `witness` what that node has now. `None` before the failure.
    #[must_use]
    pub fn rounds_until_down(&self, death: &Self, witness: &Self) -> Option<usize> {
        let failed =
            self.since(death).filter(|measured| !measured.status.up).map(|measured| measured.timestamp).min()?;
        let rounds = witness.since(death).map(|measured| measured.timestamp).filter(|at| *at <= failed);
        // The witness may have no result in the round of the failure.
        Some(rounds.chain([failed]).collect::<BTreeSet<_>>().len())
    }

    /// How many rounds fewer this node was measured in since `before` than a witness since `then`.
    #[must_use]
    pub fn rounds_missed(&self, before: &Self, then: &Self, witness: &Self) -> usize {
        witness.rounds_since(then).saturating_sub(self.rounds_since(before))
    }

    fn since(&self, earlier: &Self) -> impl Iterator<Item = &PersistedMixStatus> {
        let last = earlier.measurements.first().map_or(0, |measured| measured.timestamp);
        self.measurements.iter().filter(move |measured| measured.timestamp > last)
    }
}
