//! The protocol between a client and its gateway, over WebSocket: JSON texts for control, binary messages for packets.
//!
//! The 0.9.2 network encrypts every binary message with the same key and an IV of zeros, in both directions. The keys
//! must have no other purpose, and the connection needs TLS to hide which client sends which packet.

mod authentication;
mod forward;
mod handshake;
mod shared_key;
mod text;

pub use authentication::Authentication;
pub use forward::{FORWARD_LEN_MAX, ForwardError, ForwardRequest, Mode};
pub use handshake::{
    ACCEPTED, ClientHandshake, ClientVerdict, FIRST_LEN, GatewayHandshake, HandshakeError, REFUSED, SECOND_LEN,
    THIRD_LEN,
};
pub use shared_key::{SharedKey, SharedKeyError};
pub use text::{ClientText, GatewayText, Refusal, TEXT_LEN_MAX, TextError};

#[cfg(test)]
mod tests;
