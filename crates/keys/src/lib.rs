//! The node's two key pairs. `Debug` prints no secret, and all secrets are wiped on drop.

mod access;
pub mod archive;
mod error;
mod identity;
pub mod install;
mod key_file;
pub mod secrecy;
mod sphinx;
pub mod store;

use std::path::Path;
use std::sync::Arc;

pub use error::KeyError;
pub use identity::IdentityKeyPair;
pub use key_file::{KeyFile, KeyPaths};
pub use nym_mixnode_base::secret::SecretKey;
pub use sphinx::SphinxKeyPair;
pub use store::{KeyFiles, KeyPairs};

/// Both key pairs of a node.
pub struct NodeKeys {
    /// The Ed25519 key pair that signs the node's calls to its directory.
    pub identity: Arc<IdentityKeyPair>,
    /// Base58 of the Ed25519 public key: the node's identity.
    pub identity_public: String,
    /// The X25519 key pair that unwraps Sphinx packets.
    pub sphinx: SphinxKeyPair,
}

/// Length in bytes of every key here, private or public.
const KEY_LEN: usize = 32;

/// The cryptography library failed for lack of randomness or memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("cannot generate a key: the cryptography library or the source of randomness of this machine fails")]
pub struct KeyGenerationError;

impl From<std::io::Error> for KeyGenerationError {
    fn from(_: std::io::Error) -> Self {
        Self
    }
}

fn fill_random(bytes: &mut [u8; KEY_LEN]) -> Result<(), KeyGenerationError> {
    aws_lc_rs::rand::fill(bytes).map_err(|_| KeyGenerationError)
}

/// The key files; relative paths are relative to the node's directory.
#[derive(Debug, Clone, PartialEq)]
pub struct KeysConfig {
    pub paths: KeyPaths,
    /// Accept private keys that their group can read; other users never may.
    pub allow_group_read: bool,
}

/// The default of the setting `keys.dir`.
impl Default for KeysConfig {
    fn default() -> Self {
        Self::in_dir(Path::new("data"))
    }
}

impl KeysConfig {
    /// The files in `dir` with their usual names.
    pub fn in_dir(dir: &Path) -> Self {
        Self { paths: KeyPaths::in_dir(dir), allow_group_read: false }
    }
}
