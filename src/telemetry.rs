//! What the node tells its operator. It reads the other rooms' counters; the data path never waits for it.
//!
//! The rule for all of it: what is told must follow from what anybody sees on the wire, from public configuration, and
//! from local state that does not depend on which incoming packet became which outgoing one. So counts are of closed
//! windows and rounded up, and nothing tells of a single packet or a peer.

pub mod exposition;
pub mod health;
pub mod http;
pub mod instruments;
pub mod log;
pub mod losses;
pub mod otel;
pub mod process;
pub mod readings;
pub mod reference;
pub mod window;
