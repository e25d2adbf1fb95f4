//! Packets between the stages of the node.

use std::net::SocketAddr;
use std::time::Instant;

use nym_mixnode_wire::PacketBuf;

/// From the listener to the unwrap engine.
#[derive(Debug)]
pub struct Received {
    /// The received packet.
    pub packet: PacketBuf,
    /// When its last byte was read. The delay starts at this time.
    pub at: Instant,
}

/// From the unwrap engine to the mix, and from the mix to the forwarder.
#[derive(Debug)]
pub struct Scheduled {
    /// The packet to send.
    pub packet: PacketBuf,
    /// The address to send it to.
    pub next_hop: SocketAddr,
    /// The earliest time to send it.
    pub due: Instant,
}
