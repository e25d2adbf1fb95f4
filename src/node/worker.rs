//! A worker: a thread with connections, an unwrap engine, a pool, and the next hops that it owns.
//!
//! A packet is unwrapped by the worker of its connection and delayed by the worker of its next hop. So the packets of
//! each worker's connections leave through all workers, and more workers do not make the anonymity set smaller.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use nym_mixnode_link::forwarder::Forwarder;
use nym_mixnode_link::listener::{self, Admitted, Intake};
use nym_mixnode_link::shutdown::{Phase, PhaseSignal};
use nym_mixnode_link::{Alarm, Gatherer, pass_all};
use nym_mixnode_mix as mix;
use nym_mixnode_mix::{DropReason, Received, ReleaseIntervals, Scheduled};
use nym_mixnode_sphinx::{Onward, Outcome, PacketSize, PacketSizes};
use nym_mixnode_telemetry::process::cpu_of_thread;
use nym_mixnode_wire::{Deadlines, PacketBuf};
use tokio::sync::mpsc;
use tokio::task::{LocalSet, yield_now};

use super::key_ring::KeyEngine;
use super::state::Shared;

/// Packets per batch: enough for parallel engines, and short enough (1.5 ms on the slowest engine) for packets in the
/// pool to leave on time.
const BATCH_MAX: usize = 32;
/// Capacity of the channel from a worker's connections to its engine. Reading pauses while it is full.
const INBOX_MAX: usize = 128;
/// Capacity of the channel from all engines to a pool. Unwrapping pauses while it is full; pools always receive.
const HANDOVER_MAX: usize = 1024;
/// Capacity of the channel of new connections to a worker.
const CONNECTIONS_MAX: usize = 64;

/// Settings of a worker.
pub(super) struct Settings {
    pub(super) deadlines: Deadlines,
    pub(super) forwarder: nym_mixnode_mix::outgoing::Settings,
    pub(super) rules: Rules,
    pub(super) release_interval: Duration,
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

    /// Creates the workers. They end after all connection senders are dropped.
    pub(super) fn into_workers(
        self,
        settings: impl Fn() -> Settings,
        shared: &Arc<Shared>,
        phase: &PhaseSignal,
    ) -> (Vec<mpsc::Sender<Admitted>>, Vec<Worker>) {
        let owners = Owners { handovers: self.handovers, hasher: Arc::new(RandomState::new()) };
        let workers = self.receivers.into_iter().enumerate().map(|(number, (connections, handover))| {
            let settings = settings();
            Worker {
                number,
                connections,
                handover,
                owners: owners.clone(),
                engine: shared.keys.engine(),
                intervals: nym_mixnode_link::intervals_from_now(settings.release_interval),
                settings,
                shared: Arc::clone(shared),
                phase: phase.clone(),
            }
        });
        (self.connections, workers.collect())
    }
}

/// Maps next hops to their owners. The hash key is random for each start, so the mapping cannot be predicted.
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
    engine: KeyEngine,
    settings: Settings,
    intervals: ReleaseIntervals,
    shared: Arc<Shared>,
    phase: PhaseSignal,
}

impl Worker {
    /// Runs on the calling thread until the connections are gone and the pool is empty.
    pub(super) fn run(self) -> std::io::Result<()> {
        nym_mixnode_link::prepare_pauses();
        let intervals = self.intervals;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            // Poll sockets and timers after every few tasks, because a batch blocks the runtime for long.
            .event_interval(4)
            .on_thread_park(move || nym_mixnode_link::pause_after_reads(intervals))
            .build()?;
        let (number, shared) = (self.number, Arc::clone(&self.shared));
        shared.runtimes.lock().unwrap_or_else(PoisonError::into_inner).push(runtime.metrics());
        LocalSet::new().block_on(&runtime, shared.pulses.accompany(number, self.serve()));
        Ok(())
    }

    async fn serve(self) {
        let (counters, drops) = (Arc::clone(&self.shared.forwarder), Arc::clone(&self.shared.drops));
        let mut forwarder = Forwarder::local(self.settings.forwarder.clone(), counters, drops, self.phase.clone());
        let arrive = |connections, intake: Intake, phase: PhaseSignal| {
            listener::serve_all(connections, move |open, admitted| {
                open.spawn_local(listener::serve(admitted, intake.clone(), phase.clone()));
            })
        };
        self.mix(arrive, |due| forwarder.send_all(due), Alarm::exact).await;
        forwarder.drain().await;
    }

