//! Identity of the prober: generated for every run, never stored.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::agreement::{PrivateKey, X25519};
use aws_lc_rs::error::Unspecified;
use nym_mixnode_keys::IdentityKeyPair;
use zeroize::Zeroizing;

/// Sphinx key pair and identity under which a prober registers as a gateway.
pub(super) struct ProberKeys {
    pub(super) sphinx_private: Zeroizing<[u8; 32]>,
    pub(super) sphinx_public: [u8; 32],
    /// Identity key pair, which signs the prober's registration.
    pub(super) identity_keys: Arc<IdentityKeyPair>,
    /// Base58 of the identity's public key.
    pub(super) identity: String,
}

impl ProberKeys {
    pub(super) fn generate() -> Result<Self, Unspecified> {
        let mut sphinx_private = Zeroizing::new([0; 32]);
        aws_lc_rs::rand::fill(sphinx_private.as_mut_slice())?;
        let sphinx_public = public_of(&sphinx_private)?;
        let identity_keys = IdentityKeyPair::generate().map_err(|_| Unspecified)?;
        let identity = identity_keys.public_base58();
        Ok(Self { sphinx_private, sphinx_public, identity_keys: Arc::new(identity_keys), identity })
    }
}

/// Prints only public values.
impl fmt::Debug for ProberKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProberKeys").field("identity", &self.identity).finish_non_exhaustive()
    }
}

fn public_of(private: &[u8; 32]) -> Result<[u8; 32], Unspecified> {
    let public = PrivateKey::from_private_key(&X25519, private).map_err(|_| Unspecified)?.compute_public_key()?;
    public.as_ref().try_into().map_err(|_| Unspecified)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7748, section 5.2: X25519 of 9 and 9, which is the base point's coordinate.
    #[test]
    fn the_public_key_is_the_one_of_the_private_key() {
        let mut nine = [0; 32];
        nine[0] = 9;
        let public = public_of(&nine).unwrap();
        assert_eq!(public[..8], [0x42, 0x2c, 0x8e, 0x7a, 0x62, 0x27, 0xd7, 0xbc]);
        assert_eq!(public[24..], [0x3c, 0x60, 0xe8, 0x03, 0x11, 0xae, 0x30, 0x79]);
    }

    #[test]
    fn every_prober_has_new_keys_and_never_prints_secrets() {
        let (one, other) = (ProberKeys::generate().unwrap(), ProberKeys::generate().unwrap());
        assert_ne!(one.sphinx_private, other.sphinx_private);
        assert_ne!(one.identity, other.identity);
        assert_eq!(bs58::decode(&one.identity).into_vec().unwrap().len(), 32);
        assert!(!format!("{one:?}").contains("private"));
    }
}
