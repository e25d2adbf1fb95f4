//! The sockets of the packet path: accepting and reading, the delay pool's timer, dialling and writing.
//!
//! Packets enter through [`listener`], wait in a pool that [`drive`] empties, and leave through [`forwarder`]. No other
//! crate of the packet path knows tokio's sockets or clock.

mod clock;
pub mod forwarder;
pub mod listener;
mod pool;
pub mod shutdown;

pub use pool::{PoolGauge, drive};
