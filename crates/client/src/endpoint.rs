//! Where a client reaches its gateway, and when it may do so without TLS.

use std::fmt;

use nym_mixnode_tls::KeyHash;
use thiserror::Error;

use crate::network::Network;

/// Where a gateway serves clients: a `ws://` URL, or a `wss://` URL with the hash of the gateway's TLS key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    url: String,
    key: Option<KeyHash>,
}

impl Endpoint {
    /// Without TLS.
    #[must_use]
    pub fn plain(url: impl Into<String>) -> Self {
        Self { url: url.into(), key: None }
    }

    /// With TLS.
    #[must_use]
    pub fn tls(url: impl Into<String>, key: KeyHash) -> Self {
        Self { url: url.into(), key: Some(key) }
    }

    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Hash of the TLS key; `None` without TLS.
    #[must_use]
    pub fn key(&self) -> Option<KeyHash> {
        self.key
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url)
    }
}

/// The gateway no longer announces TLS, which this client has used before.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "the gateway {0} announces no TLS any more, and this client does not connect without it: ask the operator of the gateway, \
     or set `gateway_plain = true` in the client's config.toml, which lets others on the way recognise messages of this client"
)]
pub struct NoTls(pub String);

/// Chooses the endpoint of a client's gateway from what the gateway announces. Never goes from TLS to none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    gateway: [u8; 32],
    current: Endpoint,
    /// The client's user has chosen to connect without TLS.
    is_plain: bool,
}

impl Access {
    /// What was known when the client was created. With `is_plain` it stays at an endpoint without TLS.
    #[must_use]
    pub fn new(gateway: [u8; 32], known: Endpoint, is_plain: bool) -> Self {
        Self { gateway, current: known, is_plain }
    }

    /// Takes the endpoint that the gateway announces now. Its TLS key may be a renewed one.
    ///
    /// # Errors
    /// When the gateway announces no TLS any more. The endpoint remains what it was.
    pub fn follow(&mut self, network: &Network) -> Result<(), NoTls> {
        let Some(gateway) = network.gateway(&self.gateway).filter(|_| !self.is_plain) else { return Ok(()) };
        match &gateway.tls {
            Some(tls) => self.current.clone_from(tls),
            None if self.current.key.is_some() => return Err(NoTls(bs58::encode(self.gateway).into_string())),
            None => {}
        }
        Ok(())
    }

    /// Where to connect.
    #[must_use]
    pub fn endpoint(&self) -> &Endpoint {
        &self.current
    }
}

#[cfg(test)]
mod tests {
    use nym_mixnode_api::testing::gateway;
    use nym_mixnode_api::{ClientsTls, RegisteredGateway, Topology};

    use super::*;

    fn gateway_key() -> [u8; 32] {
        *nym_mixnode_keys::IdentityKeyPair::generate().unwrap().public()
    }

    fn hash(fill: char) -> KeyHash {
        format!("{}A=", fill.to_string().repeat(42)).parse().unwrap()
    }

    fn network(identity: [u8; 32], tls: Option<(&str, &str)>) -> Network {
        let mut registration = gateway(bs58::encode(identity).into_string(), "192.0.2.1:1789");
        registration.sphinx_key = bs58::encode([7; 32]).into_string();
        registration.clients_tls =
            tls.map(|(url, key_hash)| ClientsTls { url: url.to_owned(), key_hash: key_hash.to_owned() });
        let listed = RegisteredGateway { registration, registration_time: 0, reputation: 0 };
        Network::of(&Topology { gateways: vec![listed], ..Topology::default() })
    }

    #[test]
    fn a_client_uses_tls_as_soon_as_its_gateway_announces_it_and_follows_renewed_keys() {
        let id = gateway_key();
        let mut access = Access::new(id, Endpoint::plain("ws://192.0.2.1:9000"), false);
        access.follow(&network(id, None)).unwrap();
        assert_eq!(access.endpoint().key(), None);
        for key in [hash('A'), hash('B')] {
            access.follow(&network(id, Some(("wss://192.0.2.1:9443", &key.to_string())))).unwrap();
            assert_eq!(*access.endpoint(), Endpoint::tls("wss://192.0.2.1:9443", key));
        }
        access.follow(&Network::default()).unwrap();
        assert_eq!(access.endpoint().key(), Some(hash('B')), "an unlisted gateway keeps its endpoint");
    }

    #[test]
    fn a_client_never_goes_back_to_a_connection_without_tls_by_itself() {
        let id = gateway_key();
        let known = Endpoint::tls("wss://192.0.2.1:9443", hash('A'));
        let mut access = Access::new(id, known.clone(), false);
        let refused = access.follow(&network(id, None)).unwrap_err();
        assert!(refused.to_string().contains("gateway_plain = true"), "{refused}");
        assert_eq!(*access.endpoint(), known);
        let plain = Endpoint::plain("ws://192.0.2.1:9000");
        let mut chosen = Access::new(id, plain.clone(), true);
        chosen.follow(&network(id, Some(("wss://192.0.2.1:9443", &hash('A').to_string())))).unwrap();
        assert_eq!(*chosen.endpoint(), plain);
    }

    #[test]
    fn a_gateway_whose_tls_cannot_be_checked_is_not_used() {
        let id = gateway_key();
        for bad in [("wss://192.0.2.1:9443", "short"), ("ws://192.0.2.1:9443", &hash('A').to_string()), ("", "")] {
            assert!(network(id, Some(bad)).gateway(&id).is_none(), "{bad:?}");
        }
    }
}
