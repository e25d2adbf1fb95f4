//! TLS of a server. Its certificate is replaced when the files change; open connections keep the earlier one.

mod error;
mod pair;
mod reload;
mod validity;

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::activity::Watched;
use pair::Pair;
use reload::Reload;

pub use error::TlsError;

/// Files with the certificate of a server and its private key, both in PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The server's certificate, followed by those of intermediate authorities.
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// TLS with the certificate in files.
#[derive(Debug)]
pub struct Tls {
    acceptor: Acceptor,
    reload: Reload,
}

impl Tls {
    /// Reads the certificate and its key. Logs when the certificate expires, and warns if it has.
    ///
    /// # Errors
    /// When a file cannot be read, other users can read the key, or both do not form a pair.
    pub fn load(files: TlsFiles) -> Result<Self, TlsError> {
        let (reload, pair) = Reload::load(files)?;
        let acceptor = Acceptor::new(&pair).map_err(|error| reload.unusable(&error))?;
        Ok(Self { acceptor, reload })
    }

    pub(super) fn into_parts(self) -> (Acceptor, Reload) {
        (self.acceptor, self.reload)
    }
}

/// A new connection.
pub(super) enum Accepted {
    Tls(Box<TlsStream<Watched<TcpStream>>>),
    /// The client speaks HTTP without TLS.
    Plain(Watched<TcpStream>),
}

/// Performs handshakes with the present certificate.
#[derive(Clone)]
pub(super) struct Acceptor {
    acceptor: TlsAcceptor,
    current: Arc<Current>,
}

impl Acceptor {
    fn new(pair: &Pair) -> Result<Self, rustls::Error> {
        let current = Arc::new(Current(ArcSwap::new(Arc::clone(&pair.certified))));
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

    /// Replaces the certificate for later handshakes.
    fn replace(&self, pair: &Pair) {
        self.current.0.store(Arc::clone(&pair.certified));
    }

    /// Performs the handshake, unless the client begins with a letter, as HTTP does and TLS does not.
    pub(super) async fn accept(&self, stream: Watched<TcpStream>) -> io::Result<Accepted> {
        let mut first = [0];
        match stream.stream.peek(&mut first).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ if first[0].is_ascii_alphabetic() => Ok(Accepted::Plain(stream)),
            _ => self.acceptor.accept(stream).await.map(Box::new).map(Accepted::Tls),
        }
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

#[cfg(test)]
mod tests;
