//! State of a node, its way to the active set, and the words for both.

use nym_mixnode_api::IpVersion;

use super::model::{IP_VERSIONS, Node, Rules, Tests, ip_name};
use super::text;

/// Age in seconds from which a test no longer describes the present.
const STALE: i64 = 15 * 60;

/// Whether a test still describes the present.
pub(crate) fn is_recent(tests: Tests, now: i64) -> bool {
    now.saturating_sub(tests.at) < STALE
}

/// State of a node, by its latest tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum State {
    /// All tests fail.
    Down,
    /// The tests over this IP version fail.
    Partly(IpVersion),
    /// No recent test.
    Untested,
    /// The tests pass; the reputation or the uptime is too low for the active set.
    Joining,
    /// The tests pass, and the node is in the active set.
    Active,
}

/// Value of the filter by state.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StateFilter {
    /// Name in URLs.
    pub(crate) name: &'static str,
    /// Name in the list of choices.
    pub(crate) label: &'static str,
    pub(crate) has: fn(State) -> bool,
}

/// All values of the filter.
pub(crate) const STATE_FILTERS: [StateFilter; 5] = [
    StateFilter { name: "active", label: "Active, all tests pass", has: |state| state == State::Active },
    StateFilter { name: "joining", label: "Joining", has: |state| state == State::Joining },
    StateFilter { name: "partly", label: "One IP version fails", has: |state| matches!(state, State::Partly(_)) },
    StateFilter { name: "down", label: "Down", has: |state| state == State::Down },
    StateFilter { name: "untested", label: "Not tested", has: |state| state == State::Untested },
];

impl State {
    /// State of a node, by the tests over the IP versions that it announces.
    pub(crate) fn of(node: &Node, now: i64) -> Self {
        let recent = |version| node.tests(version).filter(|tests| is_recent(*tests, now));
        let announced = IP_VERSIONS.into_iter().filter(|version| node.announces(*version));
        let results: Vec<(IpVersion, Tests)> =
            announced.filter_map(|version| recent(version).map(|tests| (version, tests))).collect();
        let failed = || results.iter().filter(|(_, tests)| !tests.up);
        match (results.len(), failed().count()) {
            (0, _) => Self::Untested,
            (all, failed) if all == failed => Self::Down,
            (_, 0) if node.is_active => Self::Active,
            (_, 0) => Self::Joining,
            _ => failed().next().map_or(Self::Down, |(version, _)| Self::Partly(*version)),
        }
    }

    /// One or two words.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Active => "Active",
            Self::Joining => "Joining",
            Self::Partly(IpVersion::V4) => "IPv4 fails",
            Self::Partly(IpVersion::V6) => "IPv6 fails",
            Self::Down => "Down",
            Self::Untested => "Not tested",
        }
    }

    /// Class of the style sheet.
    pub(crate) fn class(self) -> &'static str {
        match self {
            Self::Active => "ok",
            Self::Joining => "info",
            Self::Partly(_) => "warn",
            Self::Down => "bad",
            Self::Untested => "none",
        }
    }

    /// A sentence about a node in this state.
    pub(crate) fn sentence(self, node: &Node, rules: Rules, now: i64) -> String {
        let set = if node.is_active {
            "It is still in the active set, but loses reputation with each failed test."
        } else {
            "It is not in the active set."
        };
        let is_gateway = node.layer().is_none();
        let passed = if is_gateway { "Its ports accept connections" } else { "Its latest test packets came back" };
        match self {
            Self::Active => format!("{passed}, and it is in the active set: clients use it."),
            Self::Joining if node.reputation >= rules.active_at => {
                let uptime = rules.uptime_min;
                format!("{passed}. It joins the active set once {uptime}\u{202f}% of the last day's tests have passed.")
            }
            Self::Joining => {
                let time = time_to_active(node, rules, now).map_or_else(String::new, |seconds| {
                    format!(" At the present rate this takes about {}.", text::duration(seconds))
                });
                let at = rules.active_at;
                format!("{passed}. It joins the active set at a reputation of {at}.{time}")
            }
            Self::Partly(version) if is_gateway => {
                format!("Its port for packets does not accept connections over {}.", ip_name(version))
            }
            Self::Partly(version) => {
                let name = ip_name(version);
                let other = ip_name(match version {
                    IpVersion::V4 => IpVersion::V6,
                    IpVersion::V6 => IpVersion::V4,
                });
                format!("Its latest test packet over {name} did not come back. Over {other} it mixes.")
            }
            Self::Down if is_gateway => format!("One of its ports, or both, accept no connections. {set}"),
            Self::Down => format!("Its latest test packets did not come back. {set}"),
            Self::Untested => "No monitor has tested it in the last 15 minutes, so its state is unknown.".to_owned(),
        }
    }
}

