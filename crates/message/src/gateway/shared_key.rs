//! The key that a client and its gateway agree on when the client registers.

use thiserror::Error;
use zeroize::Zeroizing;

use crate::ciphers::{CipherKey, KEY_LEN, TAG_LEN, apply_ctr, apply_ctr_without_iv, is_tag, tag, take};
use crate::text::encode_base58;

/// Key of the cipher and key of the tags.
#[derive(Clone)]
pub struct SharedKey {
    cipher: CipherKey,
    mac: CipherKey,
}

/// Why a binary message cannot be opened. The texts are those of 0.9.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SharedKeyError {
    /// Shorter than a tag.
    #[error("the request is too short")]
    TooShort,
    /// Damaged, or of another key.
    #[error("provided MAC is invalid")]
    Tag,
}

impl SharedKey {
    /// The bytes in a file, or derived in a handshake.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; 2 * KEY_LEN]) -> Self {
        let (keys, _) = bytes.as_chunks::<KEY_LEN>();
        Self { cipher: CipherKey::new(keys[0]), mac: CipherKey::new(keys[1]) }
    }

    /// Both keys, for a file.
    #[must_use]
    pub fn to_bytes(&self) -> Zeroizing<[u8; 2 * KEY_LEN]> {
        let mut bytes = Zeroizing::new([0; 2 * KEY_LEN]);
        bytes[..KEY_LEN].copy_from_slice(&*self.cipher);
        bytes[KEY_LEN..].copy_from_slice(&*self.mac);
        bytes
    }

    /// The keys as 0.9.2 prints them.
    #[must_use]
    pub fn to_base58(&self) -> Zeroizing<String> {
        Zeroizing::new(encode_base58(&*self.to_bytes()))
    }

    /// Encrypts the content of a binary message and puts its tag before it.
    #[must_use]
    pub fn seal(&self, content: &[u8]) -> Vec<u8> {
        let mut message = vec![0; TAG_LEN];
        message.extend_from_slice(content);
        let (head, body) = message.split_at_mut(TAG_LEN);
        apply_ctr_without_iv(&self.cipher, body);
        head.copy_from_slice(&tag(&*self.mac, body));
        message
    }

    /// Checks the tag of a binary message and decrypts its content.
    ///
    /// # Errors
    /// When the message is too short or has another tag.
    pub fn open(&self, message: &[u8]) -> Result<Vec<u8>, SharedKeyError> {
        let (found, body) = take(message).ok_or(SharedKeyError::TooShort)?;
        if !is_tag(&*self.mac, body, &found) {
            return Err(SharedKeyError::Tag);
        }
        let mut content = body.to_vec();
        apply_ctr_without_iv(&self.cipher, &mut content);
        Ok(content)
    }

    /// Encrypts bytes of a control message.
    pub(super) fn apply(&self, bytes: &mut [u8]) {
        apply_ctr_without_iv(&self.cipher, bytes);
    }

    /// Encrypts bytes of a control message with an IV.
    pub(super) fn apply_with_iv(&self, iv: &[u8; 16], bytes: &mut [u8]) {
        apply_ctr(&self.cipher, iv, bytes);
    }
}

/// Prints nothing of the keys.
impl std::fmt::Debug for SharedKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SharedKey").finish_non_exhaustive()
    }
}
