//! Connections to a server whose key is known. No authority vouches for it, and no name or date in its certificate matters.

use std::io;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, PeerIncompatible, SignatureScheme, version,
};
use thiserror::Error as ThisError;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::KeyHash;

/// Why there is no connection with TLS.
#[derive(Debug, ThisError)]
pub enum ConnectError {
    /// The server has another key: it has renewed it, or another server answers in its place.
    #[error("its key is not the announced one")]
    OtherKey,
    /// The name in the URL is none that TLS can send.
    #[error("{0:?} is neither a name nor an address")]
    Name(String),
    /// Any other error.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Performs the handshake with the server `name` (a DNS name or an IP address), which must have this key. Only TLS 1.3.
///
/// # Errors
/// When the server has another key, does not speak TLS, or the connection ends.
pub async fn connect<S>(stream: S, name: &str, key: KeyHash) -> Result<TlsStream<S>, ConnectError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let name = ServerName::try_from(name.to_owned()).map_err(|_| ConnectError::Name(name.to_owned()))?;
    let config = config(key).map_err(io::Error::other)?;
    TlsConnector::from(Arc::new(config)).connect(name, stream).await.map_err(|error| {
        let tls = error.get_ref().and_then(|source| source.downcast_ref());
        match tls {
            Some(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure)) => ConnectError::OtherKey,
            _ => ConnectError::Io(error),
        }
    })
}

fn config(key: KeyHash) -> Result<ClientConfig, Error> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = Arc::new(Pinned { key, provider: Arc::clone(&provider) });
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    // A resumed session would link connections to each other.
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// Accepts the certificate with the key of this hash. The signature of the handshake proves that the server has the key.
#[derive(Debug)]
struct Pinned {
    key: KeyHash,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if KeyHash::of(end_entity)? == self.key {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(CertificateError::ApplicationVerificationFailure.into())
        }
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(PeerIncompatible::Tls12NotOfferedOrEnabled.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
