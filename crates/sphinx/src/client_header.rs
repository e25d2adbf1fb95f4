//! Headers of packets for clients, of version 256: the only one that the gateways and clients of 0.9.2 use.
//!
//! A header is built before its message is known, so the same type is the core of a single-use reply block. The
//! sphinx-packet library builds no header of this version since its 0.3.

use std::net::SocketAddr;
use std::time::Duration;

use aes::Aes128;
use ctr::Ctr64BE;
use ctr::cipher::{KeyIvInit, StreamCipher};
use curve25519_dalek::Scalar;
use curve25519_dalek::scalar::clamp_integer;
use hmac::{Hmac, KeyInit, Mac};
use rand::CryptoRng;
use sha2::Sha256;
use thiserror::Error;
use zeroize::{Zeroize, Zeroizing};

use crate::key_schedule::{HopKeys, PAYLOAD_KEY_LEN, PayloadKey};
use crate::lioness::{self, xor};
use crate::payload::innermost;
use crate::x25519::{Bytes32, clamped_equivalent, multiply_clamped};
use crate::{
    ALPHA_LEN, AddressError, BETA_LEN, HEADER_LEN, Hop, MAC_LEN, NEXT_HOP_ADDRESS_LEN, PacketSize, SLOT_LEN,
    SphinxVersion, decode_next_hop, encode_next_hop, public_key,
};

/// Hops of every route of the 0.9.2 network: three mixes and a gateway.
pub const CLIENT_HOPS: usize = 4;
/// Length of an encoded [`ClientHeader`] in bytes: header, first hop, a payload key for each hop.
pub const CLIENT_HEADER_LEN: usize = HEADER_LEN + NEXT_HOP_ADDRESS_LEN + CLIENT_HOPS * PAYLOAD_KEY_LEN;

const VERSION: [u8; 3] = [0, 1, 0];
const FLAG_FORWARD: u8 = 1;
const FLAG_FINAL: u8 = 2;
const IDENTIFIER_LEN: usize = 16;
/// Bytes that the slots of all hops but the last take.
const FILLER_LEN: usize = (CLIENT_HOPS - 1) * SLOT_LEN;
/// The last hop's slot and its padding.
const LAST_SLOT_LEN: usize = BETA_LEN - FILLER_LEN;
const DESTINATION_END: usize = 4 + 32;

/// Why a packet for a client cannot be built.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ClientHeaderError {
    /// Its shared secret would be zero, which is public.
    #[error("the Sphinx key of {0} is a point of low order")]
    WeakKey(SocketAddr),
    /// The message does not fit into one packet.
    #[error("a message of {len} bytes does not fit into a packet, which carries {max}")]
    TooLong { len: usize, max: usize },
    /// The first hop of an encoded header.
    #[error("the first hop is malformed: {0}")]
    FirstHop(#[from] AddressError),
}

/// The header of one packet along a route, and the payload keys of its hops. It must not be used twice.
#[derive(Clone)]
pub struct ClientHeader {
    first_hop: SocketAddr,
    header: [u8; HEADER_LEN],
    payload_keys: [PayloadKey; CLIENT_HOPS],
}

impl ClientHeader {
    /// Builds a header along `route`, whose last hop delivers the message to `destination`.
    ///
    /// `delays` are those of the mixes; the gateway forwards at once.
    ///
    /// # Errors
    /// When a hop has a Sphinx key of low order.
    pub fn build(
        route: &[Hop; CLIENT_HOPS],
        delays: &[Duration; CLIENT_HOPS - 1],
        destination: &[u8; 32],
        rng: &mut impl CryptoRng,
    ) -> Result<Self, ClientHeaderError> {
        let mut secret = Zeroizing::new([0; 32]);
        rng.fill_bytes(&mut *secret);
        let mut padding = [0; LAST_SLOT_LEN - DESTINATION_END - IDENTIFIER_LEN];
        rng.fill_bytes(&mut padding);
        let secret = Zeroizing::new(clamp_integer(*secret));
        let keys = hop_keys(route, &secret)?;
        let (mac, beta) = slots(route, delays, &keys, last_slot(destination, &padding));
        let mut header = [0; HEADER_LEN];
        header[..ALPHA_LEN].copy_from_slice(&public_key(&secret));
        header[ALPHA_LEN..ALPHA_LEN + MAC_LEN].copy_from_slice(&mac);
        header[ALPHA_LEN + MAC_LEN..].copy_from_slice(&beta);
        let payload_keys = keys.map(|keys| keys.payload_key(SphinxVersion::V256));
        Ok(Self { first_hop: route[0].address, header, payload_keys })
    }

    /// Where the packet is sent first.
    #[must_use]
    pub fn first_hop(&self) -> SocketAddr {
        self.first_hop
    }

    /// Encrypts a message for all hops and returns the packet.
    ///
    /// # Errors
    /// When the message is longer than [`PacketSize::plaintext_len`].
    pub fn seal(self, size: PacketSize, message: &[u8]) -> Result<Vec<u8>, ClientHeaderError> {
        let max = size.plaintext_len();
        let too_long = ClientHeaderError::TooLong { len: message.len(), max };
        let mut payload = innermost(message, size.payload_len()).ok_or(too_long)?;
        for key in self.payload_keys.iter().rev() {
            lioness::encrypt(&mut payload, key);
        }
        Ok([&self.header[..], &payload].concat())
    }

