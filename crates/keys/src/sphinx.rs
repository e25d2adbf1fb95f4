//! The X25519 key pair that opens Sphinx packets.

use super::{KEY_LEN, KeyGenerationError, SecretKey, fill_random};

/// An X25519 key pair.
pub struct SphinxKeyPair {
    private: SecretKey,
    public: [u8; KEY_LEN],
}

impl SphinxKeyPair {
    /// A new key pair.
    ///
    /// # Errors
    /// When the machine has no randomness to give.
    pub fn generate() -> Result<Self, KeyGenerationError> {
        Ok(Self::from_secret(SecretKey::written_by(fill_random)?))
    }

    /// The key pair of this private scalar.
    ///
    /// # Errors
    /// When the machine has no memory to give; every 32 bytes are a good scalar, for X25519 clamps them.
    pub fn from_private(private: &[u8; KEY_LEN]) -> Result<Self, KeyGenerationError> {
        let copy = |key: &mut [u8; KEY_LEN]| {
            key.copy_from_slice(private);
            Ok::<_, KeyGenerationError>(())
        };
        Ok(Self::from_secret(SecretKey::written_by(copy)?))
    }

    /// The key pair of this private scalar, without a copy of it.
    #[must_use]
    pub fn from_secret(private: SecretKey) -> Self {
        let public = nym_mixnode_sphinx::public_key(&private);
        Self { private, public }
    }

    /// The private scalar, 32 bytes, not clamped.
    #[must_use]
    pub fn private(&self) -> &[u8; KEY_LEN] {
        &self.private
    }

    /// The same, to be shared.
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
    fn no_two_generated_keys_are_the_same() {
        assert_ne!(SphinxKeyPair::generate().unwrap().public(), SphinxKeyPair::generate().unwrap().public());
    }
}
