//! Peeling one Sphinx layer, in batches. Pure: no clock, no I/O, and one bad packet never affects its batch.
//!
//! [`Engine::unwrap_batch`] walks a batch in two passes. The first opens the headers: shared secret, key schedule, MAC,
//! slot, blinded α. The second peels the payloads of those that passed, several hashes side by side.

mod engine;
mod header;
mod key_schedule;
mod payload;
mod replay;
mod self_check;
#[doc(hidden)]
pub mod stages;
mod x25519;

use std::net::SocketAddr;
use std::time::Duration;

use crate::packet::DropReason;

pub use engine::Engine;
pub use payload::plaintext;
pub use replay::{Aging, OutOfMemory, ReplayFilter, ReplayWindow};
pub use self_check::{SelfCheckError, self_check};
pub(crate) use x25519::public_of;

/// What an authentic header asks of this hop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Onward {
    /// Bytes of the whole packet.
    pub packet_len: usize,
    /// Where the packet is to go.
    pub next_hop: SocketAddr,
    /// How long it is to be held first: anything from 0 to 2^64 − 1 ns.
    pub delay: Duration,
}

/// What became of one packet of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The buffer now holds the packet for the next hop.
    Forward {
        /// Where it goes, as its sender wrote it.
        next_hop: SocketAddr,
        /// How long to hold it first: anything from 0 to 2^64 − 1 ns.
        delay: Duration,
    },
    /// The packet ends here. The buffer holds the header as it came, and behind it the payload's innermost layer.
    Final {
        /// Whom the payload is for.
        destination: [u8; 32],
        /// The sender's identifier, such as that of a single-use reply block.
        identifier: [u8; 16],
    },
    /// The packet is given up; what its buffer holds is unspecified.
    Drop(DropReason),
}
