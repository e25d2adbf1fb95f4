//! (stub: the directory engineer's file replaces this)
pub mod client;