    /// Runs the stages between the sockets: `arrive` provides packets, `release` gets them when they are due.
    ///
    /// Each stage ends when the previous one has closed its channel. `alarm` makes the timers of gathering and release.
    pub(super) async fn mix<A: Future<Output = ()>>(
        self,
        arrive: impl FnOnce(mpsc::Receiver<Admitted>, Intake, PhaseSignal) -> A,
        mut release: impl FnMut(&mut dyn Iterator<Item = Scheduled>),
        alarm: fn() -> Alarm,
    ) {
        let Self { number, connections, handover, owners, engine, settings, intervals, shared, phase } = self;
        let (inbox, received) = mpsc::channel(INBOX_MAX);
        let intake = Intake::new(Arc::clone(&shared.buffers), inbox, settings.deadlines, Arc::clone(&shared.listener));
        let frame = |mut scheduled: Scheduled| {
            shared.count_delayed();
            // Not earlier: after a version change of the next hop, the framing would reveal when a packet arrived.
            match scheduled.packet.frame_for(shared.policy.framing(scheduled.next_hop)) {
                Ok(()) => Some(scheduled),
                Err(unknown) => {
                    shared.drops.count(unknown.into());
                    None
                }
            }
        };
        let release = |due: &mut dyn Iterator<Item = Scheduled>| release(&mut due.filter_map(frame));
        let gauge = &shared.pools[number];
        let pool = nym_mixnode_link::drive(handover, intervals, alarm(), release, &shared.drops, gauge, phase.clone());
        let received = Gatherer::new(received, intervals, alarm(), BATCH_MAX);
        let unwrap = unwrap_all(received, engine, owners, settings.rules, &shared, phase.clone());
        tokio::join!(arrive(connections, intake, phase), unwrap, pool);
    }
}

async fn unwrap_all(
    mut received: Gatherer,
    mut engine: KeyEngine,
    owners: Owners,
    rules: Rules,
    shared: &Shared,
    phase: PhaseSignal,
) {
    let mut batch = Vec::with_capacity(BATCH_MAX);
    let mut packets = Vec::with_capacity(BATCH_MAX);
    let mut arrivals = Vec::with_capacity(BATCH_MAX);
    let mut outcomes = Vec::with_capacity(BATCH_MAX);
    let mut leaving: Vec<_> = owners.handovers.iter().map(|_| Vec::with_capacity(BATCH_MAX)).collect();
    while received.next(&mut batch).await {
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
        engine.unwrap_batch(&mut packets, &mut outcomes, |onward| rules.check(onward, shared));
        shared.count_unwrapped(count, cpu_of_thread().saturating_sub(cpu_before));
        for ((packet, at), outcome) in packets.drain(..).zip(arrivals.drain(..)).zip(&outcomes) {
            match outcome {
                Outcome::Forward { next_hop, delay } => {
                    leaving[owners.of(*next_hop)].push(schedule(packet, at, *next_hop, *delay));
                }
                Outcome::Final { .. } => shared.count_final(),
                Outcome::Drop(reason) => shared.drops.count(*reason),
            }
        }
        hand_over(&owners, &mut leaving, shared).await;
        // Let timers and sockets run between two batches.
        yield_now().await;
    }
}

impl Rules {
    /// Decides before the delay and the replay test whether to forward the packet.
    fn check(self, onward: &Onward, shared: &Shared) -> Result<(), DropReason> {
        let Onward { packet_len, next_hop, delay, .. } = onward;
        let size = PacketSize::from_packet_len(*packet_len).ok_or(DropReason::SizeRefused)?;
        shared.policy.check(*next_hop, size)?;
        mix::check_delay(*delay, self.delay_max)
    }
}

/// Schedules a packet relative to its arrival, so that processing time is part of its delay.
fn schedule(packet: PacketBuf, at: Instant, next_hop: SocketAddr, delay: Duration) -> Scheduled {
    Scheduled { packet, next_hop, due: at + delay }
}

/// Hands packets over to the owners of their next hops, the packets of one owner together.
async fn hand_over(owners: &Owners, leaving: &mut [Vec<Scheduled>], shared: &Shared) {
    for (owner, packets) in owners.handovers.iter().zip(leaving) {
        if let Err(lost) = pass_all(owner, packets).await {
            // Pools close only when the node aborts.
            (0..lost).for_each(|_| shared.drops.count(DropReason::Shutdown));
        }
    }
}
