//! What the parts of a node share: buffers, counters, the forwarding policy; and its status, read from them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

use super::pulse::Pulses;
use crate::forwarder::{self, Policy};
use crate::limits::DescriptorWatch;
use crate::listener::{self, ConnectionLimits};
use crate::mix::PoolGauge;
use crate::packet::{BufferPool, DropCounters, DropReason};
use crate::telemetry::per_packet::PerPacket;
use crate::unwrap::ReplayFilter;

/// Lent to every worker, and read by the status.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) buffers: Arc<BufferPool>,
    pub(super) connections: Arc<ConnectionLimits>,
    pub(super) listener: Arc<listener::Counters>,
    pub(super) forwarder: Arc<forwarder::Counters>,
    pub(super) drops: Arc<DropCounters>,
    pub(super) pools: Vec<PoolGauge>,
    pub(super) policy: Policy,
    pub(super) replay: Arc<ReplayFilter>,
    pub(super) pulses: Pulses,
    pub(super) descriptors: DescriptorWatch,
    /// How often the announced addresses have changed since the start.
    pub(super) announce_changes: AtomicU64,
    /// Where each packet is traced, if this node does that.
    #[cfg(any(test, feature = "unsafe-per-packet-traces"))]
    pub(super) recorder: std::sync::OnceLock<Arc<crate::telemetry::per_packet::Recorder>>,
    final_hop: AtomicU64,
}

/// What a node counts, exactly. For its own supervisor on the same machine (localnet) and for tests, never exported.
///
/// When the node is at rest, `received = forwarded + final + Σ dropped + in_flight`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeStatus {
    /// Whole frames taken from the network.
    pub received: u64,
    /// Packets handed whole to the network.
    pub forwarded: u64,
    /// Packets that ended here, which a mixnode has no use for.
    #[serde(rename = "final")]
    pub final_hop: u64,
    /// By [`DropReason::label`]; only reasons that occurred.
    pub dropped: BTreeMap<String, u64>,
    /// Packets in the node now, counted by the buffers that hold them and not derived from the other numbers.
    pub in_flight: u64,
    /// Of these, packets waiting for their delay to pass.
    pub pool: u64,
    /// Bad frames, each of which closed its connection.
    pub bad_frames: u64,
    /// Incoming connections.
    pub connections_in: u64,
    /// Outgoing connections.
    pub connections_out: u64,
    /// `ip:port` pairs that the policy `topology` allows now.
    pub next_hops_allowed: u64,
    /// Whether the directory lists this node.
    pub registered: bool,
    /// How often the announced addresses have changed since the start.
    #[serde(default)]
    pub announce_changes: u64,
}

impl Shared {
    pub(super) fn new(workers: usize, memory_bytes: usize, limits: Arc<ConnectionLimits>, policy: Policy) -> Arc<Self> {
        Arc::new(Self {
            buffers: BufferPool::new(memory_bytes),
            connections: limits,
            listener: Arc::default(),
            forwarder: Arc::default(),
            drops: Arc::default(),
            pools: (0..workers).map(|_| PoolGauge::default()).collect(),
            policy,
            replay: Arc::new(ReplayFilter::new(super::REPLAY_FILTER_BYTES)),
            pulses: Pulses::new(workers),
            descriptors: DescriptorWatch::default(),
            announce_changes: AtomicU64::new(0),
            #[cfg(any(test, feature = "unsafe-per-packet-traces"))]
            recorder: std::sync::OnceLock::new(),
            final_hop: AtomicU64::new(0),
        })
    }

    /// Hands the workers what single packets are traced with; in a program without such traces there is none.
    pub(super) fn trace_by(&self, per_packet: Option<&PerPacket>) {
        #[cfg(any(test, feature = "unsafe-per-packet-traces"))]
        if let Some(per_packet) = per_packet {
            self.recorder.get_or_init(|| Arc::clone(per_packet.recorder()));
        }
        #[cfg(not(any(test, feature = "unsafe-per-packet-traces")))]
        debug_assert!(per_packet.is_none(), "{self:?}");
    }

    /// Traces a packet that is released.
    #[cfg(any(test, feature = "unsafe-per-packet-traces"))]
    pub(super) fn trace(&self, packet: &crate::packet::Scheduled) {
        if let Some(recorder) = self.recorder.get() {
            recorder.record(packet);
        }
    }

    pub(super) fn count_final(&self) {
        self.final_hop.fetch_add(1, Ordering::Relaxed);
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
            connections_in: self.connections.open() as u64,
            connections_out: self.forwarder.connections() as u64,
            next_hops_allowed: self.policy.listed() as u64,
            registered,
            announce_changes: self.announce_changes.load(Ordering::Relaxed),
        }
    }
}
