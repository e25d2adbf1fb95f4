//! Interfaces for the operator of a running node: HTTP endpoints and notifications to systemd.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use nym_mixnode_address::{AddressReport, Announcing};
use nym_mixnode_api::PROTOCOL_VERSION;
use nym_mixnode_base::count::counted;
use nym_mixnode_base::open_files::Remedy;
use nym_mixnode_base::redact::redacted;
use nym_mixnode_config::{Config, HttpConfig};
use nym_mixnode_directory::HeartbeatState;
use nym_mixnode_keys::NodeKeys;
use nym_mixnode_mix::Rule;
use nym_mixnode_telemetry::http::{
    Answer, BindError, DirectoryStatus, HttpServer, LimitsStatus, Problem, Reason, ReplayStatus, SkippedNode, Status,
    StatusSource, TopologyStatus,
};
use nym_mixnode_telemetry::instruments as i;
use nym_mixnode_telemetry::log::lost_lines;
use nym_mixnode_telemetry::losses::Losses;
use nym_mixnode_telemetry::otel::Telemetry;
use nym_mixnode_telemetry::process::descriptors_max;
use nym_mixnode_telemetry::readings::{self, Reading};
use nym_mixnode_telemetry::window::{Published, Sample, Window, Windows, wall_clock};
use rustix::process::{Resource, getrlimit};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tracing::{info, warn};

use super::listed::Usable;
use super::state::Shared;
use crate::systemd::{Notice, ServiceManager};

/// Interval of checks for a changed status line.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Binds the HTTP address; `None` when HTTP is off.
///
/// The default address may be in use, for example by another node of this machine. The node then runs without HTTP.
pub(super) fn bind(config: &HttpConfig) -> Result<Option<HttpServer>, BindError> {
    let Some(address) = config.listen else { return Ok(None) };
    match HttpServer::bind(address) {
        Ok(server) => Ok(Some(server)),
        Err(error) if config.is_chosen => Err(error),
        Err(error) => {
            warn!("{error}; running without the HTTP endpoints");
            Ok(None)
        }
    }
}

/// The tasks that serve the operator, on the control runtime. Dropping it ends them.
pub(super) struct Operator {
    view: Arc<View>,
    http: Option<SocketAddr>,
    manager: Option<Arc<ServiceManager>>,
    _tasks: JoinSet<()>,
}

impl Operator {
    pub(super) fn start(view: View, http: Option<HttpServer>, manager: Option<Arc<ServiceManager>>) -> Self {
        let view = Arc::new(view);
        let mut tasks = JoinSet::new();
        let windows = Arc::clone(&view);
        windows.windows.begin(windows.shared.effort());
        tasks.spawn(async move { match windows.keep_windows(wall_clock).await {} });
        let address = http.as_ref().and_then(HttpServer::address);
        if let (Some(server), Some(address)) = (http, address) {
            info!("Serving the status at http://{address}/status");
            tasks.spawn(server.serve(Arc::clone(&view) as Arc<dyn StatusSource>));
        }
        if let Some(manager) = &manager {
            manager.notify(Notice::Ready(&view.summary()));
            tasks.spawn(notify_manager(Arc::clone(manager), Arc::clone(&view)));
        }
        Self { view, http: address, manager, _tasks: tasks }
    }

    /// The bound HTTP address.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        self.http
    }

    /// Marks the beginning of the drain: the current window ends after it.
    pub(super) fn draining(&self) {
        self.view.begin_last_window(wall_clock());
    }

    /// Ends the last window after the drain, and returns the final metrics.
    pub(super) fn drained(&self) -> Vec<Reading> {
        self.view.end_last_window();
        self.view.readings()
    }

    /// Marks the node as not ready: the first step of the shutdown.
    pub(super) fn stopping(&self) {
        self.view.stopping.store(true, Ordering::Relaxed);
        if let Some(manager) = &self.manager {
            manager.notify(Notice::Stopping(&self.view.summary()));
        }
    }
}

