//! IP addresses and listening sockets: which addresses packets may be sent to, and binding with one fallback to IPv4.

mod bind;
mod interfaces;
pub mod prefix;
mod reach;
mod routable;
pub mod socket;

pub use bind::{BindAddr, Families, Listening};
pub use interfaces::{interface_addresses, is_unstable};
pub use reach::{Reach, Unreachable};
pub use routable::{NotPublic, is_globally_routable};
