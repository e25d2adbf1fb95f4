//! A certificate and its private key, as read from their files.

use std::io;
use std::path::Path;
use std::sync::Arc;

use nym_mixnode_base::file;
use nym_mixnode_base::secret_file::{PrivateFileError, read_private};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys};

use crate::validity::Validity;
use crate::{TlsError, TlsFiles};

pub(crate) const CERTIFICATE: &str = "certificate";
const KEY: &str = "key";

/// A chain takes a few kilobytes.
const CERTIFICATE_BYTES_MAX: u64 = 256 << 10;

/// An RSA key of 8192 bits takes 7 KiB.
const KEY_BYTES_MAX: usize = 32 << 10;

/// A certificate with its key.
pub(crate) struct Pair {
    pub(crate) certified: Arc<CertifiedKey>,
    pub(crate) validity: Validity,
}

impl Pair {
    pub(crate) fn read(files: &TlsFiles) -> Result<Self, TlsError> {
        let (chain, validity) = read_chain(&files.certificate)?;
        let key = read_key(&files.key)?;
        let provider = aws_lc_rs::default_provider();
        let certified = CertifiedKey::from_der(chain, key, &provider).map_err(|error| match error {
            Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                TlsError::Mismatch { certificate: files.certificate.clone(), key: files.key.clone() }
            }
            Error::InvalidCertificate(_) => {
                unusable(CERTIFICATE, &files.certificate, format!("{error}; issue it as X.509 version 3"))
            }
            error => unusable(KEY, &files.key, format!("{error}; use an ECDSA, Ed25519 or RSA key")),
        })?;
        Ok(Self { certified: Arc::new(certified), validity })
    }

    /// Whether both have the same certificates, and thereby the same key.
    pub(crate) fn is_same(&self, chain: &[CertificateDer<'static>]) -> bool {
        self.certified.cert == chain
    }
}

fn read_chain(path: &Path) -> Result<(Vec<CertificateDer<'static>>, Validity), TlsError> {
    let pem = file::read(path, CERTIFICATE_BYTES_MAX).map_err(|source| unreadable(CERTIFICATE, path, source))?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let chain = chain.map_err(|error| unusable(CERTIFICATE, path, format!("{error}; pass a certificate in PEM")))?;
    let Some(own) = chain.first() else {
        let reason = "it contains no certificate; pass the server's certificate in PEM (BEGIN CERTIFICATE)";
        return Err(unusable(CERTIFICATE, path, reason.to_owned()));
    };
    let validity = Validity::of(own)
        .map_err(|error| unusable(CERTIFICATE, path, format!("its first one is not X.509 ({error}); replace it")))?;
    Ok((chain, validity))
}

fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let pem = read_private(path, KEY_BYTES_MAX).map_err(|error| match error {
        PrivateFileError::Io(source) => unreadable(KEY, path, source),
        PrivateFileError::Readable { mode } => TlsError::Readable { path: path.to_owned(), mode },
    })?;
    PrivateKeyDer::from_pem_slice(&pem).map_err(|error| unusable(KEY, path, key_advice(&pem, &error.to_string())))
}

fn key_advice(pem: &[u8], error: &str) -> String {
    let is_encrypted = pem.windows(b"ENCRYPTED".len()).any(|words| words == b"ENCRYPTED");
    if is_encrypted {
        return "it is encrypted; remove its passphrase with `openssl pkey`".to_owned();
    }
    format!("{error}; pass a private key in PEM (BEGIN PRIVATE KEY)")
}

fn unreadable(content: &'static str, path: &Path, source: io::Error) -> TlsError {
    TlsError::Unreadable { content, path: path.to_owned(), source }
}

pub(crate) fn unusable(content: &'static str, path: &Path, reason: String) -> TlsError {
    TlsError::Unusable { content, path: path.to_owned(), reason }
}
