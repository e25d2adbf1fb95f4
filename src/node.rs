//! The node: connects the packet modules with bounded queues, and starts and stops them in order.

pub mod gateway;
mod host_names;
mod key_ring;
mod listed;
#[cfg(test)]
mod non_interference;
mod operator;
mod pulse;
mod state;
mod traced_directory;
mod view;
mod vitals;
mod worker;
mod worker_threads;

use std::convert::Infallible;
use std::future::pending;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use nym_mixnode_address::{AnnounceAddr, AnnounceWatch, Announcing, Detector, watch};
use nym_mixnode_api::{MixRegistration, PROTOCOL_VERSION, Topology};
use nym_mixnode_base::exit::Exit;
use nym_mixnode_base::open_files::{Remedy, Shares};
use nym_mixnode_base::redact::redacted;
use nym_mixnode_config::{Config, ConnectionsConfig};
use nym_mixnode_directory::{
    Announcement, Client, ClientLimits, DirectoryError, Heartbeat, HeartbeatSettings, Signer, is_retired,
};
use nym_mixnode_gateway::run::StartError;
use nym_mixnode_gateway::store::StoreError;
use nym_mixnode_keys::NodeKeys;
use nym_mixnode_link::listener::{self, BindError, ConnectionLimits};
use nym_mixnode_link::shutdown::{Phase, PhaseControl, phases};
use nym_mixnode_mix::{NextHops, OutOfMemory, Policy, Rule};
use nym_mixnode_net::{BindAddr, Reach, interface_addresses};
use nym_mixnode_sphinx::{EngineChoice, EngineKind, SelfCheckError, UnsupportedEngine, self_check};
use nym_mixnode_telemetry::http;
use nym_mixnode_telemetry::otel::Telemetry;
use nym_mixnode_tls::TlsError;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep, timeout};
use tracing::{info, warn};
use url::Url;

use crate::systemd::ServiceManager;
use key_ring::KeyRing;
use operator::Operator;
use state::Shared;
use traced_directory::TracedDirectory;
use view::View;
use worker::{Rules, Settings, WorkerChannels};
use worker_threads::WorkerThreads;

pub use state::NodeStatus;

/// Interval of status reports to the supervisor, and of checks of the replay filter's age.
const STATUS_EVERY: Duration = Duration::from_secs(1);
/// Interval of checks for changed interface addresses.
const OWN_ADDRESSES_EVERY: Duration = Duration::from_secs(10);
/// Maximum time for workers to drop their packets. Usually some milliseconds, unless a worker hangs.
const ABORT_MAX: Duration = Duration::from_secs(2);

/// Events that a node under `--supervised` writes to standard output as JSON, one per line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum SupervisorEvent {
    /// The node listens and mixes. It may not be registered yet.
    Ready {
        /// The counters at that moment.
        status: NodeStatus,
        /// The bound HTTP address, with the actual port if port 0 was configured.
        #[serde(default)]
        http: Option<SocketAddr>,
    },
    /// Sent every second.
    Status {
        /// The counters at that moment.
        status: NodeStatus,
    },
    /// The last event: the node is drained, and the process exits.
    Stopped {
        /// The final counters.
        status: NodeStatus,
    },
}

/// Inputs of a node besides its configuration.
#[derive(Debug, Clone, Default)]
pub struct RunOptions {
    /// File for the last valid topology, which is not stored for `None`.
    pub last_good: Option<PathBuf>,
    /// Service manager to notify of start, status and stop, if any.
    pub service_manager: Option<Arc<ServiceManager>>,
    /// Watches detected announce addresses for changes; `None` when they are configured.
    pub announce: Option<AnnounceWatch>,
    /// Exporter of spans and metrics.
    pub telemetry: Telemetry,
}

