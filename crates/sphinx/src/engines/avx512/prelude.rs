//! What both compilations of the lanes' code import.

pub(super) use sphinx_packet::constants::{
    EXPANDED_SHARED_SECRET_HKDF_INFO, PAYLOAD_KEY_HKDF_INFO, PAYLOAD_KEY_HKDF_SALT,
};
pub(super) use subtle::ConstantTimeEq;
pub(super) use zeroize::{Zeroize, Zeroizing};

pub(super) use super::public_blocks::{Message, ROUND_CONSTANTS, Schedule, messages};
pub(super) use crate::engines::inverse::invert_all;
pub(super) use crate::engines::{self, Job, Jobs, LANES, Secret, portable};
pub(super) use crate::key_schedule::{EXPANDED_LEN, PAYLOAD_KEY_LEN};
pub(super) use crate::x25519::{Bytes32, multiply_clamped};
pub(super) use crate::{BETA_LEN, HEADER_LEN, MAC_LEN, UnwrapError, header};

/// Bytes of a payload's left block in LIONESS.
pub(super) const LEFT_LEN: usize = 32;

/// Blocks of messages, wiped when dropped: all at once, where `Zeroizing` wipes arrays byte by byte.
pub(super) struct Blocks<const LEN: usize, const COUNT: usize>(pub [[u8; LEN]; COUNT]);

impl<const LEN: usize, const COUNT: usize> Drop for Blocks<LEN, COUNT> {
    fn drop(&mut self) {
        self.0.as_flattened_mut().zeroize();
    }
}

/// Words of eight little-endian numbers: word k of number i is at `[k][i]`.
pub(super) fn words_of<'a>(bytes: impl Fn(usize) -> &'a Bytes32) -> Zeroizing<[[u64; 8]; 4]> {
    let mut words = Zeroizing::new([[0; 8]; 4]);
    for lane in 0..8 {
        for (word, bytes) in words.iter_mut().zip(bytes(lane).as_chunks().0) {
            word[lane] = u64::from_le_bytes(*bytes);
        }
    }
    words
}

/// One of the numbers that [`words_of`] takes apart.
pub(super) fn bytes_of(words: &[[u64; 8]; 4], lane: usize) -> Secret {
    let mut bytes = Secret::default();
    for (bytes, word) in bytes.as_chunks_mut().0.iter_mut().zip(words) {
        *bytes = word[lane].to_le_bytes();
    }
    bytes
}

/// A short key as HMAC uses it.
pub(super) fn padded(key: &[u8]) -> [u8; 64] {
    let mut block = [0; 64];
    block[..key.len()].copy_from_slice(key);
    block
}

/// The last block of a message of `len` bytes for SHA-256, whose `rest`, at most 55 bytes, belongs to this block.
pub(super) fn last_block(rest: &[u8], len: usize) -> [u8; 64] {
    let mut block = padded(rest);
    block[rest.len()] = 0x80;
    block[56..].copy_from_slice(&(8 * len as u64).to_be_bytes());
    block
}
