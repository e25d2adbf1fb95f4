//! Single-use reply blocks: a header to their owner, and the keys with which somebody else fills its packet.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use nym_mixnode_sphinx::{CLIENT_HEADER_LEN, CLIENT_HOPS, ClientHeader, ClientHeaderError, Hop, PacketSize};
use rand::CryptoRng;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::ack::ReturnPacket;
use crate::ciphers::{CipherKey, KEY_LEN, apply_ctr_without_iv, take};
use crate::content::{ContentError, unpadded};
use crate::fragment::FRAGMENT_LEN;
use crate::sealed::{Sealed, padded};
use crate::text::{decode_base58, encode_base58};

/// Length of an encoded reply block in bytes.
pub const REPLY_BLOCK_LEN: usize = KEY_LEN + CLIENT_HEADER_LEN;
/// Bytes of the longest reply.
pub const REPLY_LEN_MAX: usize = FRAGMENT_LEN - 1;

const _: () = assert!(REPLY_BLOCK_LEN == 1164);

/// What a reply begins with, so that the owner of its block finds the key.
pub type ReplyDigest = [u8; 32];

/// The key of one reply, known to the owner of its block and to the sender of the reply.
#[derive(Clone)]
pub struct ReplyKey(CipherKey);

impl ReplyKey {
    /// The key in a store.
    #[must_use]
    pub fn from_bytes(key: &[u8; KEY_LEN]) -> Self {
        Self(CipherKey::new(*key))
    }

    /// The key, for a store.
    #[must_use]
    pub fn to_bytes(&self) -> &[u8; KEY_LEN] {
        &self.0
    }

    /// BLAKE3 of the key.
    #[must_use]
    pub fn digest(&self) -> ReplyDigest {
        blake3::hash(&*self.0).into()
    }

    pub(crate) fn open(&self, mut body: Box<[u8; FRAGMENT_LEN]>) -> Result<Vec<u8>, ContentError> {
        apply_ctr_without_iv(&self.0, &mut *body);
        unpadded(&*body).map(<[u8]>::to_vec)
    }
}

/// Lets its holder send one packet to the owner, without learning who that is.
#[derive(Clone)]
pub struct ReplyBlock {
    key: ReplyKey,
    header: Box<ClientHeader>,
}

/// Why bytes or a text are no reply block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ReplyBlockError {
    /// Another length than [`REPLY_BLOCK_LEN`], or no base58.
    #[error("a reply block is {REPLY_BLOCK_LEN} bytes, or base58 of these")]
    Form,
    /// The address of its first hop.
    #[error("the reply block is malformed: {0}")]
    Header(#[from] ClientHeaderError),
}

/// A reply that does not fit. The text is that of 0.9.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("too long message to put inside a reply SURB. Received: {0} bytes and maximum is {REPLY_LEN_MAX} bytes")]
pub struct ReplyTooLong(pub usize);

impl ReplyBlock {
    /// Builds a block along `route`, which ends at the owner's own gateway.
    ///
    /// # Errors
    /// When a hop has a Sphinx key of low order.
    pub fn build(
        route: &[Hop; CLIENT_HOPS],
        delays: &[Duration; CLIENT_HOPS - 1],
        owner: &[u8; 32],
        rng: &mut impl CryptoRng,
    ) -> Result<Self, ClientHeaderError> {
        let header = ClientHeader::build(route, delays, owner, rng)?;
        let mut key = CipherKey::default();
        rng.fill_bytes(&mut *key);
        Ok(Self { key: ReplyKey(key), header: Box::new(header) })
    }

    /// What the owner keeps.
    #[must_use]
    pub fn key(&self) -> &ReplyKey {
        &self.key
    }

    /// The packet with a reply, and where it is sent first.
    ///
    /// # Errors
    /// When the reply is longer than [`REPLY_LEN_MAX`].
    pub fn answer(self, reply: &[u8], return_packet: &ReturnPacket) -> Result<(SocketAddr, Vec<u8>), ReplyTooLong> {
        let too_long = ReplyTooLong(reply.len());
        if reply.len() > REPLY_LEN_MAX {
            return Err(too_long);
        }
        let mut body = padded(reply);
        apply_ctr_without_iv(&self.key.0, &mut *body);
        let sealed = Sealed::reply(self.key.digest(), body);
        let first_hop = self.header.first_hop();
        let plaintext = sealed.with_return_packet(return_packet);
        let packet = self.header.seal(PacketSize::Regular, &plaintext).map_err(|_| too_long)?;
        Ok((first_hop, packet))
    }

    #[cfg(test)]
    pub(crate) fn into_header(self) -> ClientHeader {
        *self.header
    }

    /// Reply key, header, first hop, payload keys.
    #[must_use]
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(REPLY_BLOCK_LEN));
        bytes.extend_from_slice(&*self.key.0);
        bytes.extend_from_slice(&self.header.to_bytes());
        bytes
    }

    /// # Errors
    /// When the first hop is not an address.
    pub fn from_bytes(bytes: &[u8; REPLY_BLOCK_LEN]) -> Result<Self, ReplyBlockError> {
        let (key, rest) = take(bytes).ok_or(ReplyBlockError::Form)?;
        let header = rest.try_into().map_err(|_| ReplyBlockError::Form)?;
        Ok(Self { key: ReplyKey(CipherKey::new(key)), header: Box::new(ClientHeader::from_bytes(header)?) })
    }

    /// Base58 of the bytes, as texts contain it.
    #[must_use]
    pub fn to_base58(&self) -> Zeroizing<String> {
        Zeroizing::new(encode_base58(&self.to_bytes()))
    }
}

impl FromStr for ReplyBlock {
    type Err = ReplyBlockError;

    fn from_str(text: &str) -> Result<Self, ReplyBlockError> {
        let bytes = Zeroizing::new(decode_base58(text, REPLY_BLOCK_LEN).ok_or(ReplyBlockError::Form)?);
        Self::from_bytes(bytes.as_slice().try_into().map_err(|_| ReplyBlockError::Form)?)
    }
}

/// Prints no key.
impl fmt::Debug for ReplyBlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplyBlock").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
