//! The node's two key pairs. No secret has a `Debug` that shows it, and all are wiped when dropped.

mod access;
pub mod archive;
mod identity;
pub mod install;
pub mod secrecy;
mod sphinx;
pub mod store;

use std::sync::Arc;

pub use crate::secret::SecretKey;
pub use access::{KeyUse, PrivateAccess};
pub use identity::IdentityKeyPair;
pub use sphinx::SphinxKeyPair;
pub use store::{KeyError, KeyFiles, KeyPairs};

/// Both key pairs of a node.
pub struct NodeKeys {
    /// The Ed25519 key pair that signs the node's calls to its directory.
    pub identity: Arc<IdentityKeyPair>,
    /// Base58 of the Ed25519 public key: who the node is.
    pub identity_public: String,
    /// The X25519 key pair that unwraps Sphinx packets.
    pub sphinx: SphinxKeyPair,
}

/// Bytes of every key here, private or public.
const KEY_LEN: usize = 32;

/// The cryptography library refused to work: no randomness, or no memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no key can be made on this machine: its cryptography or its source of randomness fails")]
pub struct KeyGenerationError;

impl From<std::io::Error> for KeyGenerationError {
    /// No memory for the key.
    fn from(_: std::io::Error) -> Self {
        Self
    }
}

fn fill_random(bytes: &mut [u8; KEY_LEN]) -> Result<(), KeyGenerationError> {
    aws_lc_rs::rand::fill(bytes).map_err(|_| KeyGenerationError)
}
