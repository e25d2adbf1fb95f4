//! Shared state of a node (buffers, counters, forwarding policy), and the status derived from it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nym_mixnode_base::open_files::DescriptorWatch;
use nym_mixnode_link::PoolGauge;
use nym_mixnode_link::listener::{self, ConnectionLimits};
use nym_mixnode_mix::{DropCounters, DropReason, LAG_BOUNDS_MS, Policy, outgoing};
use nym_mixnode_net::Reach;
use nym_mixnode_telemetry::instruments::Limit;
use nym_mixnode_telemetry::process::Usage;
use nym_mixnode_telemetry::window::{Counts, Effort, Levels, Sample};
use nym_mixnode_wire::BufferPool;
use serde::{Deserialize, Serialize};
use tokio::runtime::{Handle, RuntimeMetrics};

use super::key_ring::KeyRing;
use super::listed::ListedNodes;
use super::pulse::Pulses;

/// State shared by all workers and read for the status.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) buffers: Arc<BufferPool>,
    pub(super) connections: Arc<ConnectionLimits>,
    pub(super) listener: Arc<listener::Counters>,
    pub(super) forwarder: Arc<outgoing::Counters>,
    pub(super) drops: Arc<DropCounters>,
    pub(super) pools: Vec<PoolGauge>,
    pub(super) policy: Policy,
    pub(super) listed: ListedNodes,
    pub(super) keys: KeyRing,
    pub(super) pulses: Pulses,
    pub(super) descriptors: DescriptorWatch,
    /// How often the announced addresses have changed since the start.
    pub(super) announce_changes: AtomicU64,
    /// Of the control runtime and of every worker's.
    pub(super) runtimes: Mutex<Vec<RuntimeMetrics>>,
    final_hop: AtomicU64,
    unwrapped: AtomicU64,
    unwrap_cpu_ns: AtomicU64,
    delayed: AtomicU64,
}

/// What a node counts, exactly. For its own supervisor on the same machine (localnet) and for tests, never exported.
///
/// When the node is at rest, `received = forwarded + final + Σ dropped + in_flight`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeStatus {
    /// Complete frames received.
    pub received: u64,
    /// Packets that the kernel has accepted completely.
    pub forwarded: u64,
    /// Packets whose last hop is this node. A mixnode discards them.
    #[serde(rename = "final")]
    pub final_hop: u64,
    /// Dropped packets by [`DropReason::label`]; only reasons that occurred.
    pub dropped: BTreeMap<String, u64>,
    /// Packets in the node, counted by their buffers and not derived from the other counters.
    pub in_flight: u64,
    /// Those of `in_flight` whose delay has not passed.
    pub pool: u64,
    /// Malformed frames, each of which closed its connection.
    pub bad_frames: u64,
    /// Sent packets by lateness: one count per bound of [`LAG_BOUNDS_MS`], and one for all later packets.
    #[serde(default)]
    pub lag: [u64; LAG_BOUNDS_MS.len() + 1],
    /// Incoming connections.
    pub connections_in: u64,
    /// Outgoing connections.
    pub connections_out: u64,
    /// `ip:port` pairs that the policy `topology` allows.
    pub next_hops_allowed: u64,
    /// Whether the directory lists this node.
    pub registered: bool,
    /// How often the announced addresses have changed since the start.
    #[serde(default)]
    pub announce_changes: u64,
}

impl Shared {
    pub(super) fn new(
        workers: usize,
        memory_bytes: usize,
        limits: Arc<ConnectionLimits>,
        policy: Policy,
        reach: Reach,
        keys: KeyRing,
    ) -> Arc<Self> {
        Arc::new(Self {
            buffers: BufferPool::new(memory_bytes),
            connections: limits,
            listener: Arc::default(),
            forwarder: Arc::default(),
            drops: Arc::default(),
            pools: (0..workers).map(|_| PoolGauge::default()).collect(),
            policy,
            listed: ListedNodes::new(reach),
            keys,
            pulses: Pulses::new(workers),
            descriptors: DescriptorWatch::default(),
            announce_changes: AtomicU64::new(0),
            // The control runtime, which starts the node. Each worker adds its own.
            runtimes: Mutex::new(Handle::try_current().map(|control| control.metrics()).into_iter().collect()),
            final_hop: AtomicU64::new(0),
            unwrapped: AtomicU64::new(0),
            unwrap_cpu_ns: AtomicU64::new(0),
            delayed: AtomicU64::new(0),
        })
    }

