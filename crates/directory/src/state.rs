//! State of the heartbeat, as seen by the rest of the node.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use tokio::sync::watch;
use tokio::time::Instant;

use super::DirectoryError;

/// Shared view of a heartbeat, cheap to clone: for readiness, status and metrics.
#[derive(Debug, Clone, Default)]
pub struct HeartbeatState(Arc<Inner>);

/// Failed requests since the start, by kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FailureCounts {
    /// Registrations, including keep-alives.
    pub register: u64,
    /// Fetches of the topology.
    pub topology: u64,
    /// Metrics reports.
    pub metrics: u64,
}

/// Topology that the node uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TopologyFacts {
    /// When it was fetched; `None` if an earlier run saved it.
    pub fetched_at: Option<Instant>,
}

#[derive(Debug, Default)]
struct Inner {
    registered: watch::Sender<bool>,
    facts: Mutex<Facts>,
}

#[derive(Debug, Default)]
struct Facts {
    /// Set before the first registration is sent: from then on the directory may list this node.
    maybe_listed: bool,
    last_error: Option<String>,
    registered_at: Option<SystemTime>,
    topology: Option<TopologyFacts>,
    failures: FailureCounts,
}

/// The request that failed.
#[derive(Debug, Clone, Copy)]
pub(super) enum Failed {
    Register,
    Topology,
    Metrics,
}

impl HeartbeatState {
    /// Whether the directory lists this node, as of the last response.
    pub fn registered(&self) -> bool {
        *self.0.registered.borrow()
    }

    /// Completes once the directory lists this node.
    pub async fn until_registered(&self) {
        // Cannot fail: the sender lives as long as `self`.
        self.0.registered.subscribe().wait_for(|registered| *registered).await.ok();
    }

    /// Why the node is not registered or its topology is old; `None` without problems. Ignores metrics reports, which
    /// readiness does not depend on.
    pub fn last_error(&self) -> Option<String> {
        self.facts().last_error.clone()
    }

    /// When the directory last accepted a registration of this node.
    pub fn registered_at(&self) -> Option<SystemTime> {
        self.facts().registered_at
    }

    /// Topology that the node uses, once it has one.
    pub fn topology(&self) -> Option<TopologyFacts> {
        self.facts().topology
    }

    /// Failed requests since the start.
    pub fn failures(&self) -> FailureCounts {
        self.facts().failures
    }

    pub(super) fn maybe_listed(&self) -> bool {
        self.facts().maybe_listed
    }

    pub(super) fn set_maybe_listed(&self) {
        self.facts().maybe_listed = true;
    }

    /// Called when the directory has no entry of this start.
    pub(super) fn set_not_listed(&self) {
        self.facts().maybe_listed = false;
    }

    pub(super) fn set_registered(&self, registered: bool) {
        self.0.registered.send_replace(registered);
    }

    pub(super) fn set_problem(&self, problem: Option<String>) {
        self.facts().last_error = problem;
    }

    #[expect(clippy::disallowed_methods, reason = "a date for people; nothing is timed by it")]
    pub(super) fn set_registered_now(&self) {
        self.facts().registered_at = Some(SystemTime::now());
    }

    pub(super) fn set_topology(&self, fetched_at: Option<Instant>) {
        self.facts().topology = Some(TopologyFacts { fetched_at });
    }

    pub(super) fn count_failure(&self, failed: Failed, error: &DirectoryError) {
        let mut facts = self.facts();
        match failed {
            Failed::Register => facts.failures.register += 1,
            Failed::Topology => facts.failures.topology += 1,
            Failed::Metrics => facts.failures.metrics += 1,
        }
        if !matches!(failed, Failed::Metrics) {
            facts.last_error = Some(error.to_string());
        }
    }

    /// The facts are valid even after a panic: each is replaced in one step.
    fn facts(&self) -> MutexGuard<'_, Facts> {
        self.0.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
