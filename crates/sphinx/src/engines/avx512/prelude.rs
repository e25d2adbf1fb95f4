//! What both compilations of the lanes' code import.

pub(super) use sphinx_packet::constants::{
    EXPANDED_SHARED_SECRET_HKDF_INFO, PAYLOAD_KEY_HKDF_INFO, PAYLOAD_KEY_HKDF_SALT,
};
pub(super) use subtle::ConstantTimeEq;
pub(super) use zeroize::{Zeroize, Zeroizing};

pub(super) use super::public_blocks::{Message, Schedule, messages};
pub(super) use crate::engines::inverse::invert_all;
pub(super) use crate::engines::sha256::{INITIAL_STATE, ROUND_CONSTANTS, last_block, padded};
pub(super) use crate::engines::{self, Job, Jobs, LANES, Secret, portable};
pub(super) use crate::key_schedule::{EXPANDED_LEN, PAYLOAD_KEY_LEN};
pub(super) use crate::lioness::{LEFT_LEN, stream_key};
pub(super) use crate::x25519::{Bytes32, multiply_clamped};
pub(super) use crate::{BETA_LEN, HEADER_LEN, MAC_LEN, UnwrapError, header};

/// Blocks of messages, wiped when dropped, as `Wiped`.
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