    pub(super) fn count_final(&self) {
        self.final_hop.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts an unwrapped batch and its CPU time.
    pub(super) fn count_unwrapped(&self, packets: usize, cpu: Duration) {
        self.unwrapped.fetch_add(packets as u64, Ordering::Relaxed);
        self.unwrap_cpu_ns.fetch_add(u64::try_from(cpu.as_nanos()).unwrap_or_default(), Ordering::Relaxed);
    }

    /// Counts a packet whose delay has passed.
    pub(super) fn count_delayed(&self) {
        self.delayed.fetch_add(1, Ordering::Relaxed);
    }

    /// Exact values that telemetry rounds and exports: totals of the node, never of one worker.
    pub(super) fn sample(&self) -> Sample {
        let NodeStatus { received, forwarded, final_hop, dropped, in_flight, pool, bad_frames, .. } =
            self.status(false);
        let queue_forward = self.forwarder.queued() as u64;
        Sample {
            counts: Counts {
                received,
                unwrapped: self.unwrapped.load(Ordering::Relaxed),
                delayed: self.delayed.load(Ordering::Relaxed),
                forwarded,
                final_hop,
                dropped,
                bad_frames,
                refusals: self.listener.refused(),
                timeouts: self.listener.timeouts(),
                failures: self.forwarder.connect_failures(),
                replay_early_ends: self.keys.replay_early_ends(),
                limits: self.limits_reached(),
            },
            levels: Levels {
                pool,
                queue_unwrap: in_flight.saturating_sub(pool + queue_forward),
                queue_forward,
                connections_in: self.connections.open() as u64,
                connections_out: self.forwarder.connections() as u64,
            },
            lag: self.forwarder.lag(),
            effort: self.effort(),
        }
    }

    /// How often each limit was reached; only those that were.
    fn limits_reached(&self) -> BTreeMap<String, u64> {
        let connections = self.connections.reached();
        let count = |limit| match limit {
            Limit::Connections => connections.total,
            Limit::ConnectionsPerAddress => connections.per_address,
            Limit::NextHops => self.forwarder.next_hops_short(),
            Limit::Dials => self.forwarder.dials_deferred(),
            Limit::Memory => self.buffers.times_over_share(),
            Limit::Clients | Limit::ClientsPerAddress => 0,
        };
        let all = Limit::OF_MIX.into_iter().map(|limit| (limit.label().to_owned(), count(limit)));
        all.filter(|(_, count)| *count > 0).collect()
    }

    /// CPU time and wake-ups of the workers.
    pub(super) fn effort(&self) -> Effort {
        let runtimes = self.runtimes.lock().unwrap_or_else(PoisonError::into_inner);
        Effort {
            unwrap_cpu: Duration::from_nanos(self.unwrap_cpu_ns.load(Ordering::Relaxed)),
            tasks: runtimes.iter().map(|runtime| runtime.num_alive_tasks() as u64).sum(),
            process: Usage::now(),
        }
    }

    pub(super) fn status(&self, registered: bool) -> NodeStatus {
        let dropped = DropReason::ALL
            .iter()
            .map(|reason| (reason.label().to_owned(), self.drops.get(*reason)))
            .filter(|(_, count)| *count > 0)
            .collect();
        NodeStatus {
            received: self.listener.received(),
            forwarded: self.forwarder.forwarded(),
            final_hop: self.final_hop.load(Ordering::Relaxed),
            dropped,
            in_flight: self.buffers.packets_in_flight() as u64,
            pool: self.pools.iter().map(|pool| pool.get() as u64).sum(),
            bad_frames: self.listener.bad_frames().iter().sum(),
            lag: self.forwarder.lag(),
            connections_in: self.connections.open() as u64,
            connections_out: self.forwarder.connections() as u64,
            next_hops_allowed: self.policy.listed() as u64,
            registered,
            announce_changes: self.announce_changes.load(Ordering::Relaxed),
        }
    }
}
