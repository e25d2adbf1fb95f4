//! Signs the calls of one identity to its directory.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nym_mixnode_api::signing::{self, Entry, RegistryKey};
use nym_mixnode_api::{CounterReply, Proof};
use nym_mixnode_keys::{IdentityKeyPair, NodeKeys};
use tracing::error;
use zeroize::Zeroizing;

use super::{Directory, DirectoryError};
use crate::{DirectoryConfig, read_join_token};

/// The key of an identity, and what it has signed since the start of the program.
pub struct Signer {
    keys: Arc<IdentityKeyPair>,
    identity: String,
    /// The only key that the directory may have; `None` takes the first one that it shows.
    expected: Option<RegistryKey>,
    join_token: Option<Zeroizing<Vec<u8>>>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    registry: Option<RegistryKey>,
    /// Counter of the last call that was signed, whether or not the directory has seen it.
    used: u64,
}

/// Without keys and token.
impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer").field("identity", &self.identity).finish_non_exhaustive()
    }
}

impl Signer {
    /// A signer for a directory whose key is `expected`, or any; with the token that a closed directory asks for.
    #[must_use]
    pub fn new(
        keys: Arc<IdentityKeyPair>,
        expected: Option<RegistryKey>,
        join_token: Option<Zeroizing<Vec<u8>>>,
    ) -> Self {
        let identity = keys.public_base58();
        Self { keys, identity, expected, join_token, state: Mutex::default() }
    }

    /// The signer of a node, as it is configured.
    ///
    /// # Errors
    /// When the join token cannot be read.
    pub fn of_config(keys: &NodeKeys, config: &DirectoryConfig) -> Result<Self, DirectoryError> {
        let join_token = config.join_token_file.as_deref().map(read_join_token).transpose()?;
        let expected = config.key.as_deref().and_then(signing::decode);
        Ok(Self::new(Arc::clone(&keys.identity), expected, join_token))
    }

    /// Base58 of the identity's public key.
    #[must_use]
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// Asks the directory for its key and, for a new start, for the counter to go on from. False when the directory
    /// knows no signatures.
    ///
    /// # Errors
    /// When the directory does not answer, or not with the key that it must have.
    pub async fn ask<D: Directory>(&self, directory: &D, is_start: bool) -> Result<bool, DirectoryError> {
        let nonce = bs58::encode(rand::random::<[u8; 16]>()).into_string();
        let Some(reply) = directory.counter(&self.identity, &nonce).await? else {
            let has_signed = self.expected.is_some() || self.registry().is_some();
            return if has_signed { Err(distrusted(directory, "it signs no answers")) } else { Ok(false) };
        };
        let registry = self.check(&reply, &nonce).map_err(|reason| distrusted(directory, reason))?;
        let mut state = self.state();
        if state.registry.is_some_and(|known| known != registry) {
            error!(
                directory = directory.location(),
                key = reply.registry_key,
                "the directory has another key than before: its store was replaced, or another server answers in its \
                 place; set directory.key to accept one key only"
            );
        }
        state.registry = Some(registry);
        if is_start {
            state.used = state.used.max(reply.counter);
        }
        Ok(true)
    }

    /// Signs an entry with the next counter; `None` before the directory was asked for its key.
    ///
    /// # Errors
    /// When the cryptography library fails.
    pub fn sign<E: Entry>(&self, entry: &E) -> Result<Option<E>, DirectoryError> {
        let Some((registry, counter)) = self.next() else { return Ok(None) };
        let token = self.join_token.as_ref().map(|token| token.as_slice());
        Ok(Some(signing::sign(entry, &self.keys, &registry, counter, token)?))
    }

    /// Signs an unregistration with the next counter; `None` before the directory was asked for its key.
    ///
    /// # Errors
    /// When the cryptography library fails.
    pub fn sign_unregistration(&self) -> Result<Option<Proof>, DirectoryError> {
        self.sign_removal(signing::unregistration)
    }

    /// As [`Signer::sign_unregistration`], and the directory is to take unsigned calls of this identity again.
    ///
    /// # Errors
    /// When the cryptography library fails.
    pub fn sign_release(&self) -> Result<Option<Proof>, DirectoryError> {
        self.sign_removal(signing::release_request)
    }

    fn sign_removal(
        &self,
        message: impl FnOnce(&RegistryKey, &str, u64) -> Vec<u8>,
    ) -> Result<Option<Proof>, DirectoryError> {
        let Some((registry, counter)) = self.next() else { return Ok(None) };
        let signature = bs58::encode(self.keys.sign(&message(&registry, &self.identity, counter))?).into_string();
        Ok(Some(Proof { counter, signature, admission: None, announced: None }))
    }

    /// The directory's key, once it was asked for.
    #[must_use]
    pub fn registry(&self) -> Option<RegistryKey> {
        self.state().registry
    }

    /// The key that the configuration asks for.
    pub(super) fn expected(&self) -> Option<RegistryKey> {
        self.expected
    }

    /// Counter of the last call that was signed.
    pub(super) fn used(&self) -> u64 {
        self.state().used
    }

    fn next(&self) -> Option<(RegistryKey, u64)> {
        let mut state = self.state();
        let registry = state.registry?;
        state.used = state.used.saturating_add(1);
        Some((registry, state.used))
    }

    fn check(&self, reply: &CounterReply, nonce: &str) -> Result<RegistryKey, &'static str> {
        let registry = signing::decode(&reply.registry_key).ok_or("its key is not base58 of 32 bytes")?;
        if self.expected.is_some_and(|expected| expected != registry) {
            return Err("it has another key than directory.key");
        }
        let message = signing::counter_answer(&registry, nonce, &self.identity, reply.counter);
        if !signing::is_signed_by(&reply.registry_key, &message, &reply.signature) {
            return Err("the signature of its answer is wrong");
        }
        Ok(registry)
    }

    /// Values are whole after any panic: each is replaced in one step.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn distrusted<D: Directory>(directory: &D, reason: &'static str) -> DirectoryError {
    DirectoryError::Distrusted { url: directory.location().to_owned(), reason }
}
