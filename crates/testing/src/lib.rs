//! Parts that tests and benchmarks of the program share: a node on a thread, packets and their receiver, collectors,
//! metadata services, terminals, network namespaces, and what a registry shows. For tests alone: they fail by panicking.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(clippy::missing_panics_doc, reason = "a test fails by panicking")]

pub mod collector;
pub mod metadata;
pub mod netns;
pub mod packets;
pub mod pty;
pub mod shown;
pub mod support;
