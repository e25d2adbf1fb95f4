//! The rounds of LIONESS on one payload: ChaCha20 and keyed BLAKE2b over a left block of 32 bytes and the rest.
//!
//! The order of the round keys is stream, hash, stream, hash; decryption uses them in reverse.

use blake2b_simd::Params;

use crate::key_schedule::PayloadKey;
use crate::wiped::Wiped;

/// Bytes of a payload's left block.
pub(crate) const LEFT_LEN: usize = 32;

/// Adds one layer of encryption to a payload, which is longer than its left block.
pub(crate) fn encrypt(payload: &mut [u8], key: &PayloadKey) {
    stream_round(payload, &key[..32]);
    hash_round(payload, &key[32..96]);
    stream_round(payload, &key[96..128]);
    hash_round(payload, &key[128..]);
}

/// `right ^= ChaCha20(left ^ key)`. The payload is longer than its left block.
pub(crate) fn stream_round(payload: &mut [u8], round_key: &[u8]) {
    let (left, right) = payload.split_at_mut(LEFT_LEN);
    stream(&stream_key(left, round_key), right);
}

/// The key of a stream round: `left ^ key`.
pub(crate) fn stream_key(left: &[u8], round_key: &[u8]) -> Wiped<LEFT_LEN> {
    let mut key = Wiped::new([0; LEFT_LEN]);
    key.copy_from_slice(left);
    xor(&mut *key, round_key);
    key
}

/// `left ^= BLAKE2b(key, right)`. The payload is longer than its left block.
fn hash_round(payload: &mut [u8], round_key: &[u8]) {
    let (left, right) = payload.split_at_mut(LEFT_LEN);
    xor(left, hash_parameters(round_key).hash(right).as_bytes());
}

/// BLAKE2b as in a hash round.
pub(crate) fn hash_parameters(round_key: &[u8]) -> Params {
    let mut params = Params::new();
    params.hash_length(LEFT_LEN).key(round_key);
    params
}

/// `bytes ^= ChaCha20(key)`, with a zero nonce.
///
/// aws-lc-rs offers this cipher only with a MAC. The chacha20 crate takes two and a half times as long (Zen 5).
pub(crate) fn stream(key: &[u8; LEFT_LEN], bytes: &mut [u8]) {
    const NONCE: [u8; 12] = [0; 12];
    let (out, len) = (bytes.as_mut_ptr(), bytes.len());
    #[expect(unsafe_code, reason = "aws-lc-rs has no stream cipher without a MAC")]
    // SAFETY: the function reads 32 bytes of the key and 12 of the nonce, and reads and writes `len` bytes of the
    // payload, where input and output may be the same. It keeps no pointer.
    unsafe {
        aws_lc_sys::CRYPTO_chacha_20(out, out, len, key.as_ptr(), NONCE.as_ptr(), 0);
    }
}

/// Up to the end of the shorter one.
pub(crate) fn xor(into: &mut [u8], other: &[u8]) {
    for (a, b) in into.iter_mut().zip(other) {
        *a ^= b;
    }
}
