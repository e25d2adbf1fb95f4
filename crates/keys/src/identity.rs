//! The Ed25519 key pair that identifies the node.

use std::fmt;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use nym_mixnode_base::secret::wipe_stack;

use super::{KEY_LEN, KeyGenerationError, SecretKey, fill_random};

/// An Ed25519 key pair.
pub struct IdentityKeyPair {
    seed: SecretKey,
    public: [u8; KEY_LEN],
}

/// Prints no part of the seed.
impl fmt::Debug for IdentityKeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdentityKeyPair").field("public", &self.public_base58()).finish_non_exhaustive()
    }
}

impl IdentityKeyPair {
    /// Generates a key pair.
    ///
    /// # Errors
    /// When the system's source of randomness fails.
    pub fn generate() -> Result<Self, KeyGenerationError> {
        Self::from_seed(SecretKey::written_by(fill_random)?)
    }

    /// Derives the key pair from a seed, the usual form of the private key.
    ///
    /// # Errors
    /// When the cryptography library fails; every seed is valid.
    pub fn from_seed(seed: SecretKey) -> Result<Self, KeyGenerationError> {
        let pair = Ed25519KeyPair::from_seed_unchecked(&*seed).map_err(|_| KeyGenerationError)?;
        let public = pair.public_key().as_ref().try_into().map_err(|_| KeyGenerationError)?;
        Ok(Self { seed, public })
    }

    /// The seed.
    #[must_use]
    pub fn seed(&self) -> &[u8; KEY_LEN] {
        &self.seed
    }

    /// The public key.
    #[must_use]
    pub fn public(&self) -> &[u8; KEY_LEN] {
        &self.public
    }

    /// The signature over a message, 64 bytes.
    ///
    /// # Errors
    /// When the cryptography library fails.
    pub fn sign(&self, message: &[u8]) -> Result<[u8; 64], KeyGenerationError> {
        let pair = Ed25519KeyPair::from_seed_unchecked(&*self.seed).map_err(|_| KeyGenerationError)?;
        let signature = pair.sign(message);
        drop(pair);
        wipe_stack();
        signature.as_ref().try_into().map_err(|_| KeyGenerationError)
    }

    /// Base58 of the public key, as the directory lists it.
    #[must_use]
    pub fn public_base58(&self) -> String {
        bs58::encode(self.public).into_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(hex: &str) -> [u8; 32] {
        std::array::from_fn(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap())
    }

    #[test]
    fn derives_the_public_key_of_rfc_8032_test_1() {
        let bytes_of_seed = bytes("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60");
        let public = bytes("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
        let seed = SecretKey::written_by(|key| {
            *key = bytes_of_seed;
            Ok::<_, KeyGenerationError>(())
        });
        assert_eq!(IdentityKeyPair::from_seed(seed.unwrap()).unwrap().public(), &public);
    }

    #[test]
    fn generated_keys_differ() {
        assert_ne!(IdentityKeyPair::generate().unwrap().public(), IdentityKeyPair::generate().unwrap().public());
    }
}
