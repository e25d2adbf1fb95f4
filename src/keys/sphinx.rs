//! The X25519 key pair that opens Sphinx packets.

use aws_lc_rs::agreement::{PrivateKey, X25519};
use zeroize::Zeroizing;

use super::{KEY_LEN, KeyGenerationError, random_bytes};

/// An X25519 key pair.
pub struct SphinxKeyPair {
    private: Zeroizing<[u8; KEY_LEN]>,
    public: [u8; KEY_LEN],
}

impl SphinxKeyPair {
    /// A new key pair.
    ///
    /// # Errors
    /// When the machine has no randomness to give.
    pub fn generate() -> Result<Self, KeyGenerationError> {
        Self::from_private(random_bytes()?)
    }

    /// The key pair of this private scalar.
    ///
    /// # Errors
    /// When the cryptography library fails; every 32 bytes are a good scalar, for X25519 clamps them.
    pub fn from_private(private: impl Into<Zeroizing<[u8; KEY_LEN]>>) -> Result<Self, KeyGenerationError> {
        let private = private.into();
        let key = PrivateKey::from_private_key(&X25519, &*private).map_err(|_| KeyGenerationError)?;
        let public = key.compute_public_key().map_err(|_| KeyGenerationError)?;
        let public = public.as_ref().try_into().map_err(|_| KeyGenerationError)?;
        Ok(Self { private, public })
    }

    /// The private scalar, 32 bytes, not clamped.
    #[must_use]
    pub fn private(&self) -> &[u8; KEY_LEN] {
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
            let pair = SphinxKeyPair::from_private(private).unwrap();
            assert_eq!(pair.public(), expected.as_bytes(), "{fill}");
            assert_eq!(pair.private(), &private);
        }
    }

    #[test]
    fn no_two_generated_keys_are_the_same() {
        assert_ne!(SphinxKeyPair::generate().unwrap().public(), SphinxKeyPair::generate().unwrap().public());
    }
}
