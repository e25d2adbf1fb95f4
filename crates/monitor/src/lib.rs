//! Test packets: real Sphinx packets through mixes and back, over IPv4 and IPv6, counted and timed.
//!
//! Shared by the commands `probe` and `localnet` and by the network monitor. [`packets`] builds a packet, `sender`
//! sends it to its first hop, `receiver` receives it when it returns, [`Prober`] matches the two, and [`Tally`] counts.
//! [`check`] tests the nodes of a directory once this way, [`Monitor`] in [`rounds`].

mod family;
mod keys;
mod monitor;
mod network;
mod prober;
mod receiver;
mod registration;
mod report;
mod sender;

pub mod check;
pub mod gateways;
pub mod own_address;
pub mod packets;
pub mod rounds;

pub use family::IpFamily;
pub use monitor::{Monitor, Network, RoundLog, run_monitor};
pub use network::DirectoryNetwork;
pub use prober::{Endpoint, Prober, ProberError, Returned};
pub use receiver::BindError;
pub use registration::{Registration, RegistrationError};
pub use report::{Counts, LatencyMs, Report, Tally};
