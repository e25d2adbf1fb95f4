//! The kit, tried with the real parts: one module a subject. `make kit KIT=helm` runs one of them.
//!
//! They need root, and take minutes; `tests/kit/parts/` says what they bring along.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod part;
mod release;
mod scripts;
mod systemd;
mod telemetry;
mod terraform;
