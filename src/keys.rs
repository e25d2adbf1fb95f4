//! The node's two key pairs. No secret has a `Debug` that shows it, and all are wiped when dropped.

use zeroize::Zeroizing;

/// Both key pairs of a node.
pub struct NodeKeys {
    /// Base58 of the Ed25519 public key: who the node is.
    pub identity_public: String,
    /// The X25519 key pair that unwraps Sphinx packets.
    pub sphinx: SphinxKeyPair,
}

/// An X25519 key pair.
pub struct SphinxKeyPair {
    private: Zeroizing<[u8; 32]>,
    public: [u8; 32],
}
impl SphinxKeyPair {
    /// The private scalar, 32 bytes, not clamped.
    #[must_use]
    pub fn private(&self) -> &[u8; 32] {
        &self.private
    }
    /// The public u-coordinate.
    #[must_use]
    pub fn public(&self) -> &[u8; 32] {
        &self.public
    }
    /// Base58 of the public key, as the directory lists it.
    #[must_use]
    pub fn public_base58(&self) -> String {
        bs58::encode(self.public).into_string()
    }
}
