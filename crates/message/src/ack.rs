//! Acknowledgements: what they say, and the packet that the recipient's gateway sends back for the sender.

use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroU8;
use std::time::Duration;

use nym_mixnode_sphinx::{AddressError, CLIENT_HOPS, ClientHeader, ClientHeaderError, Hop, PacketSize};
use rand::CryptoRng;
use thiserror::Error;

use crate::ciphers::{CipherKey, IV_LEN, KEY_LEN, apply_ctr, take};
use crate::fragment::{FragmentHeader, SetId};
use crate::node_address::{PADDED_LEN, decode_padded, encode_padded};

/// Length of an acknowledgement in bytes.
pub const ACK_LEN: usize = IV_LEN + IDENTIFIER_LEN;
/// Length of a [`ReturnPacket`] in bytes.
pub const RETURN_PACKET_LEN: usize = PADDED_LEN + PacketSize::Ack.packet_len();
const IDENTIFIER_LEN: usize = 5;

const _: () = assert!(ACK_LEN == PacketSize::Ack.plaintext_len());
const _: () = assert!(RETURN_PACKET_LEN == 405);

/// What an acknowledgement is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Acknowledged {
    /// A cover packet.
    Cover,
    /// A reply; the number is random.
    Reply(SetId),
    /// One fragment of a set.
    Fragment(SetId, NonZeroU8),
}

/// Bytes that are no acknowledgement, or one under another key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the acknowledgement is malformed or has another key")]
pub struct AckError;

impl Acknowledged {
    /// The number of this fragment.
    #[must_use]
    pub fn fragment(header: &FragmentHeader) -> Self {
        Self::Fragment(header.set(), header.current())
    }

    pub(crate) fn encode(self) -> [u8; IDENTIFIER_LEN] {
        let (set, fragment) = match self {
            Self::Cover => (0, 0),
            Self::Reply(set) => (set.get(), 0),
            Self::Fragment(set, fragment) => (set.get(), fragment.get()),
        };
        let [a, b, c, d] = set.to_be_bytes();
        [a, b, c, d, fragment]
    }

    pub(crate) fn decode([a, b, c, d, fragment]: [u8; IDENTIFIER_LEN]) -> Result<Self, AckError> {
        let set = u32::from_be_bytes([a, b, c, d]);
        match (SetId::new(set), NonZeroU8::new(fragment)) {
            (None, None) if set == 0 => Ok(Self::Cover),
            (None, _) => Err(AckError),
            (Some(set), None) => Ok(Self::Reply(set)),
            (Some(set), Some(fragment)) => Ok(Self::Fragment(set, fragment)),
        }
    }
}

/// The key with which a client encrypts its acknowledgements for itself.
pub struct AckKey(CipherKey);

impl AckKey {
    /// A random key.
    #[must_use]
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        let mut key = CipherKey::default();
        rng.fill_bytes(&mut *key);
        Self(key)
    }

    /// The key in a file.
    #[must_use]
    pub fn from_bytes(key: &[u8; KEY_LEN]) -> Self {
        Self(CipherKey::new(*key))
    }

    /// The key, for its file.
    #[must_use]
    pub fn to_bytes(&self) -> &[u8; KEY_LEN] {
        &self.0
    }

    /// An acknowledgement with a random IV.
    pub fn seal(&self, acknowledged: Acknowledged, rng: &mut impl CryptoRng) -> [u8; ACK_LEN] {
        let mut iv = [0; IV_LEN];
        rng.fill_bytes(&mut iv);
        let mut identifier = acknowledged.encode();
        apply_ctr(&self.0, &iv, &mut identifier);
        let mut ack = [0; ACK_LEN];
        ack[..IV_LEN].copy_from_slice(&iv);
        ack[IV_LEN..].copy_from_slice(&identifier);
        ack
    }

    /// Decrypts an acknowledgement. Nothing authenticates it: most wrong bytes are a number that is not awaited.
    ///
    /// # Errors
    /// When the number has no meaning.
    pub fn open(&self, ack: &[u8; ACK_LEN]) -> Result<Acknowledged, AckError> {
        let (iv, rest) = take(ack).ok_or(AckError)?;
        let (mut identifier, _) = take(rest).ok_or(AckError)?;
        apply_ctr(&self.0, &iv, &mut identifier);
        Acknowledged::decode(identifier)
    }
}

/// A packet with an acknowledgement for its sender: `first hop 19 ‖ packet 386`, in every regular packet.
#[derive(Clone, PartialEq, Eq)]
pub struct ReturnPacket {
    /// Where the gateway sends it.
    pub first_hop: SocketAddr,
    /// A packet of the size [`PacketSize::Ack`].
    pub packet: Box<[u8; PacketSize::Ack.packet_len()]>,
}

/// Prints nothing by which the packet could be recognised elsewhere.
impl fmt::Debug for ReturnPacket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReturnPacket").finish_non_exhaustive()
    }
}

/// Why bytes are no return packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ReturnPacketError {
    /// Fewer than [`RETURN_PACKET_LEN`] bytes.
    #[error("the return packet is incomplete")]
    TooShort,
    /// The address of its first hop.
    #[error("the first hop of the return packet is malformed: {0}")]
    FirstHop(#[from] AddressError),
}

impl ReturnPacket {
    /// Builds the packet along `route`, which ends at the sender's own gateway.
    ///
    /// # Errors
    /// When a hop has a Sphinx key of low order.
    pub fn build(
        route: &[Hop; CLIENT_HOPS],
        delays: &[Duration; CLIENT_HOPS - 1],
        sender: &[u8; 32],
        ack: &[u8; ACK_LEN],
        rng: &mut impl CryptoRng,
    ) -> Result<Self, ClientHeaderError> {
        let header = ClientHeader::build(route, delays, sender, rng)?;
        let first_hop = header.first_hop();
        let sealed = header.seal(PacketSize::Ack, ack)?;
        let mut packet = Box::new([0; PacketSize::Ack.packet_len()]);
        packet.copy_from_slice(&sealed);
        Ok(Self { first_hop, packet })
    }

    /// The return packet at the beginning, and the rest.
    ///
    /// # Errors
    /// If the bytes are too short, or the address of the first hop is invalid.
    pub fn decode(bytes: &[u8]) -> Result<(Self, &[u8]), ReturnPacketError> {
        let (first_hop, rest) = take(bytes).ok_or(ReturnPacketError::TooShort)?;
        let (packet, rest) = take(rest).ok_or(ReturnPacketError::TooShort)?;
        Ok((Self { first_hop: decode_padded(&first_hop)?, packet: Box::new(packet) }, rest))
    }

    /// First hop and packet.
    #[must_use]
    pub fn encode(&self) -> [u8; RETURN_PACKET_LEN] {
        let mut bytes = [0; RETURN_PACKET_LEN];
        bytes[..PADDED_LEN].copy_from_slice(&encode_padded(self.first_hop));
        bytes[PADDED_LEN..].copy_from_slice(&*self.packet);
        bytes
    }
}

#[cfg(test)]
mod tests;
