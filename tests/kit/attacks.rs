//! Attacks on real processes: what a stranger, a client or somebody on a link tries, and that it does not work.
//!
//! `make kit KIT=attacks` runs them, as root. Each has a network namespace of its own, is bounded in count and time, and
//! runs beside a control: the same honest traffic without the attack, through the same processes. Asserted are the
//! outcome, that no honest packet or request is lost, and the memory. `cargo test --test kit -- --nocapture attacks`
//! prints the figures of both.

mod arena;
mod limits;
mod node;
mod registry;
mod shares;
mod takeover;
mod traffic;
mod wire;
