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

/// Key of an identity, with the counter of its calls since the start of the program.
pub struct Signer {
    keys: Arc<IdentityKeyPair>,
    identity: String,
    /// Required key of the directory; `None` trusts the first key it presents.
    expected: Option<RegistryKey>,
    join_token: Option<Zeroizing<Vec<u8>>>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    registry: Option<RegistryKey>,
    /// Counter of the last signed call, whether or not it reached the directory.
    used: u64,
}

/// Omits keys and token.
impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer").field("identity", &self.identity).finish_non_exhaustive()
    }
}

impl Signer {
    /// Creates a signer for a directory with the key `expected`, or any key; with the join token of a closed directory.
    #[must_use]
    pub fn new(
        keys: Arc<IdentityKeyPair>,
        expected: Option<RegistryKey>,
        join_token: Option<Zeroizing<Vec<u8>>>,
    ) -> Self {
        let identity = keys.public_base58();
        Self { keys, identity, expected, join_token, state: Mutex::default() }
    }

    /// Creates the signer of a node from its configuration.
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

    /// Fetches the directory's key and, for a new start, the last counter. False when the directory does not support
    /// signatures.
    ///
    /// # Errors
    /// When the directory does not respond, or has a different key than required.
    pub async fn ask<D: Directory>(&self, directory: &D, is_start: bool) -> Result<bool, DirectoryError> {
        let nonce = bs58::encode(rand::random::<[u8; 16]>()).into_string();
        let Some(reply) = directory.counter(&self.identity, &nonce).await? else {
            let has_signed = self.expected.is_some() || self.registry().is_some();
            return if has_signed { Err(distrusted(directory, "it does not sign its responses")) } else { Ok(false) };
        };
        let registry = self.check(&reply, &nonce).map_err(|reason| distrusted(directory, reason))?;
        let mut state = self.state();
        if state.registry.is_some_and(|known| known != registry) {
            error!(
                directory = directory.location(),
                key = reply.registry_key,
                "the directory has a different key than before: its store was replaced, or another server took its \
                 place; set directory.key to accept one key only"
            );
        }
        state.registry = Some(registry);
        if is_start {
            state.used = state.used.max(reply.counter);
        }
        Ok(true)
    }

    /// Signs an entry with the next counter; `None` before [`Self::ask`] has succeeded.
    ///
    /// # Errors
    /// When the cryptography library fails.
    pub fn sign<E: Entry>(&self, entry: &E) -> Result<Option<E>, DirectoryError> {
        let Some((registry, counter)) = self.next() else { return Ok(None) };
        let token = self.join_token.as_ref().map(|token| token.as_slice());
        Ok(Some(signing::sign(entry, &self.keys, &registry, counter, token)?))
    }

    /// Signs an unregistration with the next counter; `None` before [`Self::ask`] has succeeded.
    ///
    /// # Errors
    /// When the cryptography library fails.
    pub fn sign_unregistration(&self) -> Result<Option<Proof>, DirectoryError> {
        self.sign_removal(signing::unregistration)
    }

    /// As [`Signer::sign_unregistration`]; afterwards the directory accepts unsigned calls of this identity.
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

    /// Key of the directory, once [`Self::ask`] has succeeded.
    #[must_use]
    pub fn registry(&self) -> Option<RegistryKey> {
        self.state().registry
    }

    /// Key required by the configuration.
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
            return Err("its key differs from directory.key");
        }
        let message = signing::counter_answer(&registry, nonce, &self.identity, reply.counter);
        if !signing::is_signed_by(&reply.registry_key, &message, &reply.signature) {
            return Err("the signature of its response is invalid");
        }
        Ok(registry)
    }

    /// The values are valid even after a panic: each is replaced in one step.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn distrusted<D: Directory>(directory: &D, reason: &'static str) -> DirectoryError {
    DirectoryError::Distrusted { url: directory.location().to_owned(), reason }
}
