//! Ciphers and hashes of 0.9.2, and keys that are wiped.

use aes::Aes128;
use blake3::Hasher;
use ctr::Ctr64BE;
use ctr::cipher::{KeyIvInit, StreamCipher};
use hkdf::SimpleHkdf;
use hmac::{KeyInit, Mac, SimpleHmac};
use zeroize::Zeroizing;

/// Length of an HMAC in bytes; it is never truncated.
pub(crate) const TAG_LEN: usize = 32;
pub(crate) const KEY_LEN: usize = 16;
pub(crate) const IV_LEN: usize = 16;

/// An AES-128 key.
pub(crate) type CipherKey = Zeroizing<[u8; KEY_LEN]>;

/// Encrypts or decrypts with AES-128-CTR, whose counter is the lower half of the IV.
pub(crate) fn apply_ctr(key: &[u8; KEY_LEN], iv: &[u8; IV_LEN], bytes: &mut [u8]) {
    Ctr64BE::<Aes128>::new(key.into(), iv.into()).apply_keystream(bytes);
}

/// As [`apply_ctr`], with an IV of zeros: each key must be used once, except where the 0.9.2 network does otherwise.
pub(crate) fn apply_ctr_without_iv(key: &[u8; KEY_LEN], bytes: &mut [u8]) {
    apply_ctr(key, &[0; IV_LEN], bytes);
}

/// RFC 2104 over BLAKE3, which is not BLAKE3's own keyed mode.
pub(crate) fn tag(key: &[u8], message: &[u8]) -> [u8; TAG_LEN] {
    hmac(key, message).finalize().into_bytes().into()
}

/// Compares in constant time.
pub(crate) fn is_tag(key: &[u8], message: &[u8], tag: &[u8; TAG_LEN]) -> bool {
    hmac(key, message).verify(&(*tag).into()).is_ok()
}

fn hmac(key: &[u8], message: &[u8]) -> SimpleHmac<Hasher> {
    #[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
    let mut hmac = SimpleHmac::<Hasher>::new_from_slice(key).expect("any key length");
    hmac.update(message);
    hmac
}

/// RFC 5869 over the same HMAC, without salt and info.
pub(crate) fn derive<const LEN: usize>(secret: &[u8]) -> Zeroizing<[u8; LEN]> {
    const { assert!(LEN <= 255 * TAG_LEN, "HKDF has no longer output") };
    let mut key = Zeroizing::new([0; LEN]);
    #[expect(clippy::expect_used, reason = "fails only beyond 255 blocks, which the assertion above excludes")]
    SimpleHkdf::<Hasher>::new(None, secret).expand(&[], &mut *key).expect("within HKDF's length");
    key
}

/// The first `LEN` bytes and the rest; `None` when there are fewer.
pub(crate) fn take<const LEN: usize>(bytes: &[u8]) -> Option<([u8; LEN], &[u8])> {
    bytes.split_first_chunk().map(|(head, rest)| (*head, rest))
}
