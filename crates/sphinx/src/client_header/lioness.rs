//! One layer of LIONESS around a payload. Engines remove layers from whole batches; a sender adds them to one packet.

use blake2b_simd::Params;
use chacha20::ChaCha20;
use chacha20::cipher::{KeyIvInit, StreamCipher};
use zeroize::Zeroizing;

use super::xor;
use crate::key_schedule::PayloadKey;

const LEFT_LEN: usize = 32;

/// Encrypts a payload that is longer than its left block of 32 bytes.
pub(super) fn encrypt(payload: &mut [u8], key: &PayloadKey) {
    let (left, right) = payload.split_at_mut(LEFT_LEN);
    stream_round(left, right, &key[..32]);
    hash_round(left, right, &key[32..96]);
    stream_round(left, right, &key[96..128]);
    hash_round(left, right, &key[128..]);
}

/// `right ^= ChaCha20(left ^ key)`.
fn stream_round(left: &[u8], right: &mut [u8], round_key: &[u8]) {
    let mut key = Zeroizing::new([0; LEFT_LEN]);
    key.copy_from_slice(left);
    xor(&mut *key, round_key);
    ChaCha20::new((&*key).into(), &[0; 12].into()).apply_keystream(right);
}

/// `left ^= BLAKE2b(key, right)`.
fn hash_round(left: &mut [u8], right: &[u8], round_key: &[u8]) {
    let hash = Params::new().hash_length(LEFT_LEN).key(round_key).hash(right);
    xor(left, hash.as_bytes());
}
