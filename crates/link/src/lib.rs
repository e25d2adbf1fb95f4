//! Sockets and timers of the packet path: accepting, reading, delaying, connecting and writing.
//!
//! Packets enter through [`listener`], wait in a pool that [`drive`] empties, and leave through [`forwarder`]. The state
//! of a connection is an [`Incoming`](nym_mixnode_wire::Incoming) or an [`Outgoing`](nym_mixnode_mix::Outgoing), which
//! this crate drives. No other crate of the packet path uses tokio's sockets or clock.

mod clock;
pub mod forwarder;
pub mod listener;
mod pool;
pub mod shutdown;
mod tasks;

pub use pool::{PoolGauge, drive};
