//! Registers the prober as a gateway, so that mixes that forward only to listed addresses accept it as a hop.

use std::sync::Arc;
use std::time::Duration;

use nym_mixnode_api::{GatewayRegistration, IpVersion, PROTOCOL_VERSION, RegistrationReply};
use nym_mixnode_directory::{Client, Directory, DirectoryError, Signer, Unregistered};
use thiserror::Error;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::prober::Prober;

/// Lifetime of the entry of a prober that was killed.
const EXPIRES_AFTER: Duration = Duration::from_secs(90);
const RENEW_EVERY: Duration = Duration::from_secs(30);
/// After a failed renewal: a directory that was away lists the prober again soon.
const RETRY_EVERY: Duration = Duration::from_secs(5);
const UNREGISTER_TIMEOUT: Duration = Duration::from_secs(5);

/// Error while registering or unregistering a prober.
#[derive(Debug, Error)]
pub enum RegistrationError {
    /// The directory refused the prober or is unreachable.
    #[error("cannot register the prober: {0}")]
    Refused(String),
    /// The prober stays listed until its entry expires.
    #[error("cannot unregister the prober (its entry expires within {} s): {reason}", EXPIRES_AFTER.as_secs())]
    StillListed {
        /// Error of the directory, or that it did not respond.
        reason: String,
    },
}

/// Registered prober, renewed until it is withdrawn or dropped.
#[derive(Debug)]
pub struct Registration {
    entry: Arc<Entry>,
    renewal: JoinSet<()>,
}

/// Registration of the prober, and its signer.
#[derive(Debug)]
struct Entry {
    client: Arc<Client>,
    signer: Signer,
    gateway: GatewayRegistration,
}

impl Registration {
    /// Registers the prober and keeps it registered.
    ///
    /// # Errors
    /// When the directory refuses, does not answer, or lists none of the prober's addresses.
    pub async fn register<L>(client: &Arc<Client>, prober: &Prober<L>) -> Result<Self, RegistrationError> {
        let signer = Signer::new(prober.identity_keys(), None, client.join_token());
        let entry = Arc::new(Entry { client: Arc::clone(client), signer, gateway: gateway_entry(prober) });
        let refused = |error: DirectoryError| RegistrationError::Refused(error.to_string());
        entry.signer.ask(&**client, true).await.map_err(refused)?;
        let reply = entry.register().await.map_err(refused)?;
        if reply.pending.len() >= prober.addresses().len()
            && let Some(pending) = reply.pending.first()
        {
            let message = format!("the directory does not list {} yet: {}", pending.address, pending.reason);
            return Err(RegistrationError::Refused(message));
        }
        let mut renewal = JoinSet::new();
        renewal.spawn(renew(Arc::clone(&entry)));
        Ok(Self { entry, renewal })
    }

    /// Unregisters the prober, within 5 s.
    ///
    /// # Errors
    /// When the directory does not confirm in time; the entry then expires by itself.
    pub async fn withdraw(mut self) -> Result<(), RegistrationError> {
        // A concurrent renewal would register the prober again after its removal.
        self.renewal.shutdown().await;
        let reason = match timeout(UNREGISTER_TIMEOUT, self.entry.unregister()).await {
            Ok(Ok(_)) => return Ok(()),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no response within {} s", UNREGISTER_TIMEOUT.as_secs()),
        };
        Err(RegistrationError::StillListed { reason })
    }
}

impl Entry {
    /// Registers over each IP version that may prove an address.
    async fn register(&self) -> Result<RegistrationReply, DirectoryError> {
        let signed = self.signer.sign(&self.gateway)?;
        let mut reply = self.client.register_gateway(signed.as_ref().unwrap_or(&self.gateway), None).await?;
        for version in [IpVersion::V4, IpVersion::V6] {
            if reply.is_pending_over(version) {
                let signed = self.signer.sign(&self.gateway)?;
                let gateway = signed.as_ref().unwrap_or(&self.gateway);
                reply = self.client.register_gateway(gateway, Some(version)).await.unwrap_or(reply);
            }
        }
        Ok(reply)
    }

