//! Sphinx packets of the Nym 0.9 network and its successors: sizes, versions, next-hop addresses, building, unwrapping.
//!
//! Pure: no clock, no I/O. One bad packet never affects the rest of its batch.
//!
//! ```
//! use std::time::Duration;
//! use nym_mixnode_sphinx::{Engine, Hop, Outcome, PacketSize, UnwrapError, build, public_key};
//!
//! // Two hops. The keys of a real network are random.
//! let (first_key, last_key) = ([7; 32], [9; 32]);
//! let route = [
//!     Hop { address: "192.0.2.1:1789".parse()?, sphinx_key: public_key(&first_key) },
//!     Hop { address: "192.0.2.2:1789".parse()?, sphinx_key: public_key(&last_key) },
//! ];
//! let delays = [Duration::from_millis(50), Duration::ZERO];
//! let packet = build(PacketSize::Regular, b"hello", &route, &delays)?;
//!
//! // The first hop peels one layer and learns where the packet goes next.
//! let (mut batch, mut outcomes) = ([packet], Vec::<Outcome<UnwrapError>>::new());
//! Engine::new(first_key).unwrap_batch(&mut batch, &mut outcomes, |_| Ok(()));
//! assert_eq!(outcomes, [Outcome::Forward { next_hop: route[1].address, delay: delays[0] }]);
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```

mod address;
mod build;
mod client_header;
mod engine;
mod engines;
mod format;
mod header;
mod key_schedule;
mod lioness;
mod payload;
mod self_check;
mod wiped;
mod x25519;

pub use address::{AddressError, NEXT_HOP_ADDRESS_LEN, decode_next_hop, encode_next_hop};
pub use build::{BuildError, Hop, build};
pub use client_header::{CLIENT_HEADER_LEN, CLIENT_HOPS, ClientHeader, ClientHeaderError};
pub use engine::{Engine, Onward, Outcome, Stage, UnwrapError};
pub use engines::{EngineChoice, EngineKind, UnsupportedEngine};
pub use format::{
    ALPHA_LEN, BETA_LEN, HEADER_LEN, MAC_LEN, MAX_PACKET_LEN, MIN_PACKET_LEN, PAYLOAD_OVERHEAD_LEN, PacketSize,
    PacketSizes, SLOT_LEN, SphinxVersion,
};
pub use payload::plaintext;
pub use self_check::{SelfCheckError, self_check};
pub use x25519::{multiply_clamped, public_key};