/// Seconds until a node reaches the active set if the next tests end as the latest ones did. `None` if it is in the active
/// set already, or never reaches it.
pub(crate) fn time_to_active(node: &Node, rules: Rules, now: i64) -> Option<i64> {
    let missing = rules.active_at - node.reputation;
    if missing <= 0 {
        return None;
    }
    let recent = [node.v4, node.v6].into_iter().flatten().filter(|tests| is_recent(*tests, now));
    let per_second: f64 = recent.filter_map(|tests| gain(tests, rules)).sum();
    // Both numbers are small; a result that does not fit saturates.
    #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "an estimate")]
    (per_second > 0.0).then(|| (missing as f64 / per_second).ceil() as i64)
}

/// Reputation per second from tests with this result.
#[expect(clippy::cast_precision_loss, reason = "small numbers")]
fn gain(tests: Tests, rules: Rules) -> Option<f64> {
    let points = if tests.up { rules.passed } else { rules.failed };
    tests.interval.filter(|interval| *interval > 0.0).map(|interval| points as f64 / interval)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Role;

    const RULES: Rules = Rules { active_at: 100, passed: 3, failed: -2, uptime_min: 50 };
    const NOW: i64 = 1_000_000;

    #[expect(clippy::unnecessary_wraps, reason = "as in a node")]
    fn tests(up: bool) -> Option<Tests> {
        Some(Tests { up, at: NOW - 30, interval: Some(60.0) })
    }

    fn node(reputation: i64, v4: Option<Tests>, v6: Option<Tests>) -> Node {
        Node {
            identity: "key".into(),
            sphinx_key: "key".into(),
            role: Role::Mix { layer: 1 },
            version: "0.9.2".into(),
            location: String::new(),
            addresses: vec!["192.0.2.1:1789".into(), "[2001:db8::1]:1789".into()],
            since: 0,
            reputation,
            is_active: reputation >= 100,
            v4,
            v6,
        }
    }

    #[test]
    fn the_latest_tests_and_the_reputation_give_the_state() {
        let old = Some(Tests { up: true, at: NOW - STALE, interval: None });
        for (node, expected) in [
            (node(100, tests(true), tests(true)), State::Active),
            (node(100, tests(true), None), State::Active),
            (node(99, tests(true), tests(true)), State::Joining),
            (node(500, tests(true), tests(false)), State::Partly(IpVersion::V6)),
            (node(0, tests(false), tests(true)), State::Partly(IpVersion::V4)),
            (node(500, tests(false), tests(false)), State::Down),
            (node(500, None, tests(false)), State::Down),
            (node(500, None, None), State::Untested),
            (node(500, old, None), State::Untested),
            (node(500, old, tests(false)), State::Down),
        ] {
            assert_eq!(State::of(&node, NOW), expected, "{node:?}");
        }
    }

    #[test]
    fn only_announced_ip_versions_count() {
        let mut v4_only = node(100, tests(true), tests(false));
        v4_only.addresses.truncate(1);
        assert_eq!(State::of(&v4_only, NOW), State::Active);
        let v6_only = Node { addresses: vec!["[2001:db8::1]:1789".into()], ..v4_only };
        assert_eq!(State::of(&v6_only, NOW), State::Down);
    }

    #[test]
    fn the_time_to_the_active_set_follows_the_interval_of_the_tests() {
        let old = Some(Tests { up: true, at: NOW - STALE, interval: Some(60.0) });
        let once = Some(Tests { up: true, at: NOW, interval: None });
        for (node, expected) in [
            (node(0, tests(true), tests(true)), Some(1000)),
            (node(40, tests(true), None), Some(1200)),
            (node(40, tests(true), tests(false)), Some(3600)),
            (node(40, tests(false), tests(false)), None),
            (node(40, once, None), None),
            (node(40, None, None), None),
            (node(40, old, old), None),
            (node(100, tests(true), tests(true)), None),
        ] {
            assert_eq!(time_to_active(&node, RULES, NOW), expected, "{node:?}");
        }
    }
}
