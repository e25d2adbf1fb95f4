//! Packets that a client hands to its gateway.

use std::fmt;
use std::net::SocketAddr;

use nym_mixnode_sphinx::PacketSize;
use thiserror::Error;

use crate::node_address::{PADDED_LEN, decode_short, encode_short};
use crate::text::Hidden;

/// Length of the longest forward request, before encryption.
pub const FORWARD_LEN_MAX: usize = 1 + PADDED_LEN + PacketSize::Extended32.packet_len();
/// The sizes of 0.9.2.
const SIZES: [PacketSize; 3] = [PacketSize::Ack, PacketSize::Regular, PacketSize::Extended32];

/// How mixes were asked to handle a packet. They delay both alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Mode {
    Mix = 0,
    /// Of clients that ask for no delays.
    Vpn = 1,
}

/// A packet and its first mix.
#[derive(Clone, PartialEq, Eq)]
pub struct ForwardRequest {
    pub mode: Mode,
    pub next_hop: SocketAddr,
    /// Of a size of 0.9.2.
    pub packet: Vec<u8>,
}

/// Prints nothing by which the packet could be recognised elsewhere.
impl fmt::Debug for ForwardRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ForwardRequest").field("packet", &Hidden(&self.packet)).finish_non_exhaustive()
    }
}

/// Why a content is no forward request. The texts are those of 0.9.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ForwardError {
    /// Neither 0 nor 1, or nothing at all.
    #[error("provided packet mode is invalid")]
    Mode,
    /// Neither IPv4 nor IPv6, or incomplete.
    #[error("address field was incorrectly encoded")]
    Address,
    /// No packet has this length.
    #[error(
        "received request had invalid size. (actual: {0}, but expected one of: 386 (ACK), 2413 (REGULAR), 33133 (EXTENDED))"
    )]
    Size(usize),
}

impl ForwardRequest {
    /// Mode, address without padding, packet.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut content = vec![self.mode as u8];
        content.extend_from_slice(&encode_short(self.next_hop));
        content.extend_from_slice(&self.packet);
        content
    }

    /// Parses a decrypted request.
    ///
    /// # Errors
    /// If the bytes are not such a request.
    pub fn decode(content: &[u8]) -> Result<Self, ForwardError> {
        let (mode, rest) = match content.split_first() {
            Some((0, rest)) => (Mode::Mix, rest),
            Some((1, rest)) => (Mode::Vpn, rest),
            _ => return Err(ForwardError::Mode),
        };
        let (next_hop, packet) = decode_short(rest).map_err(|_| ForwardError::Address)?;
        if !SIZES.iter().any(|size| size.packet_len() == packet.len()) {
            return Err(ForwardError::Size(packet.len()));
        }
        Ok(Self { mode, next_hop, packet: packet.to_vec() })
    }
}
