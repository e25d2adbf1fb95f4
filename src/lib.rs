//! nym-mixnode: a Sphinx mixnode, and the servers of a whole mix network, in one binary.
//!
//! The rooms stand in the order in which the start-up, and after it a packet, walks through them.
//! `docs/architecture.md` is the map with the invariants of each.

pub mod address;
pub mod cli;
pub mod config;
pub mod keys;
pub mod packet;

mod backoff;
mod file;
mod http;
mod names;
mod secret;
mod socket;
mod text;

pub mod limits;

pub mod api;
pub mod directory;
pub mod signing;

pub mod listener;
pub mod unwrap;

pub mod mix;

pub mod forwarder;

pub mod telemetry;

pub mod shutdown;
pub mod systemd;

pub mod node;

pub mod probe;

pub mod doctor;

pub mod localnet;

pub mod registry;
