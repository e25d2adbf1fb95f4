//! Test packets: real Sphinx packets through mixes and back, over IPv4 and IPv6, counted and timed.
//!
//! Shared by the commands `probe` and `localnet` and by the network monitor. [`packets`] builds a packet, `sender`
//! sends it to its first hop, `receiver` receives it when it returns, [`Prober`] matches the two, and [`Tally`] counts.
//! [`check`] tests the nodes of a directory this way.

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
