//! Messages of the 0.9.2 network: what clients, gateways and applications send each other, above packets.
//!
//! Pure: no clock, no I/O. Randomness and the time are parameters. Any bytes give a value or a typed error, keys are
//! wiped when dropped and compared in constant time. Encoded messages, which may contain a reply block, are not wiped.
//!
//! | module | subject |
//! |---|---|
//! | [`address`] | the address of a client |
//! | [`content`] | a message with or without a reply block |
//! | [`fragment`], [`reassembly`] | a message in pieces that each fill a packet |
//! | [`ack`] | acknowledgements, and the packets that bring them back |
//! | [`sealed`] | encryption of a packet's content for its recipient |
//! | [`reply`] | single-use reply blocks |
//! | [`final_hop`] | what a gateway finds in the last layer of a packet |
//! | [`gateway`] | the protocol between a client and its gateway |
//! | [`application`] | the protocol between a client and an application on its machine |
//! | [`socks`] | what a SOCKS5 client and a requester send each other |
//! | [`file`] | files as messages, between our own clients |
//! | [`key_file`] | files with a client's keys |
//! | [`version`] | which nodes a client can use |
//!
//! ```
//! use nym_mixnode_message::content::Content;
//! use nym_mixnode_message::fragment::{Fragments, SetId};
//! use nym_mixnode_message::reassembly::{Bounds, Progress, Reassembly};
//!
//! // A message in two pieces, which arrive in the wrong order.
//! let content = Content { data: vec![7; 2000], reply_block: None };
//! let fragments = Fragments::of(content, &mut rand::rng());
//! let mut reassembly = Reassembly::new(Bounds::default());
//! let now = std::time::Instant::now();
//! assert!(matches!(reassembly.insert(&fragments.get(1).unwrap(), now), Ok(Progress::Incomplete)));
//! let Ok(Progress::Complete(content)) = reassembly.insert(&fragments.get(0).unwrap(), now) else { panic!() };
//! assert_eq!(content.data, vec![7; 2000]);
//! ```

pub mod ack;
pub mod address;
pub mod application;
mod ciphers;
pub mod content;
pub mod file;
pub mod final_hop;
pub mod fragment;
pub mod gateway;
pub mod key_file;
mod node_address;
pub mod reassembly;
pub mod reply;
pub mod sealed;
pub mod socks;
mod text;
pub mod version;

#[cfg(test)]
mod tests;
