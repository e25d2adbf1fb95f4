//! The packet rooms of the node, linked in from `src/`, and nothing else of it: they build in a fraction of the time.

pub mod packet;
pub mod unwrap;
