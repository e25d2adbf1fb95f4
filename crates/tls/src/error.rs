//! Errors in the files of a certificate and its key.

use std::io;
use std::path::PathBuf;

use nym_mixnode_base::exit::Exit;
use thiserror::Error;

/// Error while reading a certificate and its private key.
#[derive(Debug, Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read the TLS {content} {path}: {source}; check the path and its permissions")]
    Unreadable {
        /// Content of the file: certificate or key.
        content: &'static str,
        /// Path as given.
        path: PathBuf,
        /// Underlying I/O error.
        source: io::Error,
    },
    /// All users of this machine can read the key.
    #[error("the TLS key {path} has mode {mode:04o} and is readable by other users; run: chmod 600 {path}")]
    Readable {
        /// Path of the key.
        path: PathBuf,
        /// Permissions of the file.
        mode: u32,
    },
    /// A file has other content.
    #[error("cannot use the TLS {content} {path}: {reason}")]
    Unusable {
        /// Content of the file: certificate or key.
        content: &'static str,
        /// Path as given.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        reason: String,
    },
    /// The key belongs to another certificate.
    #[error(
        "the TLS key {key} does not match the first certificate in {certificate}; pass the key of that certificate, and \
         put the server's own certificate before those of authorities"
    )]
    Mismatch {
        /// Path of the certificate.
        certificate: PathBuf,
        /// Path of the key.
        key: PathBuf,
    },
    /// The cryptography library fails.
    #[error("cannot make a TLS certificate for the identity key: {0}")]
    Derived(#[source] rustls::Error),
    /// The certificate in use has no key that can be read.
    #[error("cannot read the key of the TLS certificate: {0}")]
    Key(#[source] rustls::Error),
}

impl TlsError {
    /// Exit code of a command that fails with this error.
    pub fn exit_code(&self) -> Exit {
        match self {
            Self::Unreadable { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => Exit::PERMISSION,
            Self::Unreadable { .. } | Self::Mismatch { .. } => Exit::CONFIG,
            Self::Readable { .. } => Exit::PERMISSION,
            Self::Unusable { .. } => Exit::DATA,
            Self::Derived(_) | Self::Key(_) => Exit::INTERNAL,
        }
    }
}
