//! One worker: a thread with connections, an unwrap engine, a pool, and the next hops it owns.
//!
//! A packet is unwrapped where its connection lives and pooled where its next hop lives. So what comes in on the
//! connections of one worker leaves through all of them, and the number of workers divides nobody's anonymity set.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use nym_mixnode_link::forwarder::Forwarder;
use nym_mixnode_link::listener::{self, Admitted, Deadlines, Intake};
use nym_mixnode_link::shutdown::{Phase, PhaseSignal};
use nym_mixnode_mix as mix;
use nym_mixnode_mix::{DropReason, Received, Scheduled};
use nym_mixnode_sphinx::{Engine, Onward, Outcome, PacketSize, PacketSizes};
use nym_mixnode_telemetry::process::cpu_of_thread;
use nym_mixnode_wire::PacketBuf;
use tokio::sync::mpsc;
use tokio::task::{JoinSet, LocalSet, yield_now};

use super::state::Shared;

/// Packets unwrapped at one go: enough for engines that work side by side, and short enough (some 1.5 ms on the
/// slowest engine) for the pool to keep its times.
const BATCH_MAX: usize = 32;
/// Packets between a worker's connections and its engine. Full means that reading stops.
const INBOX_MAX: usize = 128;
/// Packets between engines and a pool. Full means that unwrapping stops; pools always take in.
const HANDOVER_MAX: usize = 1024;
/// Connections dealt to a worker and not yet taken up.
const CONNECTIONS_MAX: usize = 64;

/// What a worker is given besides the shared state.
pub(super) struct Settings {
    pub(super) deadlines: Deadlines,
    pub(super) forwarder: nym_mixnode_link::forwarder::Settings,
    pub(super) rules: Rules,
}

/// Which packets the node mixes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    pub(super) sizes: PacketSizes,
    pub(super) delay_max: Duration,
}

/// Channel endpoints of each worker.
pub(super) struct WorkerChannels {
    pub(super) connections: Vec<mpsc::Sender<Admitted>>,
    handovers: Vec<mpsc::Sender<Scheduled>>,
    receivers: Vec<(mpsc::Receiver<Admitted>, mpsc::Receiver<Scheduled>)>,
}

impl WorkerChannels {
    pub(super) fn new(workers: usize) -> Self {
        let (connections, connection_ends): (Vec<_>, Vec<_>) =
            (0..workers).map(|_| mpsc::channel(CONNECTIONS_MAX)).unzip();
        let (handovers, handover_ends): (Vec<_>, Vec<_>) = (0..workers).map(|_| mpsc::channel(HANDOVER_MAX)).unzip();
        Self { connections, handovers, receivers: connection_ends.into_iter().zip(handover_ends).collect() }
    }

    /// Makes the workers; whoever runs them must drop `connections` for them to end.
    pub(super) fn into_workers(
        self,
        engine: impl Fn() -> Engine,
        settings: impl Fn() -> Settings,
        shared: &Arc<Shared>,
        phase: &PhaseSignal,
    ) -> (Vec<mpsc::Sender<Admitted>>, Vec<Worker>) {
        let owners = Owners { handovers: self.handovers, hasher: Arc::new(RandomState::new()) };
        let workers = self.receivers.into_iter().enumerate().map(|(number, (connections, handover))| Worker {
            number,
            connections,
            handover,
            owners: owners.clone(),
            engine: engine(),
            settings: settings(),
            shared: Arc::clone(shared),
            phase: phase.clone(),
        });
        (self.connections, workers.collect())
    }
}

/// Which worker owns a next hop. The hash is keyed anew at each start: nobody can choose who shares a worker.
#[derive(Clone)]
struct Owners {
    handovers: Vec<mpsc::Sender<Scheduled>>,
    hasher: Arc<RandomState>,
}

impl Owners {
    fn of(&self, next_hop: SocketAddr) -> usize {
        let share = self.hasher.hash_one(next_hop) % self.handovers.len() as u64;
        usize::try_from(share).unwrap_or_default()
    }
}

/// A worker that has not started yet.
pub(super) struct Worker {
    pub(super) number: usize,
    connections: mpsc::Receiver<Admitted>,
    handover: mpsc::Receiver<Scheduled>,
    owners: Owners,
    engine: Engine,
    settings: Settings,
    shared: Arc<Shared>,
    phase: PhaseSignal,
}

