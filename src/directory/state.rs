//! What the rest of the node may know of the heartbeat.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::DirectoryError;

/// A shared view of a heartbeat, cheap to clone: for readiness, the node's status, and its instruments.
#[derive(Debug, Clone, Default)]
pub struct HeartbeatState(Arc<Inner>);

/// Failed requests since the start, by what was asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FailureCounts {
    /// Registrations, keep-alives included.
    pub register: u64,
    /// Fetches of the topology.
    pub topology: u64,
    /// Metrics reports.
    pub metrics: u64,
}

#[derive(Debug, Default)]
struct Inner {
    registered: AtomicBool,
    /// Set before the first registration leaves: from then on the directory may list us.
    maybe_listed: AtomicBool,
    last_error: Mutex<Option<String>>,
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
    /// Whether the directory lists this node, as far as we know.
    pub fn registered(&self) -> bool {
        self.0.registered.load(Ordering::Relaxed)
    }

    /// Why the node is not registered or its topology is old; nothing while all goes well. Metrics reports don't count:
    /// a node without them is as ready as with them.
    pub fn last_error(&self) -> Option<String> {
        self.0.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone()
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

    pub(super) fn set_registered(&self, registered: bool) {
        self.0.registered.store(registered, Ordering::Relaxed);
    }

    pub(super) fn set_problem(&self, problem: Option<String>) {
        *self.0.last_error.lock().unwrap_or_else(PoisonError::into_inner) = problem;
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
