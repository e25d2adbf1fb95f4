//! What mixes and gateways both report to their operators.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nym_mixnode_address::Announcing;
use nym_mixnode_api::PROTOCOL_VERSION;
use nym_mixnode_base::count::counted;
use nym_mixnode_base::open_files::Remedy;
use nym_mixnode_directory::HeartbeatState;
use nym_mixnode_telemetry::http::{
    DirectoryStatus, LimitsStatus, Problem, Reason, SkippedNode, StatusSource, TopologyStatus,
};
use nym_mixnode_telemetry::instruments as i;
use nym_mixnode_telemetry::process::descriptors_max;
use nym_mixnode_telemetry::readings::Reading;
use nym_mixnode_telemetry::window::{Packets, Window, wall_clock};
use rustix::process::{Resource, getrlimit};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tracing::warn;

use super::listed::Usable;
use crate::systemd::{Notice, ServiceManager};

/// Interval of checks for a changed status line.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Start and stop of the process.
pub(super) struct Vitals {
    stopping: AtomicBool,
    started: Instant,
    /// Time since the epoch.
    started_at: Duration,
}

impl Vitals {
    pub(super) fn new() -> Self {
        Self { stopping: AtomicBool::new(false), started: Instant::now(), started_at: wall_clock() }
    }

    /// Marks the node as not ready: the first step of the shutdown.
    pub(super) fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    pub(super) fn running(&self) -> Result<(), Problem> {
        if self.stopping.load(Ordering::Relaxed) {
            return Err(problem(Reason::Draining, "draining: the node stops"));
        }
        Ok(())
    }

    pub(super) fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    /// Readings that depend on no packet.
    pub(super) fn readings(&self, heartbeat: &HeartbeatState, is_ready: bool, is_live: bool) -> Vec<Reading> {
        let up = heartbeat.registered() && heartbeat.last_error().is_none();
        let failures = heartbeat.failures();
        let mut all = vec![
            Reading::whole(&i::READY, u64::from(is_ready)),
            Reading::whole(&i::LIVE, u64::from(is_live)),
            Reading::whole(&i::BUILD_INFO, 1)
                .with("version", env!("CARGO_PKG_VERSION"))
                .with("protocol", PROTOCOL_VERSION),
            Reading::whole(&i::DIRECTORY_UP, u64::from(up)),
            Reading::whole(&i::DIRECTORY_FAILURES, failures.register).with("call", "register"),
            Reading::whole(&i::DIRECTORY_FAILURES, failures.topology).with("call", "topology"),
            Reading::whole(&i::DIRECTORY_FAILURES, failures.metrics).with("call", "metrics"),
            Reading::time(&i::PROCESS_START, self.started_at),
            Reading::time(&i::PROCESS_UPTIME, self.uptime()),
        ];
        all.extend(descriptors_max().map(|limit| Reading::whole(&i::PROCESS_MAX_FDS, limit)));
        all
    }
}

/// Readings of the topology in use; none without one.
pub(super) fn of_topology(heartbeat: &HeartbeatState, usable: &Usable) -> Vec<Reading> {
    let Some(facts) = heartbeat.topology() else { return Vec::new() };
    let mut all = vec![
        Reading::whole(&i::TOPOLOGY_NODES, usable.mixes as u64).with("kind", "mix"),
        Reading::whole(&i::TOPOLOGY_NODES, usable.gateways as u64).with("kind", "gateway"),
    ];
    for reason in i::SKIPPED {
        let skipped = usable.skipped.get(*reason).copied().unwrap_or_default();
        all.push(Reading::whole(&i::TOPOLOGY_SKIPPED, skipped as u64).with("reason", *reason));
    }
    all.extend(facts.fetched_at.map(|at| Reading::time(&i::TOPOLOGY_AGE, at.elapsed())));
    all
}

/// Whether the node has an address to announce, and the directory lists it.
pub(super) fn listed(announcing: &Announcing, heartbeat: &HeartbeatState) -> Result<(), Problem> {
    if let Some(lacking) = announcing.lacking() {
        return Err(problem(Reason::NoAnnounceAddress, format!("no address to announce yet: {lacking}")));
    }
    if heartbeat.registered() {
        return Ok(());
    }
    Err(match heartbeat.last_error() {
        Some(error) => problem(Reason::DirectoryError, format!("not registered: {error}")),
        None => problem(Reason::NotRegistered, "not registered with the directory yet"),
    })
}

pub(super) fn directory(url: String, heartbeat: &HeartbeatState) -> DirectoryStatus {
    let since_epoch = |at: SystemTime| at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    DirectoryStatus {
        url,
        registered: heartbeat.registered(),
        registered_at: heartbeat.registered_at().map(since_epoch),
        problem: heartbeat.last_error(),
    }
}

pub(super) fn topology(heartbeat: &HeartbeatState, usable: &Usable) -> Option<TopologyStatus> {
    let facts = heartbeat.topology()?;
    Some(TopologyStatus {
        mixes: usable.mixes,
        gateways: usable.gateways,
        skipped: usable.skipped.values().sum(),
        skipped_nodes: usable.named.clone(),
        age_s: facts.fetched_at.map(|at| at.elapsed().as_secs()),
    })
}

pub(super) fn limits(memory_bytes: usize, connections_max: usize, packets: &Packets) -> LimitsStatus {
    let nofile = getrlimit(Resource::Nofile);
    LimitsStatus {
        nofile_soft: nofile.current,
        nofile_hard: nofile.maximum,
        nofile_remedy: Remedy::here().to_string(),
        memory_bytes,
        connections_max,
        reached: packets.total.limits.clone(),
    }
}

/// Warns of each limit that was reached in a window, at its end, because the counts depend on packets and connections.
pub(super) fn warn_of_limits(window: &Window) {
    for limit in i::Limit::ALL {
        if let Some(times) = window.counts.limits.get(limit.label()) {
            warn!(limit = limit.label(), times, "{}", limit.advice());
        }
    }
}

pub(super) fn no_next_hop(usable: &Usable) -> String {
    let skipped: usize = usable.skipped.values().sum();
    match usable.named.first() {
        None => "no next hop is known yet: the directory has listed no node".to_owned(),
        Some(SkippedNode { identity, reason }) => format!(
            "no next hop is known: the directory lists {}, and none with an address that packets may be sent to, such \
             as {identity}: {reason}",
            counted(skipped, "node", "nodes")
        ),
    }
}

pub(super) fn problem(reason: Reason, message: impl Into<String>) -> Problem {
    Problem { reason, message: message.into() }
}

/// One-line status; `working` is that of a ready node.
pub(super) fn summary(view: &impl StatusSource, working: &str) -> String {
    match view.readiness() {
        Ok(()) => working.to_owned(),
        Err(problem) => problem.message,
    }
}

/// Sends status changes to the service manager, and watchdog pings while the node is alive.
pub(super) async fn notify_manager(manager: Arc<ServiceManager>, view: Arc<impl StatusSource>, working: &'static str) {
    let watchdog = manager.watchdog_every();
    let mut look = interval(watchdog.map_or(LOOK_EVERY, |every| every.min(LOOK_EVERY)));
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut sent = summary(&*view, working);
    let mut last_ping: Option<Instant> = None;
    loop {
        look.tick().await;
        let summary = summary(&*view, working);
        if summary != sent {
            manager.notify(Notice::Status(&summary));
            sent = summary;
        }
        let is_due = watchdog.is_some_and(|every| last_ping.is_none_or(|last| last.elapsed() >= every));
        if is_due && view.liveness().is_ok() {
            manager.notify(Notice::Watchdog);
            last_ping = Some(Instant::now());
        }
    }
}
