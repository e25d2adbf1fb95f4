//! (stub: the CLI engineer's file replaces this)
pub mod localnet;
pub mod probe;
