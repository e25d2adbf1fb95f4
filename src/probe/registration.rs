//! The prober in the directory: listed as a gateway, so that mixes that forward only to listed addresses reach it.

use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::prober::Prober;
use crate::api::{GatewayRegistration, PROTOCOL_VERSION};
use crate::directory::{Client, Directory};

/// The directory forgets a prober that was killed after this long.
const EXPIRES_AFTER: Duration = Duration::from_secs(90);
const RENEW_EVERY: Duration = Duration::from_secs(30);
const UNREGISTER_TIMEOUT: Duration = Duration::from_secs(5);

/// The directory did not do what was asked.
#[derive(Debug, Error)]
pub enum RegistrationError {
    /// It refused the prober, or could not be reached.
    #[error("cannot register the prober: {0}")]
    Refused(String),
    /// The prober is still listed, until the entry expires.
    #[error("cannot unregister the prober (its entry expires within {} s): {reason}", EXPIRES_AFTER.as_secs())]
    StillListed {
        /// What the directory, or the lack of it, said.
        reason: String,
    },
}

/// A listed prober, renewed until it is withdrawn or dropped.
#[derive(Debug)]
pub struct Registration {
    client: Arc<Client>,
    identity: String,
    renewal: JoinSet<()>,
}

impl Registration {
    /// Lists the prober and keeps it listed.
    ///
    /// # Errors
    /// When the directory refuses or does not answer.
    pub async fn register<L>(client: &Arc<Client>, prober: &Prober<L>) -> Result<Self, RegistrationError> {
        let entry = gateway_entry(prober);
        client.register_gateway(&entry).await.map_err(|error| RegistrationError::Refused(error.to_string()))?;
        let mut renewal = JoinSet::new();
        let identity = entry.identity_key.clone();
        renewal.spawn(renew(Arc::clone(client), entry));
        Ok(Self { client: Arc::clone(client), identity, renewal })
    }

    /// Takes the prober off the list, within 5 s.
    ///
    /// # Errors
    /// When the directory does not confirm in time; the entry then expires by itself.
    pub async fn withdraw(mut self) -> Result<(), RegistrationError> {
        // A renewal under way would list the prober again behind its removal.
        self.renewal.shutdown().await;
        let reason = match timeout(UNREGISTER_TIMEOUT, self.client.unregister(&self.identity)).await {
            Ok(Ok(_)) => return Ok(()),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer within {} s", UNREGISTER_TIMEOUT.as_secs()),
        };
        Err(RegistrationError::StillListed { reason })
    }
}

async fn renew(client: Arc<Client>, entry: GatewayRegistration) {
    loop {
        sleep(RENEW_EVERY).await;
        if let Err(error) = client.register_gateway(&entry).await {
            tracing::debug!(%error, "cannot renew the prober's registration");
        }
    }
}

fn gateway_entry<L>(prober: &Prober<L>) -> GatewayRegistration {
    let mix_hosts: Vec<String> = prober.addresses().iter().map(ToString::to_string).collect();
    let mix_host = mix_hosts.first().cloned().unwrap_or_default();
    GatewayRegistration {
        // A prober serves no clients; the directory's format asks for an address all the same.
        clients_host: format!("ws://{mix_host}"),
        mix_host,
        mix_hosts: if mix_hosts.len() > 1 { mix_hosts } else { Vec::new() },
        identity_key: prober.identity().to_owned(),
        sphinx_key: prober.sphinx_key_base58(),
        version: PROTOCOL_VERSION.to_owned(),
        location: "probe".to_owned(),
        incentives_address: String::new(),
        expires_in: Some(EXPIRES_AFTER.as_secs()),
        proof: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::prober::Endpoint;

    #[tokio::test]
    async fn the_entry_names_every_address_and_expires() {
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
}
