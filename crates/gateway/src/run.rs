//! A running gateway: composes its parts, starts them and stops them in order.

use std::net::{SocketAddr, TcpListener as StdListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use nym_mixnode_keys::{IdentityKeyPair, SecretKey};
use nym_mixnode_link::listener::{self, ConnectionLimits, Intake};
use nym_mixnode_link::shutdown::{Phase, PhaseControl, PhaseSignal, phases};
use nym_mixnode_mix::{Aging, NextHops, OutOfMemory, Policy, ReplayFilter, ReplayWindow, Rule};
use nym_mixnode_sphinx::{Engine, EngineKind, PacketSize};
use nym_mixnode_tls::Acceptor;
use nym_mixnode_wire::{BufferPool, Deadlines};
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, timeout};
use tracing::warn;

use crate::connected::Connected;
use crate::delivery::{self, Delivery};
use crate::mixing::{FinalHops, MixingCounters, Outbound, OutboundSettings};
use crate::server::{self, Server, ServerCounters, ServerTimes};
use crate::store::{Store, StoreBounds, StoreError};

/// Length of the queues between the parts. Full ones slow the mixes down, and drop packets of clients.
const QUEUE_MAX: usize = 1024;
/// Byte budget of packets that are not unwrapped yet.
const BUDGET_BYTES: usize = 32 << 20;
/// Interval of the search for old messages.
const EXPIRE_EVERY: Duration = Duration::from_secs(3600);

/// Interval of the checks of the replay filter's age.
const AGE_EVERY: Duration = Duration::from_secs(1);

/// What a gateway needs.
pub struct Settings {
    pub identity: Arc<IdentityKeyPair>,
    pub sphinx: SecretKey,
    /// The implementation that unwraps packets.
    pub engine: EngineKind,
    pub store: PathBuf,
    pub bounds: StoreBounds,
    pub replay: ReplayWindow,
    pub deadlines: Deadlines,
    /// Connections of mixes: in total, and per address.
    pub mix_connections: (usize, usize),
    /// Connections of clients: in total, and per address.
    pub client_connections: (usize, usize),
    pub times: ServerTimes,
    pub outbound: OutboundSettings,
    /// Where packets may go.
    pub rule: Rule,
    /// Seconds since 1970.
    pub now: fn() -> u64,
}

