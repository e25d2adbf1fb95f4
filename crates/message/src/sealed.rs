//! The content of a regular packet, encrypted for its recipient: a fragment, a reply or cover.

use std::fmt;

use nym_mixnode_sphinx::{PacketSize, multiply_clamped, public_key};
use rand::CryptoRng;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::ack::{ACK_LEN, RETURN_PACKET_LEN, ReturnPacket};
use crate::ciphers::{CipherKey, apply_ctr_without_iv, derive, take};
use crate::content::END;
use crate::fragment::{FRAGMENT_LEN, Fragment, FragmentError};
use crate::reply::{ReplyDigest, ReplyKey};

/// Length of a message in bytes, as a gateway hands it to its client.
pub const SEALED_LEN: usize = PREFIX_LEN + FRAGMENT_LEN;
/// An ephemeral public key, or the digest of a reply key.
const PREFIX_LEN: usize = 32;
/// What cover packets of 0.9.2 carry.
const COVER: &[u8] = b"The cake is a lie!";

const _: () = assert!(RETURN_PACKET_LEN + SEALED_LEN == PacketSize::Regular.plaintext_len());

/// An encrypted message without its return packet.
#[derive(Clone, PartialEq, Eq)]
pub struct Sealed {
    prefix: [u8; PREFIX_LEN],
    body: Box<[u8; FRAGMENT_LEN]>,
}

/// Prints nothing by which the message could be recognised elsewhere.
impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealed").finish_non_exhaustive()
    }
}

/// A key of low order, with which everything would be readable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the encryption key is a point of low order")]
pub struct WeakKey;

/// Why a message cannot be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum OpenError {
    /// Neither an acknowledgement nor a message.
    #[error("a message of {0} bytes has no meaning")]
    Length(usize),
    /// The sender's ephemeral key.
    #[error("the sender's key is a point of low order")]
    WeakKey,
    /// Damaged, or encrypted for another key.
    #[error("the message has no fragment: {0}")]
    Fragment(#[from] FragmentError),
}

/// What a gateway has handed to its client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pushed {
    /// Encrypted with the client's own [`AckKey`](crate::ack::AckKey).
    Ack([u8; ACK_LEN]),
    /// A reply if its digest is known, else a fragment or cover.
    Message(Sealed),
}

/// An opened message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opened {
    Cover,
    Fragment(Fragment),
}

impl Pushed {
    /// Tells acknowledgements and messages apart, by their length.
    ///
    /// # Errors
    /// When it is neither.
    pub fn decode(bytes: &[u8]) -> Result<Self, OpenError> {
        if let Ok(ack) = bytes.try_into() {
            return Ok(Self::Ack(ack));
        }
        Sealed::decode(bytes).map(Self::Message)
    }
}

impl Sealed {
    /// Encrypts a fragment for the recipient's X25519 key.
    ///
    /// # Errors
    /// When that key has low order.
    pub fn fragment(fragment: &Fragment, recipient: &[u8; 32], rng: &mut impl CryptoRng) -> Result<Self, WeakKey> {
        Self::encrypt(Box::new(*fragment.bytes()), recipient, rng)
    }

    /// Encrypts cover for the sender's own X25519 key.
    ///
    /// # Errors
    /// When that key has low order.
    pub fn cover(own_key: &[u8; 32], rng: &mut impl CryptoRng) -> Result<Self, WeakKey> {
        Self::encrypt(padded(COVER), own_key, rng)
    }

    pub(crate) fn reply(prefix: ReplyDigest, body: Box<[u8; FRAGMENT_LEN]>) -> Self {
        Self { prefix, body }
    }

    fn encrypt(
        mut body: Box<[u8; FRAGMENT_LEN]>,
        recipient: &[u8; 32],
        rng: &mut impl CryptoRng,
    ) -> Result<Self, WeakKey> {
        let mut ephemeral = Zeroizing::new([0; 32]);
        rng.fill_bytes(&mut *ephemeral);
        let key = shared_key(&ephemeral, recipient).ok_or(WeakKey)?;
        apply_ctr_without_iv(&key, &mut *body);
        Ok(Self { prefix: public_key(&ephemeral), body })
    }

    fn decode(bytes: &[u8]) -> Result<Self, OpenError> {
        let wrong = OpenError::Length(bytes.len());
        let (prefix, body) = take(bytes).ok_or(wrong)?;
        let body: &[u8; FRAGMENT_LEN] = body.try_into().map_err(|_| wrong)?;
        Ok(Self { prefix, body: Box::new(*body) })
    }

    /// The digest of the reply key, if this is a reply.
    #[must_use]
    pub fn digest(&self) -> &ReplyDigest {
        &self.prefix
    }

    /// Decrypts a reply whose digest is the one of `key`.
    ///
    /// # Errors
    /// When the reply has no end.
    pub fn open_reply(self, key: &ReplyKey) -> Result<Vec<u8>, crate::content::ContentError> {
        key.open(self.body)
    }

    /// Decrypts a fragment or cover with the recipient's private key.
    ///
    /// # Errors
    /// When it is neither, which also happens for every wrong key.
    pub fn open(self, private_key: &[u8; 32]) -> Result<Opened, OpenError> {
        let key = shared_key(private_key, &self.prefix).ok_or(OpenError::WeakKey)?;
        let mut body = Zeroizing::new(*self.body);
        apply_ctr_without_iv(&key, &mut *body);
        if body.starts_with(COVER) {
            return Ok(Opened::Cover);
        }
        Ok(Opened::Fragment(Fragment::decode(&*body)?))
    }

    /// As a gateway hands it to its client.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        [&self.prefix[..], &self.body[..]].concat()
    }

    /// The plaintext of the packet.
    #[must_use]
    pub fn with_return_packet(&self, packet: &ReturnPacket) -> Vec<u8> {
        [&packet.encode()[..], &self.prefix, &self.body[..]].concat()
    }
}

/// `data ‖ 01 ‖ zeros`, for data that is shorter than a fragment.
pub(crate) fn padded(data: &[u8]) -> Box<[u8; FRAGMENT_LEN]> {
    let mut bytes = Box::new([0; FRAGMENT_LEN]);
    for (byte, value) in bytes.iter_mut().zip(data.iter().chain([&END])) {
        *byte = *value;
    }
    bytes
}

fn shared_key(private: &[u8; 32], public: &[u8; 32]) -> Option<CipherKey> {
    multiply_clamped(private, public).map(|secret| derive(&*secret))
}

#[cfg(test)]
mod tests;