/// Sends status changes to the service manager, and watchdog pings while no worker is stalled.
async fn notify_manager(manager: Arc<ServiceManager>, view: Arc<View>) {
    let watchdog = manager.watchdog_every();
    let mut look = interval(watchdog.map_or(LOOK_EVERY, |every| every.min(LOOK_EVERY)));
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut sent = view.summary();
    let mut last_ping: Option<Instant> = None;
    loop {
        look.tick().await;
        let summary = view.summary();
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

/// Data for the endpoints.
pub(super) struct View {
    shared: Arc<Shared>,
    heartbeat: HeartbeatState,
    announcing: Arc<Announcing>,
    windows: Windows,
    stopping: AtomicBool,
    started: Instant,
    /// Time since the epoch.
    started_at: Duration,
    telemetry: Telemetry,
    losses: Arc<Losses>,
    facts: Facts,
}

/// Facts that do not change while the node runs.
struct Facts {
    identity_key: String,
    sphinx_key: String,
    layer: u64,
    listen: Vec<AddressReport>,
    directory: String,
    memory_bytes: usize,
    connections_max: usize,
}

impl View {
    pub(super) fn new(
        config: &Config,
        keys: &NodeKeys,
        shared: &Arc<Shared>,
        heartbeat: HeartbeatState,
        announcing: Arc<Announcing>,
        telemetry: Telemetry,
    ) -> Self {
        let facts = Facts {
            identity_key: keys.identity_public.clone(),
            sphinx_key: keys.sphinx.public_base58(),
            layer: config.node.layer,
            listen: config.listen.addresses.iter().map(AddressReport::from).collect(),
            directory: redacted(&config.directory.url),
            memory_bytes: config.mix.memory_bytes,
            connections_max: config.connections.total_max,
        };
        Self {
            shared: Arc::clone(shared),
            heartbeat,
            announcing,
            windows: Windows::new(config.telemetry.window, shared.pools.len()),
            stopping: AtomicBool::new(false),
            started: Instant::now(),
            started_at: wall_clock(),
            losses: telemetry.losses(),
            telemetry,
            facts,
        }
    }

    /// Ends windows by the clock `now` while polled.
    pub(super) async fn keep_windows(&self, now: impl Fn() -> Duration) -> Infallible {
        self.windows.run(now, || self.count(), |published| self.export(published)).await
    }

    /// Begins the last window, which only [`View::end_last_window`] ends. `now` is the time since the epoch.
    pub(super) fn begin_last_window(&self, now: Duration) {
        self.windows.begin_last(now);
    }

    /// Ends the last window, which includes the counts of the drain.
    pub(super) fn end_last_window(&self) {
        if let Some(published) = self.windows.end_last(self.count()) {
            self.export(&published);
        }
    }

    /// Exact counts, which the windows round.
    pub(super) fn count(&self) -> Sample {
        self.shared.sample()
    }

    /// Passes a completed window to the exporters.
    fn export(&self, published: &Published) {
        if let Some(window) = &published.packets.window {
            self.warn_of_early_ends(window);
            self.telemetry.window_ended(window, self.readings());
        }
    }

    fn of_node(&self) -> Vec<Reading> {
        let is = |verdict: bool| u64::from(verdict);
        let up = self.heartbeat.registered() && self.heartbeat.last_error().is_none();
        let failures = self.heartbeat.failures();
        let mut all = vec![
            Reading::whole(&i::READY, is(self.readiness().is_ok())),
            Reading::whole(&i::LIVE, is(self.liveness().is_ok())),
            Reading::whole(&i::BUILD_INFO, 1)
                .with("version", env!("CARGO_PKG_VERSION"))
                .with("protocol", PROTOCOL_VERSION),
            Reading::whole(&i::WORKERS, self.shared.pools.len() as u64),
            Reading::time(&i::WINDOW, self.windows.length()),
            Reading::whole(&i::ANNOUNCE_CHANGES, self.shared.announce_changes.load(Ordering::Relaxed)),
            Reading::whole(&i::DIRECTORY_UP, is(up)),
            Reading::whole(&i::DIRECTORY_FAILURES, failures.register).with("call", "register"),
            Reading::whole(&i::DIRECTORY_FAILURES, failures.topology).with("call", "topology"),
            Reading::whole(&i::DIRECTORY_FAILURES, failures.metrics).with("call", "metrics"),
            Reading::time(&i::PROCESS_START, self.started_at),
            Reading::time(&i::PROCESS_UPTIME, self.started.elapsed()),
        ];
        all.extend(descriptors_max().map(|limit| Reading::whole(&i::PROCESS_MAX_FDS, limit)));
        if let Some(facts) = self.heartbeat.topology() {
            let usable = self.shared.listed.usable();
            all.push(Reading::whole(&i::TOPOLOGY_NODES, usable.mixes as u64).with("kind", "mix"));
            all.push(Reading::whole(&i::TOPOLOGY_NODES, usable.gateways as u64).with("kind", "gateway"));
            for reason in i::SKIPPED {
                let skipped = usable.skipped.get(*reason).copied().unwrap_or_default();
                all.push(Reading::whole(&i::TOPOLOGY_SKIPPED, skipped as u64).with("reason", *reason));
            }
            all.extend(facts.fetched_at.map(|at| Reading::time(&i::TOPOLOGY_AGE, at.elapsed())));
        }
        all
    }

    /// One-line status.
    fn summary(&self) -> String {
        match self.readiness() {
            Ok(()) => "mixing, and listed by the directory".to_owned(),
            Err(problem) => problem.message,
        }
    }

    fn directory(&self) -> DirectoryStatus {
        let since_epoch = |at: std::time::SystemTime| at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        DirectoryStatus {
            url: self.facts.directory.clone(),
            registered: self.heartbeat.registered(),
            registered_at: self.heartbeat.registered_at().map(since_epoch),
            problem: self.heartbeat.last_error(),
        }
    }

    fn replay(&self) -> ReplayStatus {
        let window = self.shared.keys.replay_window();
        ReplayStatus {
            window_s: window.length.as_secs(),
            expected_rate: window.expected_rate,
            memory_bytes: window.memory_bytes(),
            early_ends: self.windows.packets().total.replay_early_ends,
        }
    }

    /// Warns at the end of a window, because data that depends on packet counts is exported only then.
    fn warn_of_early_ends(&self, window: &Window) {
        if window.counts.replay_early_ends > 0 {
            let expected = self.shared.keys.replay_window();
            warn!(
                early_ends = window.counts.replay_early_ends,
                window_s = expected.length.as_secs(),
                expected_rate = expected.expected_rate,
                "the replay filter was full before its time, so copies are recognised for less than replay.window; \
                 raise replay.expected_rate"
            );
        }
    }

    fn topology(&self) -> Option<TopologyStatus> {
        let facts = self.heartbeat.topology()?;
        let age_s = facts.fetched_at.map(|at| at.elapsed().as_secs());
        let usable = self.shared.listed.usable();
        Some(TopologyStatus {
            mixes: usable.mixes,
            gateways: usable.gateways,
            skipped: usable.skipped.values().sum(),
            skipped_nodes: usable.named.clone(),
            age_s,
        })
    }
}

impl StatusSource for View {
    fn liveness(&self) -> Result<(), Problem> {
        if self.shared.pulses.is_stalled() {
            return Err(problem(Reason::WorkerStalled, "a worker is stalled; restart the node"));
        }
        Ok(())
    }

    fn readiness(&self) -> Result<(), Problem> {
        if self.stopping.load(Ordering::Relaxed) {
            return Err(problem(Reason::Draining, "draining: the node stops"));
        }
        self.liveness()?;
        if let Some(lacking) = self.announcing.lacking() {
            return Err(problem(Reason::NoAnnounceAddress, format!("no address to announce yet: {lacking}")));
        }
        if !self.heartbeat.registered() {
            return Err(match self.heartbeat.last_error() {
                Some(error) => problem(Reason::DirectoryError, format!("not registered: {error}")),
                None => problem(Reason::NotRegistered, "not registered with the directory yet"),
            });
        }
        if self.shared.policy.rule() == Rule::Topology && self.shared.policy.listed() == 0 {
            return Err(problem(Reason::NoTopology, no_next_hop(&self.shared.listed.usable())));
        }
        Ok(())
    }

    fn status(&self) -> Status {
        let nofile = getrlimit(Resource::Nofile);
        Status {
            version: env!("CARGO_PKG_VERSION"),
            protocol_version: PROTOCOL_VERSION,
            identity_key: self.facts.identity_key.clone(),
            sphinx_key: self.facts.sphinx_key.clone(),
            layer: self.facts.layer,
            uptime_s: self.started.elapsed().as_secs(),
            ready: Answer::from(self.readiness()),
            live: Answer::from(self.liveness()),
            listen: self.facts.listen.clone(),
            announce: self.announcing.now().iter().map(AddressReport::from).collect(),
            directory: self.directory(),
            topology: self.topology(),
            workers: self.shared.pools.len(),
            engine: self.shared.keys.engine_kind().name(),
            limits: LimitsStatus {
                nofile_soft: nofile.current,
                nofile_hard: nofile.maximum,
                nofile_remedy: Remedy::here().to_string(),
                memory_bytes: self.facts.memory_bytes,
                connections_max: self.facts.connections_max,
            },
            replay: self.replay(),
            packets: self.windows.packets(),
        }
    }

    fn readings(&self) -> Vec<Reading> {
        let mut all = readings::of_windows(&self.windows.published());
        all.extend(self.of_node());
        all.extend(readings::of_losses(&self.losses));
        all.push(Reading::whole(&i::LOST, lost_lines()).with("signal", "logs").with("reason", "queue_full"));
        all
    }
}

fn no_next_hop(usable: &Usable) -> String {
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

fn problem(reason: Reason, message: impl Into<String>) -> Problem {
    Problem { reason, message: message.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_a_configured_address_must_be_free() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let listen = Some(taken.local_addr().unwrap());
        assert!(bind(&HttpConfig { listen, is_chosen: true }).is_err());
        assert!(bind(&HttpConfig { listen, is_chosen: false }).unwrap().is_none());
        assert!(bind(&HttpConfig { listen: None, is_chosen: true }).unwrap().is_none());
        let any = "127.0.0.1:0".parse().ok();
        let bound = bind(&HttpConfig { listen: any, is_chosen: true }).unwrap().unwrap();
        assert_ne!(bound.address().unwrap().port(), 0);
    }
}
