//! The X25519 key pair that unwraps Sphinx packets.

use super::{KEY_LEN, KeyGenerationError, SecretKey, fill_random};

/// An X25519 key pair.
pub struct SphinxKeyPair {
    private: SecretKey,
    public: [u8; KEY_LEN],
}

impl SphinxKeyPair {
    /// Generates a key pair.
    ///
    /// # Errors
    /// When the system's source of randomness fails.
    pub fn generate() -> Result<Self, KeyGenerationError> {
        Ok(Self::from_secret(SecretKey::written_by(fill_random)?))
    }

    /// Derives the key pair from a private scalar.
    ///
    /// # Errors
    /// When there is no memory. Any 32 bytes are a valid scalar, because X25519 clamps them.
    pub fn from_private(private: &[u8; KEY_LEN]) -> Result<Self, KeyGenerationError> {
        let copy = |key: &mut [u8; KEY_LEN]| {
            key.copy_from_slice(private);
            Ok::<_, KeyGenerationError>(())
        };
        Ok(Self::from_secret(SecretKey::written_by(copy)?))
    }

    /// Derives the key pair from a private scalar without copying it.
    #[must_use]
    pub(super) fn from_secret(private: SecretKey) -> Self {
        let public = nym_mixnode_sphinx::public_key(&private);
        Self { private, public }
    }

    /// The private scalar, 32 bytes, not clamped.
    #[must_use]
    pub fn private(&self) -> &[u8; KEY_LEN] {
        &self.private
    }

    /// The private scalar, shareable without a copy.
    #[must_use]
    pub fn secret(&self) -> &SecretKey {
        &self.private
    }

    /// The public u-coordinate.
    #[must_use]
    pub fn public(&self) -> &[u8; KEY_LEN] {
        &self.public
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
    use curve25519_dalek::MontgomeryPoint;

    #[test]
    fn derives_the_same_public_key_as_an_independent_implementation() {
        for fill in [0, 1, 7, 8, 0x55, 0x80, 0xff] {
            let private = [fill; KEY_LEN];
            let expected = MontgomeryPoint::mul_base_clamped(private);
            let pair = SphinxKeyPair::from_private(&private).unwrap();
            assert_eq!(pair.public(), expected.as_bytes(), "{fill}");
            assert_eq!(*pair.private(), private);
        }
    }

    #[test]
    fn generated_keys_differ() {
        assert_ne!(SphinxKeyPair::generate().unwrap().public(), SphinxKeyPair::generate().unwrap().public());
    }
}
