//! State of the heartbeat, as seen by the rest of the node.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use nym_mixnode_api::Topology;
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
    /// Number of mixnodes in it.
    pub mixes: usize,
    /// Number of gateways in it.
    pub gateways: usize,
    /// When it was fetched; `None` if an earlier run saved it.
    pub fetched_at: Option<Instant>,
}

#[derive(Debug, Default)]
struct Inner {
    registered: watch::Sender<bool>,
    /// Set before the first registration is sent: from then on the directory may list this node.
    maybe_listed: AtomicBool,
    last_error: Mutex<Option<String>>,
    registered_at: Mutex<Option<SystemTime>>,
    topology: Mutex<Option<TopologyFacts>>,
    register_failures: AtomicU64,
    topology_failures: AtomicU64,
    metrics_failures: AtomicU64,
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
        lock(&self.0.last_error).clone()
    }

    /// When the directory last accepted a registration of this node.
    pub fn registered_at(&self) -> Option<SystemTime> {
        *lock(&self.0.registered_at)
    }

    /// Topology that the node uses, once it has one.
    pub fn topology(&self) -> Option<TopologyFacts> {
        *lock(&self.0.topology)
    }

    /// Failed requests since the start.
    pub fn failures(&self) -> FailureCounts {
        FailureCounts {
            register: self.0.register_failures.load(Ordering::Relaxed),
            topology: self.0.topology_failures.load(Ordering::Relaxed),
            metrics: self.0.metrics_failures.load(Ordering::Relaxed),
        }
    }

    pub(super) fn maybe_listed(&self) -> bool {
        self.0.maybe_listed.load(Ordering::Relaxed)
    }

    pub(super) fn set_maybe_listed(&self) {
        self.0.maybe_listed.store(true, Ordering::Relaxed);
    }

    /// Called when the directory has no entry of this start.
    pub(super) fn set_not_listed(&self) {
        self.0.maybe_listed.store(false, Ordering::Relaxed);
    }

    pub(super) fn set_registered(&self, registered: bool) {
        self.0.registered.send_replace(registered);
    }

    pub(super) fn set_problem(&self, problem: Option<String>) {
        *lock(&self.0.last_error) = problem;
    }

    #[expect(clippy::disallowed_methods, reason = "a date for people; nothing is timed by it")]
    pub(super) fn set_registered_now(&self) {
        *lock(&self.0.registered_at) = Some(SystemTime::now());
    }

    pub(super) fn set_topology(&self, topology: &Topology, fetched_at: Option<Instant>) {
        let (mixes, gateways) = (topology.mix_nodes.len(), topology.gateways.len());
        *lock(&self.0.topology) = Some(TopologyFacts { mixes, gateways, fetched_at });
    }

    pub(super) fn count_failure(&self, failed: Failed, error: &DirectoryError) {
        let counter = match failed {
            Failed::Register => &self.0.register_failures,
            Failed::Topology => &self.0.topology_failures,
            Failed::Metrics => &self.0.metrics_failures,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        if !matches!(failed, Failed::Metrics) {
            self.set_problem(Some(error.to_string()));
        }
    }
}

/// The values are valid even after a panic: each is replaced in one step.
fn lock<T>(value: &Mutex<T>) -> MutexGuard<'_, T> {
    value.lock().unwrap_or_else(PoisonError::into_inner)
}
