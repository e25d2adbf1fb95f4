//! Rules for reputation and the active set.

use nym_mixnode_api::ACTIVE_REPUTATION;

/// Effect of measurements on a node. The defaults are those of the 0.9.2 network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReputationRules {
    /// Points for each passed test.
    pub passed: i64,
    /// Points that each failed test takes away; the reputation never falls below 0.
    pub failed: i64,
    /// Minimum reputation of nodes in the active set.
    pub active: i64,
    /// Minimum uptime of the last day, in per cent: nodes below it are not in the active set. Counts IPv4 tests, or
    /// IPv6 tests of nodes without any.
    pub uptime_min: i64,
}

impl ReputationRules {
    /// Whether a node with these measurements of the last day (passed and all, over IPv4 and over IPv6) is up enough for
    /// the active set.
    pub(crate) fn is_up(&self, [ipv4, ipv6]: [(i64, i64); 2]) -> bool {
        let (passed, all) = if ipv4.1 > 0 { ipv4 } else { ipv6 };
        100 * passed >= self.uptime_min * all
    }
}

impl Default for ReputationRules {
    fn default() -> Self {
        Self { passed: 3, failed: 2, active: ACTIVE_REPUTATION, uptime_min: 50 }
    }
}
