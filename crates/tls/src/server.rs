//! TLS of a server. Its certificate is replaced when the files change; open connections keep the earlier one.

use std::convert::Infallible;
use std::fmt;
use std::future::pending;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use nym_mixnode_keys::IdentityKeyPair;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::pair::Pair;
use crate::reload::Reload;
use crate::{KeyHash, TlsError, derived};

/// Files with the certificate of a server and its private key, both in PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The server's certificate, followed by those of intermediate authorities.
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// TLS of a server with its certificate.
#[derive(Debug)]
pub struct Tls {
    acceptor: Acceptor,
    /// `None` for a certificate that is in no file.
    reload: Option<Reload>,
}

impl Tls {
    /// Reads the certificate and its key. Logs when the certificate expires, and warns if it has.
    ///
    /// # Errors
    /// When a file cannot be read, other users can read the key, or both do not form a pair.
    pub fn load(files: TlsFiles) -> Result<Self, TlsError> {
        let (reload, pair) = Reload::load(files)?;
        let acceptor = Acceptor::new(pair.certified).map_err(|error| reload.unusable(&error))?;
        Ok(Self { acceptor, reload: Some(reload) })
    }

    /// A self-signed certificate whose key follows from an identity: for clients that know the hash of the key.
    ///
    /// # Errors
    /// When the cryptography library fails.
    pub fn derived(identity: &IdentityKeyPair) -> Result<Self, TlsError> {
        let certified = derived::certified(identity).map_err(TlsError::Derived)?;
        let acceptor = Acceptor::new(certified).map_err(TlsError::Derived)?;
        Ok(Self { acceptor, reload: None })
    }

    /// Performs handshakes, also after [`follow`](Self::follow) has taken this value.
    #[must_use]
    pub fn acceptor(&self) -> Acceptor {
        self.acceptor.clone()
    }

    /// Replaces the certificate whenever the files have another one, and then calls `renewed`.
    pub async fn follow(self, renewed: impl Fn()) -> Infallible {
        match self.reload {
            Some(reload) => reload.follow(self.acceptor, renewed).await,
            None => pending().await,
        }
    }
}

/// Performs handshakes with the present certificate.
#[derive(Clone)]
pub struct Acceptor {
    acceptor: TlsAcceptor,
    current: Arc<Current>,
}

impl Acceptor {
    fn new(certified: Arc<CertifiedKey>) -> Result<Self, rustls::Error> {
        let current = Arc::new(Current(ArcSwap::new(certified)));
        let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&current) as Arc<dyn ResolvesServerCert>);
        // A resumed session would keep its client on the earlier certificate.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { acceptor: TlsAcceptor::from(Arc::new(config)), current })
    }

    /// Hash of the present key.
    ///
    /// # Errors
    /// When the certificate is none of version 3 of X.509, which the constructors rule out.
    pub fn key_hash(&self) -> Result<KeyHash, TlsError> {
        let certified = self.current.0.load();
        certified.end_entity_cert().and_then(KeyHash::of).map_err(TlsError::Key)
    }

    /// Replaces the certificate for later handshakes.
    pub(crate) fn replace(&self, pair: &Pair) {
        self.current.0.store(Arc::clone(&pair.certified));
    }

    /// Performs the handshake. The caller limits its time.
    ///
    /// # Errors
    /// When the client does not speak TLS, refuses the certificate, or the connection ends.
    pub async fn accept<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: S) -> io::Result<TlsStream<S>> {
        self.acceptor.accept(stream).await
    }
}

/// Omits the configuration, which contains the key.
impl fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Acceptor")
    }
}

/// The present certificate with its key.
struct Current(ArcSwap<CertifiedKey>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

/// Omits the key.
impl fmt::Debug for Current {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Current")
    }
}
