//! Interfaces for the operator of a running gateway. Nothing here depends on a packet or a message, and of connections only how
//! often a limit was reached: in closed windows, rounded up, as of a mix.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use nym_mixnode_address::{AddressReport, Announcing};
use nym_mixnode_api::PROTOCOL_VERSION;
use nym_mixnode_base::redact::redacted;
use nym_mixnode_config::Config;
use nym_mixnode_directory::HeartbeatState;
use nym_mixnode_gateway::run::Gateway;
use nym_mixnode_keys::NodeKeys;
use nym_mixnode_link::listener::ConnectionLimits;
use nym_mixnode_mix::{Policy, ReplayWindow, Rule};
use nym_mixnode_sphinx::EngineKind;
use nym_mixnode_telemetry::http::{Answer, HttpServer, Problem, Reason, ReplayStatus, Status, StatusSource};
use nym_mixnode_telemetry::instruments::{self as i, Limit};
use nym_mixnode_telemetry::log::lost_lines;
use nym_mixnode_telemetry::otel::Telemetry;
use nym_mixnode_telemetry::readings::{self, Reading};
use nym_mixnode_telemetry::window::{Counts, Published, Sample, Windows, wall_clock};
use tokio::task::JoinSet;
use tracing::info;

use crate::node::listed::ListedNodes;
use crate::node::vitals::{self, Vitals, notify_manager, problem, summary};
use crate::systemd::{Notice, ServiceManager};

/// The status line of a gateway that is ready.
const WORKING: &str = "serving clients, and listed by the directory";

/// The tasks that serve the operator. Dropping it ends them.
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
        tasks.spawn(async move { match windows.keep_windows(wall_clock).await {} });
        let address = http.as_ref().and_then(HttpServer::address);
        if let (Some(server), Some(address)) = (http, address) {
            info!("Serving the status at http://{address}/status");
            tasks.spawn(server.serve(Arc::clone(&view) as Arc<dyn StatusSource>));
        }
        if let Some(manager) = &manager {
            manager.notify(Notice::Ready(&summary(&*view, WORKING)));
            tasks.spawn(notify_manager(Arc::clone(manager), Arc::clone(&view), WORKING));
        }
        Self { view, http: address, manager, _tasks: tasks }
    }

    /// The bound HTTP address.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        self.http
    }

    /// Marks the beginning of the drain: the current window ends after it.
    pub(super) fn draining(&self) {
        self.view.windows.begin_last(wall_clock());
    }

    /// Ends the last window after the drain, and returns the final metrics.
    pub(super) fn drained(&self) -> Vec<Reading> {
        if let Some(published) = self.view.windows.end_last(self.view.count()) {
            self.view.export(&published);
        }
        self.view.readings()
    }

    /// Marks the gateway as not ready: the first step of the shutdown.
    pub(super) fn stopping(&self) {
        self.view.vitals.stop();
        if let Some(manager) = &self.manager {
            manager.notify(Notice::Stopping(&summary(&*self.view, WORKING)));
        }
    }
}

/// Data for the endpoints.
pub(super) struct View {
    heartbeat: HeartbeatState,
    announcing: Arc<Announcing>,
    policy: Arc<Policy>,
    listed: Arc<ListedNodes>,
    /// Connections of mixes, and of clients.
    connections: (Arc<ConnectionLimits>, Arc<ConnectionLimits>),
    windows: Windows,
    telemetry: Telemetry,
    vitals: Vitals,
    identity_key: String,
    sphinx_key: String,
    listen: Vec<AddressReport>,
    directory: String,
    memory_bytes: usize,
    replay: ReplayWindow,
    engine: EngineKind,
}

