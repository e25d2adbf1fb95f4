//! All integration tests, in one binary.

mod localnet;
mod probe;
