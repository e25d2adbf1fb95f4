//! A client's proof that it has registered: its identity, encrypted with the shared key.
//!
//! There is no challenge: anyone who has seen the message can send it again.

use rand::CryptoRng;
use subtle::ConstantTimeEq;

use super::{ClientText, Refusal, SharedKey};
use crate::ciphers::IV_LEN;
use crate::text::{decode_base58_array, encode_base58};

/// The content of an `authenticate` message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authentication {
    identity: [u8; 32],
    encrypted: [u8; 32],
    iv: [u8; IV_LEN],
}

impl Authentication {
    /// Proves that this client has this key.
    #[must_use]
    pub fn new(identity: [u8; 32], key: &SharedKey, rng: &mut impl CryptoRng) -> Self {
        let mut iv = [0; IV_LEN];
        rng.fill_bytes(&mut iv);
        let mut encrypted = identity;
        key.apply_with_iv(&iv, &mut encrypted);
        Self { identity, encrypted, iv }
    }

    /// Parses the fields of the message.
    ///
    /// # Errors
    /// [`Refusal::DestinationAddress`], [`Refusal::EncryptedAddress`] or [`Refusal::Iv`].
    pub fn parse(address: &str, enc_address: &str, iv: &str) -> Result<Self, Refusal> {
        Ok(Self {
            identity: decode_base58_array(address).ok_or(Refusal::DestinationAddress)?,
            encrypted: decode_base58_array(enc_address).ok_or(Refusal::EncryptedAddress)?,
            iv: decode_base58_array(iv).ok_or(Refusal::Iv)?,
        })
    }

    /// Who claims to have registered.
    #[must_use]
    pub fn identity(&self) -> &[u8; 32] {
        &self.identity
    }

    /// Whether the client has this key.
    #[must_use]
    pub fn is_of(&self, key: &SharedKey) -> bool {
        let mut expected = self.identity;
        key.apply_with_iv(&self.iv, &mut expected);
        expected.ct_eq(&self.encrypted).into()
    }

    /// The message.
    #[must_use]
    pub fn to_text(&self) -> ClientText {
        ClientText::Authenticate {
            address: encode_base58(&self.identity),
            enc_address: encode_base58(&self.encrypted),
            iv: encode_base58(&self.iv),
        }
    }
}
