//! Peeling one Sphinx layer, in batches. Pure: no clock, no I/O, and one bad packet never affects its batch.

use std::net::SocketAddr;
use std::time::Duration;

use crate::packet::DropReason;

/// What became of one packet of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The buffer now holds the packet for `next_hop`, to be held for `delay` first.
    Forward { next_hop: SocketAddr, delay: Duration },
    /// The packet ends here: the buffer holds the header as it came, and behind it the payload's innermost layer.
    Final { destination: [u8; 32], identifier: [u8; 16] },
    /// The packet is given up; what its buffer holds is unspecified.
    Drop(DropReason),
}