    /// Header, first hop and payload keys, as a reply block carries them.
    #[must_use]
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(CLIENT_HEADER_LEN));
        bytes.extend_from_slice(&self.header);
        bytes.extend_from_slice(&encode_next_hop(self.first_hop));
        for key in &self.payload_keys {
            bytes.extend_from_slice(&**key);
        }
        bytes
    }

    /// The reverse of [`to_bytes`](Self::to_bytes). The header itself is not examined: only its hops can.
    ///
    /// # Errors
    /// When the first hop is neither an IPv4 nor an IPv6 address.
    pub fn from_bytes(bytes: &[u8; CLIENT_HEADER_LEN]) -> Result<Self, ClientHeaderError> {
        let (header, rest) = take(bytes);
        let (first_hop, rest) = take(rest);
        let mut rest = rest;
        let payload_keys = std::array::from_fn(|_| {
            let (key, after) = take(rest);
            rest = after;
            PayloadKey::new(key)
        });
        Ok(Self { first_hop: decode_next_hop(&first_hop)?, header, payload_keys })
    }
}

/// The keys that each hop will derive. The blinded secrets are multiplied as they are, never clamped again.
fn hop_keys(route: &[Hop; CLIENT_HOPS], secret: &Bytes32) -> Result<[HopKeys; CLIENT_HOPS], ClientHeaderError> {
    let mut blinded = Scalar::from_bytes_mod_order(*secret);
    let mut keys: [Option<HopKeys>; CLIENT_HOPS] = Default::default();
    for (index, (slot, hop)) in keys.iter_mut().zip(route).enumerate() {
        let scalar =
            if index == 0 { Zeroizing::new(*secret) } else { clamped_equivalent(&Zeroizing::new(blinded.to_bytes())) };
        let shared = multiply_clamped(&scalar, &hop.sphinx_key);
        let derived = HopKeys::derive(&*shared.ok_or(ClientHeaderError::WeakKey(hop.address))?);
        blinded *= Scalar::from_bytes_mod_order(*derived.blinding());
        *slot = Some(derived);
    }
    blinded.zeroize();
    #[expect(clippy::expect_used, reason = "the loop above fills every element")]
    Ok(keys.map(|keys| keys.expect("keys of each hop")))
}

/// Flag, version, destination, identifier of zeros (as 0.9.2 clients write it), random padding.
fn last_slot(destination: &[u8; 32], padding: &[u8]) -> [u8; LAST_SLOT_LEN] {
    let mut slot = [0; LAST_SLOT_LEN];
    slot[0] = FLAG_FINAL;
    slot[1..4].copy_from_slice(&VERSION);
    slot[4..DESTINATION_END].copy_from_slice(destination);
    slot[DESTINATION_END + IDENTIFIER_LEN..].copy_from_slice(padding);
    slot
}

/// MAC and β for the first hop, built from the last hop to the first.
fn slots(
    route: &[Hop; CLIENT_HOPS],
    delays: &[Duration; CLIENT_HOPS - 1],
    keys: &[HopKeys; CLIENT_HOPS],
    last: [u8; LAST_SLOT_LEN],
) -> ([u8; MAC_LEN], [u8; BETA_LEN]) {
    let mut beta = [0; BETA_LEN];
    beta[..LAST_SLOT_LEN].copy_from_slice(&last);
    xor(&mut beta[..LAST_SLOT_LEN], &*key_stream(&keys[CLIENT_HOPS - 1]));
    beta[LAST_SLOT_LEN..].copy_from_slice(&filler(keys));
    let mut mac = mac_of(&keys[CLIENT_HOPS - 1], &beta);
    for (index, delay) in delays.iter().enumerate().rev() {
        let mut outer = [0; BETA_LEN];
        outer[0] = FLAG_FORWARD;
        outer[1..4].copy_from_slice(&VERSION);
        outer[4..36].copy_from_slice(&encode_next_hop(route[index + 1].address));
        let nanos = u64::try_from(delay.as_nanos()).unwrap_or(u64::MAX);
        outer[36..44].copy_from_slice(&nanos.to_be_bytes());
        outer[44..SLOT_LEN].copy_from_slice(&mac);
        outer[SLOT_LEN..].copy_from_slice(&beta[..BETA_LEN - SLOT_LEN]);
        xor(&mut outer, &*key_stream(&keys[index]));
        (mac, beta) = (mac_of(&keys[index], &outer), outer);
    }
    (mac, beta)
}

/// What the hops before the last append to β, as the last one sees it.
fn filler(keys: &[HopKeys; CLIENT_HOPS]) -> [u8; FILLER_LEN] {
    let mut filler = [0; FILLER_LEN];
    for (index, keys) in keys[..CLIENT_HOPS - 1].iter().enumerate() {
        let len = (index + 1) * SLOT_LEN;
        xor(&mut filler[..len], &key_stream(keys)[BETA_LEN + SLOT_LEN - len..]);
    }
    filler
}

fn key_stream(keys: &HopKeys) -> Zeroizing<[u8; BETA_LEN + SLOT_LEN]> {
    let mut stream = Zeroizing::new([0; BETA_LEN + SLOT_LEN]);
    Ctr64BE::<Aes128>::new(keys.stream_key().into(), &[0; 16].into()).apply_keystream(&mut *stream);
    stream
}

fn mac_of(keys: &HopKeys, beta: &[u8; BETA_LEN]) -> [u8; MAC_LEN] {
    #[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
    let mut hmac = Hmac::<Sha256>::new_from_slice(keys.mac_key()).expect("any key length");
    hmac.update(beta);
    take(&hmac.finalize().into_bytes()).0
}

/// The first `LEN` bytes and the rest of a slice that is long enough.
fn take<const LEN: usize>(bytes: &[u8]) -> ([u8; LEN], &[u8]) {
    let (head, rest) = bytes.split_at(LEN);
    let mut array = [0; LEN];
    array.copy_from_slice(head);
    (array, rest)
}

/// Prints no key.
impl std::fmt::Debug for ClientHeader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientHeader").field("first_hop", &self.first_hop).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
