//! (stub: the directory engineer's file replaces this)
mod client;
pub use client::{Client, Directory};
