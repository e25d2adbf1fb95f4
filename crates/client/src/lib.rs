//! A client of the mix network.
//!
//! | module | subject |
//! |---|---|
//! | [`network`] | the nodes that packets can take, and routes through them |
//! | [`core`] | what is sent, awaited and received; no I/O, randomness and the time are parameters |

pub mod core;
pub mod network;