impl View {
    pub(super) fn new(
        config: &Config,
        keys: &NodeKeys,
        heartbeat: &HeartbeatState,
        announcing: &Arc<Announcing>,
        (gateway, engine): (&Gateway, EngineKind),
        listed: &Arc<ListedNodes>,
        telemetry: Telemetry,
    ) -> Self {
        Self {
            heartbeat: heartbeat.clone(),
            announcing: Arc::clone(announcing),
            policy: gateway.policy(),
            listed: Arc::clone(listed),
            connections: gateway.connections(),
            windows: Windows::new(config.telemetry.window, 1),
            telemetry,
            vitals: Vitals::new(),
            identity_key: keys.identity_public.clone(),
            sphinx_key: keys.sphinx.public_base58(),
            listen: config.listen.addresses.iter().map(AddressReport::from).collect(),
            directory: redacted(&config.directory.url),
            memory_bytes: config.mix.memory_bytes,
            replay: config.replay.window,
            engine,
        }
    }

    /// Ends windows by the clock `now` while polled.
    async fn keep_windows(&self, now: impl Fn() -> Duration) -> Infallible {
        self.windows.run(now, || self.count(), |published| self.export(published)).await
    }

    /// How often the limits on connections were reached, exactly.
    fn count(&self) -> Sample {
        let (mixes, clients) = (self.connections.0.reached(), self.connections.1.reached());
        let counts = [
            (Limit::Connections, mixes.total),
            (Limit::ConnectionsPerAddress, mixes.per_address),
            (Limit::Clients, clients.total),
            (Limit::ClientsPerAddress, clients.per_address),
        ];
        let reached = counts.into_iter().filter(|(_, count)| *count > 0);
        let limits = reached.map(|(limit, count)| (limit.label().to_owned(), count)).collect();
        Sample { counts: Counts { limits, ..Counts::default() }, ..Sample::default() }
    }

    /// Passes a completed window to the log and the exporter.
    fn export(&self, published: &Published) {
        if let Some(window) = &published.packets.window {
            vitals::warn_of_limits(window);
            self.telemetry.metrics(self.readings());
        }
    }
}

impl StatusSource for View {
    fn liveness(&self) -> Result<(), Problem> {
        Ok(())
    }

    fn readiness(&self) -> Result<(), Problem> {
        self.vitals.running()?;
        vitals::listed(&self.announcing, &self.heartbeat)?;
        if self.policy.rule() == Rule::Topology && self.policy.listed() == 0 {
            return Err(problem(Reason::NoTopology, vitals::no_next_hop(&self.listed.usable())));
        }
        Ok(())
    }

    fn status(&self) -> Status {
        Status {
            version: env!("CARGO_PKG_VERSION"),
            protocol_version: PROTOCOL_VERSION,
            identity_key: self.identity_key.clone(),
            sphinx_key: self.sphinx_key.clone(),
            layer: None,
            uptime_s: self.vitals.uptime().as_secs(),
            ready: Answer::from(self.readiness()),
            live: Answer::from(self.liveness()),
            listen: self.listen.clone(),
            announce: self.announcing.now().iter().map(AddressReport::from).collect(),
            directory: vitals::directory(self.directory.clone(), &self.heartbeat),
            topology: vitals::topology(&self.heartbeat, &self.listed.usable()),
            workers: 1,
            engine: self.engine.name(),
            limits: vitals::limits(self.memory_bytes, self.connections.0.total_max(), &self.windows.packets()),
            replay: ReplayStatus {
                window_s: self.replay.length.as_secs(),
                expected_rate: self.replay.expected_rate,
                memory_bytes: self.replay.memory_bytes(),
                early_ends: 0,
            },
            packets: None,
        }
    }

    fn readings(&self) -> Vec<Reading> {
        let mut all = self.vitals.readings(&self.heartbeat, self.readiness().is_ok(), self.liveness().is_ok());
        all.extend(vitals::of_topology(&self.heartbeat, &self.listed.usable()));
        all.extend(readings::of_limits(&self.windows.packets().total, &Limit::OF_GATEWAY));
        all.push(Reading::time(&i::WINDOW, self.windows.length()));
        all.extend(readings::of_losses(&self.telemetry.losses()));
        all.push(Reading::whole(&i::LOST, lost_lines()).with("signal", "logs").with("reason", "queue_full"));
        all
    }
}
