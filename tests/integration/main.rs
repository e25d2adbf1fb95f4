//! All integration tests, in one binary.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod addresses;
mod canaries;
mod cli;
mod collector;
mod compat_0_9_2;
mod config;
mod crash;
mod directory;
mod doctor;
mod exit_codes;
mod first_start;
mod full_output;
mod keys;
mod kubernetes;
mod limits;
mod localnet;
mod logs;
mod manual;
mod matching;
mod metadata;
mod netns;
mod new_node;
mod next_hops;
mod operator;
mod own_addresses;
mod packets;
mod pipeline;
mod probe;
mod process;
mod program;
mod recovery;
mod replays;
mod sphinx_oracle;
mod stop;
mod support;
mod telemetry_export;
mod telemetry_metrics;
mod tidy;
mod unsafe_traces;
mod upgrade;
mod waiting;
mod without_ipv6;
