//! Base58 within bounds, points of Ed25519, and bytes that are not printed.

use std::fmt;

use curve25519_dalek::edwards::CompressedEdwardsY;

/// Decodes base58 of at most `len_max` bytes. Decoding is quadratic, so longer text is rejected first.
pub(crate) fn decode_base58(text: &str, len_max: usize) -> Option<Vec<u8>> {
    // A digit is 5.86 bits.
    if text.len() > len_max * 8 / 5 + 1 {
        return None;
    }
    bs58::decode(text).into_vec().ok().filter(|bytes| bytes.len() <= len_max)
}

/// Decodes base58 of exactly `LEN` bytes.
pub(crate) fn decode_base58_array<const LEN: usize>(text: &str) -> Option<[u8; LEN]> {
    decode_base58(text, LEN)?.try_into().ok()
}

pub(crate) fn encode_base58(bytes: &[u8]) -> String {
    bs58::encode(bytes).into_string()
}

/// Prints the number of bytes, and nothing of what they are.
pub(crate) struct Hidden<'a>(pub(crate) &'a [u8]);

impl fmt::Debug for Hidden<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

/// Whether these bytes can be an Ed25519 public key.
pub(crate) fn is_point(key: &[u8; 32]) -> bool {
    CompressedEdwardsY(*key).decompress().is_some()
}
