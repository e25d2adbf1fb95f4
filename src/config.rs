//! The node's configuration: one typed, immutable value.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use url::Url;

/// Everything a node needs to know, parsed and checked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub node: NodeConfig,
    pub listen: ListenConfig,
    pub announce: AnnounceConfig,
    pub directory: DirectoryConfig,
    #[serde(default)]
    pub keys: KeysConfig,
    #[serde(default)]
    pub mix: MixConfig,
    #[serde(default)]
    pub forward: ForwardConfig,
    #[serde(default)]
    pub connections: ConnectionsConfig,
    #[serde(default)]
    pub shutdown: ShutdownConfig,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NodeConfig {
    pub id: String,
    /// 1-based.
    pub layer: u64,
    pub location: String,
    pub incentives_address: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ListenConfig {
    pub addresses: Vec<SocketAddr>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AnnounceConfig {
    /// `host:port`, one or two (IPv4 and IPv6).
    pub addresses: Vec<SocketAddr>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DirectoryConfig {
    pub url: Url,
    pub metrics_url: Url,
    pub topology_refresh: Duration,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
pub struct KeysConfig {
    pub private_identity: Option<PathBuf>,
    pub public_identity: Option<PathBuf>,
    pub private_sphinx: Option<PathBuf>,
    pub public_sphinx: Option<PathBuf>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MixConfig {
    /// Worker threads; 0 means one for each core.
    pub workers: usize,
    /// Longest delay a sender may ask for.
    pub delay_max: Duration,
    /// Byte budget for everything in flight.
    pub memory_bytes: usize,
}

/// Where packets may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ForwardPolicy {
    /// Only exact `ip:port` pairs of the directory's topology.
    Topology,
    /// Any globally routable address.
    Public,
    /// Anywhere: for closed networks.
    Any,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ForwardConfig {
    pub policy: ForwardPolicy,
    pub connect_timeout: Duration,
    pub backoff_initial: Duration,
    pub backoff_max: Duration,
    /// A packet that waited longer than this past its time for an unreachable next hop is dropped.
    pub stale_after: Duration,
    /// Packets queued for one next hop.
    pub queue_packets_max: usize,
    /// Next hops with a queue at one time.
    pub next_hops_max: usize,
    /// An outgoing connection without packets is closed after this.
    pub idle_timeout: Duration,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ConnectionsConfig {
    /// Incoming connections in total.
    pub total_max: usize,
    /// Incoming connections from one IPv4 address or IPv6 /64.
    pub per_address_max: usize,
    /// A frame that has begun must be whole within this.
    pub frame_deadline: Duration,
    /// An incoming connection without bytes is closed after this.
    pub idle_timeout: Duration,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ShutdownConfig {
    /// How long the node keeps mixing after it unregistered, while clients still hold the old topology.
    pub linger: Duration,
    /// Longest wait for pooled packets to leave.
    pub drain_deadline: Duration,
}

impl Default for MixConfig {
    fn default() -> Self {
        Self { workers: 0, delay_max: Duration::from_secs(10), memory_bytes: 256 << 20 }
    }
}

impl Default for ForwardConfig {
    fn default() -> Self {
        Self {
            policy: ForwardPolicy::Topology,
            connect_timeout: Duration::from_millis(1500),
            backoff_initial: Duration::from_millis(500),
            backoff_max: Duration::from_secs(60),
            stale_after: Duration::from_secs(10),
            queue_packets_max: 2000,
            next_hops_max: 4096,
            idle_timeout: Duration::from_secs(300),
        }
    }
}

impl Default for ConnectionsConfig {
    fn default() -> Self {
        Self {
            total_max: 16_384,
            per_address_max: 1024,
            frame_deadline: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(600),
        }
    }
}

impl Default for ShutdownConfig {
    fn default() -> Self {
        Self { linger: Duration::from_secs(5), drain_deadline: Duration::from_secs(15) }
    }
}
