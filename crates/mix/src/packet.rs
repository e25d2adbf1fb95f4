//! A packet on its way from one stage of the node to the next.

use std::net::SocketAddr;
use std::time::Instant;

use nym_mixnode_wire::PacketBuf;

/// From the listener to the unwrap engine.
#[derive(Debug)]
pub struct Received {
    /// The packet as it came.
    pub packet: PacketBuf,
    /// When its last byte was read; its delay counts from here.
    pub at: Instant,
}

/// From the unwrap engine to the mix, and from the mix to the forwarder.
#[derive(Debug)]
pub struct Scheduled {
    /// The packet as it will leave.
    pub packet: PacketBuf,
    /// Where it goes.
    pub next_hop: SocketAddr,
    /// When it may leave, and not a moment earlier.
    pub due: Instant,
}
