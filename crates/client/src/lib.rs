//! A client of the mix network.
//!
//! | module | subject |
//! |---|---|
//! | [`network`] | the nodes that packets can take, and routes through them |
//! | [`connection`] | the WebSocket to the client's gateway |
//! | [`endpoint`] | where the gateway is, and when TLS may be missing |
//! | [`daemon`] | a running client: sending at random times, receiving |
//! | [`crowd`] | how many packets of others hide a packet, estimated from public totals |
//! | [`journal`] | what has arrived of incomplete messages, on disk |
//! | [`control`] | how other commands use the running client |
//! | [`local`] | the WebSocket for applications on the same machine |
//! | [`profile`] | the files of a client: keys, configuration |
//! | [`spool`] | messages that wait for an application, on disk |
//! | [`topology`] | topologies of a registry, with verified signatures |
//! | [`transfer`] | files as messages |
//! | [`core`] | what is sent, awaited and received; no I/O, randomness and the time are parameters |

mod checksum;
pub mod connection;
pub mod control;
pub mod core;
pub mod crowd;
pub mod daemon;
pub mod endpoint;
pub mod journal;
pub mod local;
pub mod network;
pub mod profile;
pub mod spool;
pub mod topology;
pub mod transfer;
