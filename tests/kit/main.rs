//! Tests of the kit with real parts, one module per subject. `make kit KIT=helm` runs one of them.
//!
//! They need root and take minutes. `tests/kit/parts/` lists the parts.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(clippy::print_stderr, reason = "a test tells what it measured, and what containers said when it failed")]

mod arm64;
mod attacks;
mod cluster;
mod compose;
#[cfg(target_arch = "x86_64")]
mod constant_time;
mod container;
mod docker;
mod docker_archive;
mod engine;
mod explorer;
mod helm;
mod http;
mod image;
mod machine;
mod messages;
mod openapi;
mod part;
mod postgres;
mod registry_attacks;
mod registry_clock;
mod release;
mod reproducible;
mod restricted;
mod scripts;
mod systemd;
mod telemetry;
mod terraform;
mod waiting;

use nym_mixnode_testing::{metadata, netns, packets, shown};
