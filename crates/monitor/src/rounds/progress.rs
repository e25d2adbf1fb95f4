//! How far nodes are from the active set, from the reputation that they gained while the monitor watched.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use nym_mixnode_base::count::counted;
use tokio::time::Instant;

/// Beyond this, a time in seconds or minutes is given in the next unit.
const LARGEST_COUNT: f64 = 99.0;

/// Reputation of a node on its way to the active set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeProgress {
    /// Identity of the node, or its name where nodes have one.
    pub name: String,
    /// Its reputation.
    pub reputation: i64,
    /// Minimum reputation of the active set.
    pub active_reputation: i64,
    /// Time left at its present rate; `None` while it gains nothing.
    pub remaining: Option<Duration>,
}

/// Such as `mix1-2: 34 of 100, about 11 minutes`.
impl fmt::Display for NodeProgress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} of {}", self.name, self.reputation, self.active_reputation)?;
        let Some(remaining) = self.remaining else { return Ok(()) };
        let seconds = remaining.as_secs_f64().ceil();
        let units = [("second", "seconds", 1.0), ("minute", "minutes", 60.0), ("hour", "hours", 3600.0)];
        let fits = |(_, _, unit): &&(&str, &str, f64)| seconds / unit <= LARGEST_COUNT;
        let (one, several, unit) = units.iter().find(fits).unwrap_or(&units[2]);
        write!(f, ", about {}", counted((seconds / unit).ceil(), one, several))
    }
}

/// Reputations as first seen, or as of their last fall.
#[derive(Debug, Default)]
pub struct ReputationTrend(HashMap<String, Seen>);

#[derive(Debug, Clone, Copy)]
struct Seen {
    since: Instant,
    first: i64,
    last: i64,
    /// When it changed last, or was first seen.
    changed: Instant,
}

impl ReputationTrend {
    /// Takes note of the present reputation of all nodes, by identity or name.
    pub fn observe<'a>(&mut self, reputations: impl Iterator<Item = (&'a str, i64)>, now: Instant) {
        let mut before = std::mem::take(&mut self.0);
        for (name, reputation) in reputations {
            let seen = before.remove(name).filter(|seen| seen.last <= reputation);
            let seen = seen.unwrap_or(Seen { since: now, first: reputation, last: reputation, changed: now });
            let changed = if seen.last == reputation { seen.changed } else { now };
            self.0.insert(name.to_owned(), Seen { last: reputation, changed, ..seen });
        }
    }

    /// Whether the reputation of this node changed, or was first seen, at most this long ago.
    pub(super) fn is_moving(&self, name: &str, within: Duration, now: Instant) -> bool {
        self.0.get(name).is_some_and(|seen| now <= seen.changed + within)
    }

    /// The node that will be the last one to join the active set.
    #[must_use]
    pub fn slowest(&self, active_reputation: i64, now: Instant) -> Option<NodeProgress> {
        let missing = self.0.iter().filter(|(_, seen)| seen.last < active_reputation);
        let progress = missing.map(|(name, seen)| NodeProgress {
            name: name.clone(),
            reputation: seen.last,
            active_reputation,
            remaining: seen.remaining(active_reputation, now),
        });
        progress.max_by(|a, b| {
            let order = |of: &NodeProgress| (of.remaining.unwrap_or(Duration::MAX), -of.reputation);
            order(a).cmp(&order(b)).then_with(|| b.name.cmp(&a.name))
        })
    }
}

impl Seen {
    fn remaining(&self, active: i64, now: Instant) -> Option<Duration> {
        let (gained, missing) = (self.last - self.first, active - self.last);
        let took = now.checked_duration_since(self.since)?;
        let share = f64::from(i32::try_from(missing).ok()?) / f64::from(i32::try_from(gained).ok()?);
        (gained > 0).then(|| took.mul_f64(share))
    }
}
