//! (room)

pub mod registry;