/// Errors that stop a node.
#[derive(Debug, Error)]
pub enum NodeError {
    /// This CPU cannot run the configured engine.
    #[error("{0}; set unwrap.engine to auto or portable")]
    Engine(#[from] UnsupportedEngine),
    /// The engine computes wrong results on this machine.
    #[error(transparent)]
    SelfCheck(#[from] SelfCheckError),
    /// There is not enough memory for the replay filter.
    #[error(transparent)]
    ReplayMemory(#[from] OutOfMemory),
    /// A bind address cannot be used.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The HTTP address cannot be bound.
    #[error(transparent)]
    Http(#[from] http::BindError),
    /// The directory rejects this node, or its client cannot be created.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// The system refused a thread or an event queue.
    #[error("cannot start a worker: {0}; look at the limits on threads and open files")]
    Worker(#[source] io::Error),
    /// The store or the sockets of a gateway.
    #[error(transparent)]
    Gateway(#[from] StartError),
    /// The certificate of a gateway.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A worker panicked. The node stops, because it must not run with missing parts.
    #[error("a worker failed; this is a bug: please report it with the message in the log above")]
    WorkerFailed,
    /// A worker did not end after it had to drop its packets.
    #[error("a worker did not stop, and its packets are lost; this is a bug: please report it")]
    WorkerHangs,
}

impl NodeError {
    /// The process's exit code (sysexits).
    #[must_use]
    pub fn exit_code(&self) -> Exit {
        match self {
            Self::Engine(_) => Exit::CONFIG,
            Self::SelfCheck(_) | Self::WorkerFailed | Self::WorkerHangs => Exit::INTERNAL,
            Self::Bind(BindError::Forbidden(_)) => Exit::PERMISSION,
            Self::Http(error) if error.source.kind() == io::ErrorKind::PermissionDenied => Exit::PERMISSION,
            Self::Bind(_) | Self::Http(_) => Exit::UNAVAILABLE,
            Self::Directory(error) => error.exit_code(),
            Self::Tls(error) => error.exit_code(),
            Self::Gateway(StartError::Store(StoreError::Undecipherable)) => Exit::DATA,
            Self::Gateway(StartError::Store(_)) => Exit::IO,
            Self::Worker(_) | Self::ReplayMemory(_) | Self::Gateway(StartError::Memory(_) | StartError::Socket(_)) => {
                Exit::NO_RESOURCES
            }
        }
    }
}

/// Runs a node until `stop` completes, then stops it in order: unregister, linger, drain.
///
/// Calls `report` with [`SupervisorEvent::Ready`] once, `Status` each second, and `Stopped` at the end.
///
/// # Errors
/// When the self-check of the cryptography fails, an address cannot be bound, the directory rejects the node, or a
/// worker fails. The node registers only after all addresses are bound.
pub async fn run(
    config: Config,
    keys: NodeKeys,
    options: RunOptions,
    stop: impl Future<Output = ()>,
    mut report: impl FnMut(SupervisorEvent),
) -> Result<(), NodeError> {
    info!("Starting nym mixnode");
    let mut node = Node::start(&config, &keys)?;
    let shared = Arc::clone(&node.shared);
    let http = operator::bind(&config.http)?;
    info!("Starting metrics reporter...");
    let (announce, manager) = (options.announce.clone(), options.service_manager.clone());
    let announcing = Arc::new(Announcing::new(config.announce.addresses.clone(), announce.as_ref()));
    let telemetry = options.telemetry.clone();
    let heartbeat = heartbeat_of(&config, &keys, registration(&config, &keys), options)?;
    let allow = |topology: &Topology| shared.allow(topology);
    if let Some(topology) = heartbeat.load_last_good() {
        allow(&topology);
    }
    info!("Starting presence notifier...");
    info!("Listening for packets, not registered yet");
    warn_of_retired_network(&config.directory.url);
    let view = View::new(&config, &keys, &shared, heartbeat.state(), Arc::clone(&announcing), telemetry.clone());
    view.begin();
    let operator = Operator::start(view, http, manager);
    let is_registered = || heartbeat.state().registered();
    report(SupervisorEvent::Ready { status: shared.status(is_registered()), http: operator.address() });

    let life = async {
        let beat = async {
            // Register only with an address that peers can reach.
            announcing.begun().await;
            heartbeat.run(|| shared.listener.received(), allow).await
        };
        let finished = async {
            heartbeat.state().until_registered().await;
            info!("Finished nym mixnode startup procedure - it should now be able to receive mix traffic!");
            pending::<Infallible>().await
        };
        let detect = async |detector: &Detector| telemetry.detect(detector.detect()).await;
        let mut ended = tokio::select! {
            biased;
            () = stop => Ok(()),
            () = node.worker_threads.next_end() => Err(NodeError::WorkerFailed),
            never = finished => match never {},
            fatal = beat => fatal.map(|never: Infallible| match never {}).map_err(NodeError::from),
            never = shared.listed.follow_names(|next_hops| shared.allow_listed(next_hops)) => match never {},
            never = watch(announce, &announcing, &shared.announce_changes, detect, |addresses| {
                shared.refuse_own(&config, addresses);
                heartbeat.change_registration(|registration| announce_at(registration, addresses));
            }) => match never {},
            never = refuse_own_addresses(&config, &shared, &announcing) => match never {},
        };
        operator.stopping();
        // A failed node unregisters too, but does not linger.
        let unregistered = heartbeat.unregister().await;
        if unregistered && ended.is_ok() {
            ended = node.linger(config.shutdown.linger).await;
        }
        operator.draining();
        let drained = node.drain(config.shutdown.drain_deadline).await;
        telemetry.stop(operator.drained()).await;
        ended.and(drained)
    };
    let report_status = || report(SupervisorEvent::Status { status: shared.status(is_registered()) });
    let ended = tokio::select! {
        biased;
        ended = Box::pin(life) => ended,
        never = shared.tick(report_status) => match never {},
    };
    report(SupervisorEvent::Stopped { status: shared.status(false) });
    ended
}

/// Updates the addresses of this machine's interfaces, which must not be next hops.
async fn refuse_own_addresses(config: &Config, shared: &Shared, announcing: &Announcing) -> Infallible {
    loop {
        sleep(OWN_ADDRESSES_EVERY).await;
        let announced: Vec<_> = announcing.now().iter().map(|announced| announced.address).collect();
        shared.refuse_own(config, &announced);
    }
}

/// Warns that a node in the retired public network has no clients.
fn warn_of_retired_network(directory: &Url) {
    if is_retired(directory) {
        warn!(
            directory = redacted(directory),
            "the public Nym 0.9 network is gone and no client will learn of this node: start a directory with \
             `nym-mixnode registry`, and set directory.url (--validator) to its URL"
        );
    }
}

/// A node that listens and mixes, whether or not a directory knows of it.
struct Node {
    shared: Arc<Shared>,
    worker_threads: WorkerThreads,
    acceptors: JoinSet<()>,
    control: PhaseControl,
}

impl Node {
    fn start(config: &Config, keys: &NodeKeys) -> Result<Self, NodeError> {
        let engine = checked_engine(config.unwrap.engine)?;
        let sockets = bind_all(&config.listen.bind_addresses())?;
        let workers = match config.mix.workers {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            workers => workers,
        };
        let descriptors = Shares::here(workers, config.forward.limits.next_hops_max.saturating_mul(workers));
        let next_hops_max = descriptors.next_hops / workers;
        let limits = connection_limits(&config.connections, descriptors);
        let policy = Policy::new(config.forward.policy);
        let reach = Reach::new(config.announce.detection.allow_private, listen_ips(config));
        let shared =
            Shared::new(workers, config.mix.memory_bytes, limits, policy, reach, key_ring(config, keys, engine)?);
        let announced = config.announce.addresses.iter().map(|announced| announced.address);
        shared.refuse_own(config, &announced.collect::<Vec<_>>());
        let (control, phase) = phases();
        info!("Starting packet forwarder...");
        let (connections, workers) =
            WorkerChannels::new(workers).into_workers(|| settings_within(config, next_hops_max), &shared, &phase);
        let workers = workers.into_iter().map(|worker| move || worker.run()).collect();
        let worker_threads = WorkerThreads::start(workers).map_err(NodeError::Worker)?;
        info!("Starting socket listener...");
        let mut acceptors = JoinSet::new();
        for socket in sockets {
            let listener = TcpListener::from_std(socket).map_err(NodeError::Worker)?;
            let counters = Arc::clone(&shared.listener);
            let limits = Arc::clone(&shared.connections);
            acceptors.spawn(listener::accept(listener, limits, connections.clone(), counters, phase.clone()));
        }
        Ok(Self { shared, worker_threads, acceptors, control })
    }

    /// Continues to mix for clients that still use the old topology, unless a worker fails.
    async fn linger(&mut self, linger: Duration) -> Result<(), NodeError> {
        info!(seconds = linger.as_secs_f64(), "mixing on while clients still use the old topology");
        tokio::select! {
            biased;
            // Includes a failure since the stop began.
            () = self.worker_threads.next_end() => Err(NodeError::WorkerFailed),
            () = sleep(linger) => Ok(()),
        }
    }

    /// Stops accepting, sends pooled packets when they are due, and drops the rest after `deadline`.
    async fn drain(mut self, deadline: Duration) -> Result<(), NodeError> {
        info!("draining: packets in the pool leave when they are due");
        self.control.enter(Phase::Draining);
        if timeout(deadline, self.all_ended()).await.is_err() {
            warn!(seconds = deadline.as_secs_f64(), "the drain took too long: dropping the remaining packets");
            self.control.enter(Phase::Aborting);
            if timeout(ABORT_MAX, self.all_ended()).await.is_err() {
                return Err(NodeError::WorkerHangs);
            }
        }
        let all_succeeded = self.worker_threads.join();
        info!("stopped");
        if all_succeeded { Ok(()) } else { Err(NodeError::WorkerFailed) }
    }

    /// Waits for acceptors and workers. The end of the acceptors closes the workers' channels, stage by stage.
    async fn all_ended(&mut self) {
        while self.acceptors.join_next().await.is_some() {}
        self.worker_threads.all_ended().await;
    }
}

fn bind_all(addresses: &[BindAddr]) -> Result<Vec<std::net::TcpListener>, BindError> {
    addresses.iter().filter_map(|address| listener::bind(*address, addresses).transpose()).collect()
}

fn listen_ips(config: &Config) -> impl Iterator<Item = IpAddr> {
    config.listen.bind_addresses().into_iter().map(|address| address.get().ip())
}

/// The engine to run, after a check of its results: portable if those of the chosen one are wrong.
fn checked_engine(choice: EngineChoice) -> Result<EngineKind, NodeError> {
    let mut engine = choice.resolve()?;
    if let Err(error) = self_check(engine) {
        if engine == EngineKind::PORTABLE {
            return Err(error.into());
        }
        warn!(engine = engine.name(), %error, "unwrapping with the portable engine, which is slower");
        engine = EngineKind::PORTABLE;
        self_check(engine)?;
    }
    info!(engine = engine.name(), "unwrap engine");
    Ok(engine)
}

fn key_ring(config: &Config, keys: &NodeKeys, engine: EngineKind) -> Result<KeyRing, OutOfMemory> {
    let window = config.replay.window;
    let ring = KeyRing::new(keys.sphinx.secret().clone(), engine, window, Instant::now().into_std())?;
    info!(
        memory_mib = window.memory_bytes() >> 20,
        window_s = window.length.as_secs(),
        expected_rate = window.expected_rate,
        "replay filter"
    );
    Ok(ring)
}

/// The limits of the configuration, or lower ones where the limit on open files requires it. One address gets at most
/// half of those.
fn connection_limits(config: &ConnectionsConfig, descriptors: Shares) -> Arc<ConnectionLimits> {
    let (total, per_address) = (config.total_max, config.per_address_max);
    if total <= descriptors.incoming {
        return ConnectionLimits::new(total, per_address);
    }
    let per_address = per_address.min((descriptors.incoming / 2).max(1));
    warn!(
        connections_max = descriptors.incoming,
        per_address_max = per_address,
        configured = total,
        "fewer incoming connections than connections.total_max, because of the limit on open files: {}",
        Remedy::here()
    );
    ConnectionLimits::new(descriptors.incoming, per_address)
}

/// Settings of a worker that has descriptors for this many next hops.
fn settings_within(config: &Config, next_hops_max: usize) -> Settings {
    let mut settings = worker_settings(config);
    settings.forwarder.next_hops_max = settings.forwarder.next_hops_max.min(next_hops_max);
    settings
}

fn worker_settings(config: &Config) -> Settings {
    Settings {
        deadlines: config.connections.deadlines,
        forwarder: config.forward.limits.clone(),
        rules: Rules { sizes: config.mix.packet_sizes, delay_max: config.mix.delay_max },
        release_interval: config.mix.release_interval,
    }
}

fn registration(config: &Config, keys: &NodeKeys) -> MixRegistration {
    let mut registration = MixRegistration {
        mix_host: String::new(),
        mix_hosts: Vec::new(),
        identity_key: keys.identity_public.clone(),
        sphinx_key: keys.sphinx.public_base58(),
        version: PROTOCOL_VERSION.to_owned(),
        location: config.node.location.clone(),
        incentives_address: config.node.incentives_address.clone(),
        layer: config.node.layer,
        proof: None,
    };
    let announced: Vec<_> = config.announce.addresses.iter().map(|announced| announced.address).collect();
    announce_at(&mut registration, &announced);
    registration
}

/// Sets the announced addresses. Old directories read only the first, so the list is set only for several addresses.
fn announce_at(registration: &mut MixRegistration, addresses: &[AnnounceAddr]) {
    let hosts: Vec<String> = addresses.iter().map(AnnounceAddr::to_string).collect();
    registration.mix_host = hosts.first().cloned().unwrap_or_default();
    registration.mix_hosts = if hosts.len() > 1 { hosts } else { Vec::new() };
}

/// What registers a node or a gateway with its directory, which proves its identity there.
fn heartbeat_of<A: Announcement>(
    config: &Config,
    keys: &NodeKeys,
    registration: A,
    options: RunOptions,
) -> Result<Heartbeat<TracedDirectory<Client>, A>, NodeError> {
    let client = Client::of(&config.directory, ClientLimits::default())?;
    let client = TracedDirectory::new(client, options.telemetry.clone());
    let signer = Signer::of_config(keys, &config.directory)?;
    Ok(Heartbeat::new(client, registration, heartbeat_settings(config, options)).signed_by(signer))
}

fn heartbeat_settings(config: &Config, options: RunOptions) -> HeartbeatSettings {
    HeartbeatSettings {
        topology_refresh: config.directory.topology_refresh,
        last_good: options.last_good,
        listen: config.listen.bind_addresses().into_iter().map(BindAddr::get).collect(),
        force: config.directory.take_over,
        ..HeartbeatSettings::default()
    }
}

impl Shared {
    /// Replaces the allowed next hops by the addresses of a topology.
    fn allow(&self, topology: &Topology) {
        self.allow_listed(self.listed.take(topology));
    }

    fn allow_listed(&self, next_hops: NextHops) {
        self.descriptors.check(next_hops.len());
        self.connections.set_listed(next_hops.addresses().map(|address| address.ip()));
        self.policy.set_topology(next_hops);
    }

    /// Rejects this node's own addresses as next hops under the policy `public`.
    fn refuse_own(&self, config: &Config, announced: &[AnnounceAddr]) {
        if self.policy.rule() == Rule::Public {
            let bound = config.listen.bind_addresses().into_iter().map(BindAddr::get);
            let listed = bound.chain(announced.iter().map(|address| address.get())).map(|address| address.ip());
            self.policy.set_own(listed.chain(interface_addresses()));
        }
    }

    /// Runs the periodic work from the start to the end of the drain.
    async fn tick(&self, mut each_second: impl FnMut()) -> Infallible {
        let mut second = interval_at(Instant::now() + STATUS_EVERY, STATUS_EVERY);
        second.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut age = self.keys.aging();
        loop {
            second.tick().await;
            age(Instant::now().into_std());
            each_second();
        }
    }
}

#[cfg(test)]
mod tests;
