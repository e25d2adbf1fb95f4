//! The topology of a registry, with verified signatures.

use nym_mixnode_api::Topology;
use nym_mixnode_directory::{Client, Directory, DirectoryError, Verifier};

/// Fetches topologies, and removes what their signatures do not cover.
pub struct TopologySource {
    client: Client,
    /// Base58 of the registry's key; `None` takes the first one.
    key: Option<String>,
    verifier: Verifier,
}

impl TopologySource {
    /// `key` is base58 of the registry's public key; `None` trusts the first one that it presents.
    #[must_use]
    pub fn new(client: Client, key: Option<String>) -> Self {
        Self { client, key, verifier: Verifier::default() }
    }

    /// The registry's key, once it is known. Registries of 0.9.2 have none.
    #[must_use]
    pub fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }

    /// The nodes that clients use.
    ///
    /// # Errors
    /// When the registry does not answer, or has another key than before.
    pub async fn active(&mut self) -> Result<Topology, DirectoryError> {
        let mut topology = self.client.active_topology().await?;
        match (&self.key, &topology.registry_key) {
            (Some(known), found) if found.as_ref() != Some(known) => {
                let url = self.client.location().to_owned();
                let reason = "it has another key than when this client was created";
                return Err(DirectoryError::Distrusted { url, reason });
            }
            (None, Some(found)) => self.key = Some(found.clone()),
            _ => {}
        }
        self.verifier.remove_forged(&mut topology);
        Ok(topology)
    }
}