    async fn unregister(&self) -> Result<Unregistered, DirectoryError> {
        let proof = self.signer.sign_unregistration()?;
        self.client.unregister(self.signer.identity(), proof.as_ref()).await
    }
}

async fn renew(entry: Arc<Entry>) {
    let mut pause = RENEW_EVERY;
    loop {
        sleep(pause).await;
        pause = match entry.register().await {
            Ok(_) => RENEW_EVERY,
            Err(error) => {
                tracing::debug!(%error, "cannot renew the prober's registration");
                RETRY_EVERY
            }
        };
    }
}

fn gateway_entry<L>(prober: &Prober<L>) -> GatewayRegistration {
    let mix_hosts: Vec<String> = prober.addresses().iter().map(ToString::to_string).collect();
    let mix_host = mix_hosts.first().cloned().unwrap_or_default();
    GatewayRegistration {
        // A prober serves no clients, but the directory's format requires an address.
        clients_host: format!("ws://{mix_host}"),
        mix_host,
        mix_hosts: if mix_hosts.len() > 1 { mix_hosts } else { Vec::new() },
        identity_key: prober.identity().to_owned(),
        sphinx_key: prober.sphinx_key_base58(),
        version: PROTOCOL_VERSION.to_owned(),
        location: "probe".to_owned(),
        incentives_address: String::new(),
        expires_in: Some(EXPIRES_AFTER.as_secs()),
        clients_tls: None,
        proof: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prober::Endpoint;
    use nym_mixnode_registry::{Registry, RegistrySettings};

    #[tokio::test]
    async fn the_entry_has_every_address_and_expires() {
        let endpoints: Vec<Endpoint> = ["192.0.2.1:5000", "[2001:db8::1]:5001"]
            .iter()
            .map(|announce| Endpoint { bind: "127.0.0.1:0".parse().unwrap(), announce: announce.parse().unwrap() })
            .collect();
        let prober = Prober::<()>::bind(&endpoints, Duration::ZERO).unwrap();
        let entry = gateway_entry(&prober);
        assert_eq!(entry.mix_host, "192.0.2.1:5000");
        assert_eq!(entry.mix_hosts, ["192.0.2.1:5000", "[2001:db8::1]:5001"]);
        assert_eq!(entry.clients_host, "ws://192.0.2.1:5000");
        assert_eq!(entry.identity_key, prober.identity());
        assert!(entry.expires_in.unwrap() > RENEW_EVERY.as_secs() * 2);

        let single = Prober::<()>::bind(&endpoints[..1], Duration::ZERO).unwrap();
        assert!(gateway_entry(&single).mix_hosts.is_empty());
    }

    #[tokio::test]
    async fn a_closed_registry_accepts_a_prober_with_the_join_token() {
        let home = tempfile::tempdir().unwrap();
        let token = home.path().join("token");
        std::fs::write(&token, "0123456789abcdef").unwrap();
        let local = "127.0.0.1:0".parse().unwrap();
        let settings = RegistrySettings {
            allow_private: true,
            join_token_file: Some(token.clone()),
            ..RegistrySettings::new(vec![local], home.path().join("registry.sqlite"))
        };
        let registry = Registry::bind(&settings).await.unwrap();
        let url = format!("http://{}", registry.local_addrs()[0]).parse().unwrap();
        let served = tokio::spawn(registry.serve(std::future::pending()));
        let prober = Prober::<()>::bind(&[Endpoint::local(local)], Duration::ZERO).unwrap();
        let client = Client::new(&url, &url).unwrap();
        let refused = Registration::register(&Arc::new(client.clone()), &prober).await.unwrap_err();
        assert!(refused.to_string().contains("this registry is closed"), "{refused}");
        let client = client.with_join_token(Some(&token)).unwrap();
        let registration = Registration::register(&Arc::new(client), &prober).await.unwrap();
        registration.withdraw().await.unwrap();
        served.abort();
    }
}
