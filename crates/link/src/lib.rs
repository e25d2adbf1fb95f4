//! Sockets and timers of the packet path: accepting, reading, delaying, connecting and writing.
//!
//! Packets enter through [`listener`], wait in a pool that [`drive`] empties, and leave through [`forwarder`]. The state
//! of a connection is an [`Incoming`](nym_mixnode_wire::Incoming) or an [`Outgoing`](nym_mixnode_mix::Outgoing), which
//! this crate drives. No other crate of the packet path uses tokio's sockets or clock.

mod channel;
mod clock;
pub mod forwarder;
mod gather;
pub mod listener;
mod pool;
mod rounds;
pub mod shutdown;
mod tasks;
mod timer;

use std::time::Duration;

use nym_mixnode_mix::ReleaseIntervals;

pub use channel::pass_all;
pub use gather::Gatherer;
pub use pool::{PoolGauge, drive};
pub use rounds::{pause_after_reads, prepare_pauses};
pub use timer::Alarm;

/// Release intervals of this length, the first of which begins now.
#[must_use]
pub fn intervals_from_now(length: Duration) -> ReleaseIntervals {
    ReleaseIntervals::new(clock::now(), length)
}
