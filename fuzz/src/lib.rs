//! The packet rooms of the node and its reader of older configuration files, linked in from `src/`, and nothing else of
//! it: they build in a fraction of the time.

pub mod older;
pub mod packet;
pub mod unwrap;
