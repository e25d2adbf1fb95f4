//! The node: joins the packet rooms with bounded queues, and starts and stops them in order.

use std::collections::BTreeMap;
use std::future::Future;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::config::Config;
use crate::keys::NodeKeys;

/// What a node counts, exactly. For its own supervisor on the same machine (localnet) and for tests, never exported.
///
/// When the node is at rest, `received = forwarded + final + Σ dropped + in_flight`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeStatus {
    pub received: u64,
    pub forwarded: u64,
    #[serde(rename = "final")]
    pub final_hop: u64,
    /// By [`crate::packet::DropReason::label`]; only reasons that occurred.
    pub dropped: BTreeMap<String, u64>,
    /// Packets in the node now, counted by the buffers that hold them and not derived from the other numbers.
    pub in_flight: u64,
    /// Of these, packets waiting for their delay to pass.
    pub pool: u64,
    /// Bad frames, which closed their connections.
    pub bad_frames: u64,
    pub connections_in: u64,
    pub connections_out: u64,
    /// `ip:port` pairs that the policy `topology` allows now.
    pub next_hops_allowed: u64,
    /// Whether the directory lists this node.
    pub registered: bool,
}

/// A line on the standard output of a node that runs under `--supervised`: JSON, one event a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum SupervisorEvent {
    /// Bound, listening, mixing (and perhaps not registered yet).
    Ready { status: NodeStatus },
    /// Every second.
    Status { status: NodeStatus },
    /// The last line: drained, exit code 0 follows.
    Stopped { status: NodeStatus },
}

/// Why a node could not start or go on.
#[derive(Debug, Error)]
pub enum NodeError {}

/// Runs a node until `stop` completes, then stops it in order: unregister, linger, drain.
///
/// `report` is called with `Ready` once, `Status` each second, `Stopped` at the end.
///
/// # Errors
/// When an address cannot be bound, ...
pub async fn run(
    _config: Config,
    _keys: NodeKeys,
    _stop: impl Future<Output = ()>,
    _report: impl FnMut(SupervisorEvent) + 'static,
) -> Result<(), NodeError> {
    Ok(())
}