impl Worker {
    /// Runs on the calling thread until the connections are gone and the pool is empty.
    pub(super) fn run(self) -> std::io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            // Look at sockets and timers after every few tasks: a batch is long for a runtime.
            .event_interval(4)
            .build()?;
        let (number, shared) = (self.number, Arc::clone(&self.shared));
        shared.runtimes.lock().unwrap_or_else(PoisonError::into_inner).push(runtime.metrics());
        LocalSet::new().block_on(&runtime, shared.pulses.accompany(number, self.serve()));
        Ok(())
    }

    async fn serve(self) {
        let (counters, drops) = (Arc::clone(&self.shared.forwarder), Arc::clone(&self.shared.drops));
        let mut forwarder = Forwarder::new(self.settings.forwarder.clone(), counters, drops, self.phase.clone());
        self.mix(serve_connections, |scheduled| forwarder.send(scheduled)).await;
        forwarder.drain().await;
    }

    /// All that lies between the sockets: `arrive` brings packets in, `release` takes them when they are due.
    ///
    /// The stages end one after another, each when the one before it has closed its queue.
    pub(super) async fn mix<A: Future<Output = ()>>(
        self,
        arrive: impl FnOnce(mpsc::Receiver<Admitted>, Intake, PhaseSignal) -> A,
        mut release: impl FnMut(Scheduled),
    ) {
        let Self { number, connections, handover, owners, engine, settings, shared, phase } = self;
        let (inbox, received) = mpsc::channel(INBOX_MAX);
        let intake = Intake::new(Arc::clone(&shared.buffers), inbox, settings.deadlines, Arc::clone(&shared.listener));
        let release = |mut scheduled: Scheduled| {
            shared.count_delayed();
            // Only now: a next hop whose version has changed meanwhile must not show when a packet arrived.
            match scheduled.packet.frame_for(shared.policy.framing(scheduled.next_hop)) {
                Ok(()) => release(scheduled),
                Err(unknown) => shared.drops.count(unknown.into()),
            }
        };
        let pool = nym_mixnode_link::drive(handover, release, &shared.drops, &shared.pools[number], phase.clone());
        let unwrap = unwrap_all(received, engine, owners, settings.rules, &shared, phase.clone());
        tokio::join!(arrive(connections, intake, phase), unwrap, pool);
    }
}

async fn serve_connections(mut connections: mpsc::Receiver<Admitted>, intake: Intake, phase: PhaseSignal) {
    let mut open = JoinSet::new();
    loop {
        tokio::select! {
            admitted = connections.recv() => match admitted {
                Some(Admitted { stream, permit }) => {
                    open.spawn_local(listener::serve(stream, permit, intake.clone(), phase.clone()));
                }
                None => break,
            },
            Some(ended) = open.join_next() => propagate_panic(ended),
        }
    }
    while let Some(ended) = open.join_next().await {
        propagate_panic(ended);
    }
}

/// A panic in a task ends the worker, and with it the node: a node that has lost a part of itself must not go on.
fn propagate_panic(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        std::panic::resume_unwind(error.into_panic());
    }
}

async fn unwrap_all(
    mut received: mpsc::Receiver<Received>,
    mut engine: Engine,
    owners: Owners,
    rules: Rules,
    shared: &Shared,
    phase: PhaseSignal,
) {
    let mut batch = Vec::with_capacity(BATCH_MAX);
    let mut packets = Vec::with_capacity(BATCH_MAX);
    let mut arrivals = Vec::with_capacity(BATCH_MAX);
    let mut outcomes = Vec::with_capacity(BATCH_MAX);
    while received.recv_many(&mut batch, BATCH_MAX).await > 0 {
        if phase.has_reached(Phase::Aborting) {
            batch.drain(..).for_each(|_| shared.drops.count(DropReason::Shutdown));
            continue;
        }
        let count = batch.len();
        for Received { packet, at } in batch.drain(..) {
            if rules.sizes.contains(packet.size()) {
                packets.push(packet);
                arrivals.push(at);
            } else {
                shared.drops.count(DropReason::SizeRefused);
            }
        }
        let cpu_before = cpu_of_thread();
        engine.unwrap_batch(&mut packets, &mut outcomes, |onward| rules.admit(onward, shared));
        shared.count_unwrapped(count, cpu_of_thread().saturating_sub(cpu_before));
        for ((packet, at), outcome) in packets.drain(..).zip(arrivals.drain(..)).zip(&outcomes) {
            match outcome {
                Outcome::Forward { next_hop, delay } => {
                    hand_over(&owners, schedule(packet, at, *next_hop, *delay), shared).await;
                }
                Outcome::Final { .. } => shared.count_final(),
                Outcome::Drop(reason) => shared.drops.count(*reason),
            }
        }
        // Timers and sockets get their turn between two batches.
        yield_now().await;
    }
}

impl Rules {
    /// Whether the packet will be forwarded, as far as is known before it waits.
    fn admit(self, onward: &Onward, shared: &Shared) -> Result<(), DropReason> {
        let Onward { packet_len, next_hop, delay, replay_key } = onward;
        let size = PacketSize::from_packet_len(*packet_len).ok_or(DropReason::SizeRefused)?;
        shared.policy.check(*next_hop, size)?;
        mix::check_delay(*delay, self.delay_max)?;
        // Last: only a packet that will be forwarded takes a place in the filter. Forged, final and rejected packets
        // cost their sender less, and must not push the others out.
        if shared.replay.insert(replay_key) { Ok(()) } else { Err(DropReason::Replay) }
    }
}

/// The time that a packet has spent in the node counts against its delay.
fn schedule(packet: PacketBuf, at: Instant, next_hop: SocketAddr, delay: Duration) -> Scheduled {
    Scheduled { packet, next_hop, due: at + delay }
}

async fn hand_over(owners: &Owners, scheduled: Scheduled, shared: &Shared) {
    let owner = &owners.handovers[owners.of(scheduled.next_hop)];
    if owner.send(scheduled).await.is_err() {
        // Pools close only when the node aborts.
        shared.drops.count(DropReason::Shutdown);
    }
}
