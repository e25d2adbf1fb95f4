//! The packet rooms of the node and its readers of configuration files, linked in from `src/`, and nothing else of it:
//! they build in a fraction of the time.

pub mod document;
pub mod older;
pub mod packet;
pub mod unwrap;
