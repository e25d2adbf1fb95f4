//! A gateway: hands packets of its clients to the first mix, and messages from the last mix to its clients.
//!
//! | module | subject |
//! |---|---|
//! | [`session`] | one connection of a client as a state machine |
//! | [`store`] | registered clients and their inboxes, in one SQLite file |
//! | [`connected`] | the connections of present clients, at most one each |
//! | [`unstored`] | messages that are in memory only |
//! | [`delivery`] | messages from the mix network, to the inbox or the connection |
//! | [`mixing`] | final hops, and packets to first mixes |
//! | [`server`] | WebSockets of clients |
//! | [`run`] | all of these together |

pub mod connected;
pub mod delivery;
pub mod mixing;
pub mod run;
pub mod server;
pub mod session;
pub mod store;
pub mod unstored;

/// A client's Ed25519 public key, which is the destination of its packets.
pub type ClientId = [u8; 32];
