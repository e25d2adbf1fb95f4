//! Test packets: real Sphinx packets through mixes and back, over IPv4 and IPv6, counted and timed.
//!
//! Shared by the commands `probe` and `localnet` and by the network monitor. In the order of a packet's life:
//! [`packets`] builds it, `sender` brings it to its first hop, `receiver` takes it back, [`Prober`] matches the two,
//! [`Tally`] counts. [`check`] tests the nodes of a directory that way.

mod family;
mod keys;
mod prober;
mod receiver;
mod registration;
mod report;
mod sender;

pub mod check;
pub mod own_address;
pub mod packets;

pub use family::IpFamily;
pub use prober::{Endpoint, Prober, ProberError, Returned};
pub use receiver::BindError;
pub use registration::{Registration, RegistrationError};
pub use report::{Counts, LatencyMs, Report, Tally};
