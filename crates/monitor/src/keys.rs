//! Identity of the prober: generated for every run, never stored.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::error::Unspecified;
use nym_mixnode_keys::IdentityKeyPair;
use nym_mixnode_sphinx::public_key;
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
        let sphinx_public = public_key(&sphinx_private);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_prober_has_new_keys_and_never_prints_secrets() {
        let (one, other) = (ProberKeys::generate().unwrap(), ProberKeys::generate().unwrap());
        assert_ne!(one.sphinx_private, other.sphinx_private);
        assert_ne!(one.identity, other.identity);
        assert_eq!(bs58::decode(&one.identity).into_vec().unwrap().len(), 32);
        assert!(!format!("{one:?}").contains("private"));
    }
}