/// Why a gateway does not start.
#[derive(Debug, Error)]
pub enum StartError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Memory(#[from] OutOfMemory),
    #[error("cannot use a listening socket: {0}")]
    Socket(#[from] std::io::Error),
}

/// A running gateway. Dropping it ends its tasks without delivering what is in them.
pub struct Gateway {
    policy: Arc<Policy>,
    mixes: Arc<ConnectionLimits>,
    server: Arc<Server>,
    delivered: Arc<delivery::Counters>,
    mixing: Arc<MixingCounters>,
    control: PhaseControl,
    phase: PhaseSignal,
    tasks: JoinSet<()>,
}

impl Gateway {
    /// Starts on bound sockets, `mixes` for packets and `clients` for connections of clients.
    ///
    /// # Errors
    /// When the store cannot be opened, or memory for the replay filter is missing.
    pub async fn start(
        settings: Settings,
        mixes: Vec<StdListener>,
        clients: Vec<StdListener>,
    ) -> Result<Self, StartError> {
        let store = Arc::new(Store::open(&settings.store, &settings.sphinx, settings.bounds).await?);
        let replays = Arc::new(ReplayFilter::new(settings.replay)?);
        let policy = Arc::new(Policy::new(settings.rule));
        let (control, phase) = phases();
        let (connected, delivered) = (Arc::<Connected>::default(), Arc::<delivery::Counters>::default());
        let mixing = Arc::<MixingCounters>::default();
        let (packets, packets_end) = mpsc::channel(QUEUE_MAX);
        let (acks, acks_end) = mpsc::channel(QUEUE_MAX);
        let (arrivals, arrivals_end) = mpsc::channel(QUEUE_MAX);
        let (received, received_end) = mpsc::channel(QUEUE_MAX);
        let is_node: Arc<dyn Fn(SocketAddr) -> bool + Send + Sync> = {
            let policy = Arc::clone(&policy);
            Arc::new(move |address| policy.check(address, PacketSize::Regular).is_ok())
        };
        let mut tasks = JoinSet::new();
        let outbound = Outbound { policy: Arc::clone(&policy), settings: settings.outbound, phase: phase.clone() };
        tasks.spawn(outbound.run(packets_end, acks_end));
        let delivery = Delivery {
            store: Arc::clone(&store),
            connected: Arc::clone(&connected),
            acks,
            counters: Arc::clone(&delivered),
            now: settings.now,
        };
        tasks.spawn(delivery.run(arrivals_end));
        let hops = FinalHops {
            engine: Engine::of_kind(settings.engine, settings.sphinx.clone()),
            replays: Arc::clone(&replays),
            arrivals,
            is_node: Arc::clone(&is_node),
            counters: Arc::clone(&mixing),
        };
        tasks.spawn(hops.run(received_end));
        let intake = Intake::new(BufferPool::new(BUDGET_BYTES), received, settings.deadlines, Arc::default());
        let mix_limits = ConnectionLimits::new(settings.mix_connections.0, settings.mix_connections.1);
        listen_for_mixes(&mut tasks, mixes, &mix_limits, intake, &phase)?;
        let server = Arc::new(Server {
            identity: settings.identity,
            store: Arc::clone(&store),
            connected,
            is_node,
            packets,
            limits: ConnectionLimits::new(settings.client_connections.0, settings.client_connections.1),
            times: settings.times,
            counters: ServerCounters::default(),
            now: settings.now,
        });
        for listener in clients {
            let listener = TcpListener::from_std(listener)?;
            tasks.spawn(server::serve(Arc::clone(&server), listener, None, phase.clone()));
        }
        tasks.spawn(expire(store, settings.now, phase.clone()));
        tasks.spawn(age(replays, phase.clone()));
        Ok(Self { policy, mixes: mix_limits, server, delivered, mixing, control, phase, tasks })
    }

    /// Serves clients with TLS, too. All their connections share the limits.
    ///
    /// # Errors
    /// When a socket cannot be used.
    pub fn serve_tls(&mut self, clients: Vec<StdListener>, tls: &Acceptor) -> Result<(), StartError> {
        for listener in clients {
            let listener = TcpListener::from_std(listener)?;
            let server = Arc::clone(&self.server);
            self.tasks.spawn(server::serve(server, listener, Some(tls.clone()), self.phase.clone()));
        }
        Ok(())
    }

    /// Replaces the nodes to which packets may go.
    pub fn set_topology(&self, listed: NextHops) {
        self.nodes().set(listed);
    }

    /// The nodes to which packets may go.
    #[must_use]
    pub fn nodes(&self) -> Nodes {
        Nodes { policy: Arc::clone(&self.policy), mixes: Arc::clone(&self.mixes) }
    }

    /// Connections of mixes, and of clients.
    #[must_use]
    pub fn connections(&self) -> (Arc<ConnectionLimits>, Arc<ConnectionLimits>) {
        (Arc::clone(&self.mixes), Arc::clone(&self.server.limits))
    }

    /// Where packets may go.
    #[must_use]
    pub fn policy(&self) -> Arc<Policy> {
        Arc::clone(&self.policy)
    }

    /// Completes when a part of a gateway that is not stopping has ended, which is a fault. Cancel-safe.
    pub async fn next_end(&mut self) {
        self.tasks.join_next().await;
    }

    /// Number of present clients.
    #[must_use]
    pub fn connected(&self) -> usize {
        self.server.connected.count()
    }

    /// Messages from the mix network.
    #[must_use]
    pub fn delivered(&self) -> &delivery::Counters {
        &self.delivered
    }

    /// Packets that were not delivered.
    #[must_use]
    pub fn mixing(&self) -> &MixingCounters {
        &self.mixing
    }

    /// Stops: connections end, what is not delivered goes to inboxes, packets of clients leave until the deadline.
    pub async fn stop(self, deadline: Duration) {
        let Self { server, control, mut tasks, .. } = self;
        control.enter(Phase::Draining);
        // The senders of packets must end for the forwarder to end.
        drop(server);
        let ended = async { while tasks.join_next().await.is_some() {} };
        if timeout(deadline, ended).await.is_err() {
            control.enter(Phase::Aborting);
            while tasks.join_next().await.is_some() {}
        }
    }
}

/// Where packets may go. Connections from there have places of their own.
#[derive(Clone)]
pub struct Nodes {
    policy: Arc<Policy>,
    mixes: Arc<ConnectionLimits>,
}

impl Nodes {
    pub fn set(&self, listed: NextHops) {
        self.mixes.set_listed(listed.addresses().map(|address| address.ip()));
        self.policy.set_topology(listed);
    }
}

fn listen_for_mixes(
    tasks: &mut JoinSet<()>,
    listeners: Vec<StdListener>,
    limits: &Arc<ConnectionLimits>,
    intake: Intake,
    phase: &PhaseSignal,
) -> Result<(), StartError> {
    let (admitted, connections) = mpsc::channel(QUEUE_MAX);
    for listener in listeners {
        let listener = TcpListener::from_std(listener)?;
        let workers = vec![admitted.clone()];
        tasks.spawn(listener::accept(listener, Arc::clone(limits), workers, Arc::default(), phase.clone()));
    }
    let phase = phase.clone();
    tasks.spawn(listener::serve_all(connections, move |open, admitted| {
        open.spawn(listener::serve(admitted, intake.clone(), phase.clone()));
    }));
    Ok(())
}

/// Keeps the replay filter to its window when few packets arrive.
async fn age(replays: Arc<ReplayFilter>, mut phase: PhaseSignal) {
    let mut aging = Aging::new(&replays, Instant::now().into_std());
    let mut ticks = interval(AGE_EVERY);
    loop {
        tokio::select! {
            () = phase.reached(Phase::Draining) => return,
            _ = ticks.tick() => aging.look(&replays, Instant::now().into_std()),
        }
    }
}

async fn expire(store: Arc<Store>, now: fn() -> u64, mut phase: PhaseSignal) {
    let mut ticks = interval(EXPIRE_EVERY);
    loop {
        tokio::select! {
            () = phase.reached(Phase::Draining) => return,
            _ = ticks.tick() => {}
        }
        if let Err(error) = store.expire(now()).await {
            warn!(%error, "Cannot remove old messages from inboxes");
        }
    }
}
