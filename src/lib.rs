//! nym-mixnode: a Sphinx mixnode, and the servers of a whole mix network, in one binary.
//!
//! This crate is the program: its commands and how a node is composed. The libraries are in `crates/`;
//! `docs/architecture.md` lists them with their invariants.

pub mod cli;
pub mod doctor;
pub mod localnet;
mod names;
pub mod node;
pub mod stop_request;
pub mod systemd;
mod text;
mod times;
