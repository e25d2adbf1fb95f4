//! All integration tests, in one binary.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod cli;
mod compat_0_9_2;
mod directory;
mod doctor;
mod localnet;
mod operator;
mod pipeline;
mod probe;
mod process;
mod recovery;
mod sphinx_oracle;
mod support;
mod tidy;
