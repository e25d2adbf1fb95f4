//! Errors of a registry's start and of its commands.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use nym_mixnode_base::exit::Exit;
use nym_mixnode_directory::MonitorTokenError;
use nym_mixnode_net::socket;
use nym_mixnode_tls::TlsError;
use thiserror::Error;

use crate::admission::AdmissionError;

/// Error while starting a registry.
#[derive(Debug, Error)]
pub enum RegistryError {
    /// No listen address is set.
    #[error("the registry has no address to listen on; pass --listen, for example --listen 127.0.0.1:8081")]
    NoListenAddress,
    /// A listen address cannot be bound.
    #[error("cannot listen on {address}: {source}; {}", listen_advice(.source))]
    Listen {
        /// Address as given.
        address: SocketAddr,
        /// Underlying I/O error.
        source: io::Error,
    },
    /// The certificate or its key cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The monitors' token cannot be read or created.
    #[error(transparent)]
    Token(#[from] MonitorTokenError),
    /// The store's folder cannot be created.
    #[error("cannot create the folder {path}: {source}; create it, or pass another path with --data")]
    Folder {
        /// Path of the folder.
        path: PathBuf,
        /// Underlying I/O error.
        source: io::Error,
    },
    /// The store's file cannot be opened or created.
    #[error("cannot open the store {path}: {source}; check its permissions, or pass another path with --data")]
    OpenStore {
        /// Path of the file.
        path: PathBuf,
        /// Underlying error.
        source: sqlx::Error,
    },
    /// The store's lock cannot be taken.
    #[error("cannot lock the store with {path}: {source}; check its permissions, or pass another path with --data")]
    LockStore {
        /// Path of the lock file.
        path: PathBuf,
        /// Underlying I/O error.
        source: io::Error,
    },
    /// Another registry uses the same store.
    #[error("cannot open the store {path}: another registry uses it; stop it, or pass another path with --data")]
    StoreInUse {
        /// Path of the store.
        path: PathBuf,
    },
    /// The database cannot be used.
    #[error(
        "cannot use the database {database}: {source}; start its server, or check the URL, the password and the rights of \
         the user"
    )]
    OpenDatabase {
        /// URL without user and password.
        database: String,
        /// Underlying error.
        source: sqlx::Error,
    },
    /// The database contains other tables, or a newer release has upgraded it.
    #[error("{database} is not a store of this release: {reason}; use another database")]
    ForeignDatabase {
        /// URL without user and password.
        database: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The list of identities or the join token cannot be used.
    #[error(transparent)]
    Admission(#[from] AdmissionError),
    /// The store cannot be copied.
    #[error("cannot back up {store} to {copy}: {reason}; check both paths and their permissions")]
    Backup {
        /// Path of the store.
        store: PathBuf,
        /// Path of the copy.
        copy: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The file is not a store, or a newer release has upgraded it.
    #[error("{path} is not a store of this release: {reason}; move it away, or pass another path with --data")]
    ForeignStore {
        /// Path of the file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

impl RegistryError {
    /// Exit code of a command that fails with this error.
    pub fn exit_code(&self) -> Exit {
        match self {
            Self::NoListenAddress => Exit::USAGE,
            Self::Listen { source, .. } => match source.kind() {
                io::ErrorKind::PermissionDenied => Exit::PERMISSION,
                io::ErrorKind::AddrNotAvailable => Exit::CONFIG,
                _ => Exit::UNAVAILABLE,
            },
            Self::Tls(error) => error.exit_code(),
            Self::Token(error) => error.exit_code(),
            Self::Folder { .. } | Self::Backup { .. } => Exit::CANNOT_CREATE,
            Self::OpenStore { .. } | Self::LockStore { .. } => Exit::IO,
            Self::OpenDatabase { .. } => Exit::UNAVAILABLE,
            Self::StoreInUse { .. } => Exit::TRY_AGAIN,
            Self::Admission(_) => Exit::CONFIG,
            Self::ForeignStore { .. } | Self::ForeignDatabase { .. } => Exit::DATA,
        }
    }
}

fn listen_advice(error: &io::Error) -> &'static str {
    match error.kind() {
        _ if socket::is_unknown_family(error) => "this machine has no IPv6; pass an IPv4 address with --listen",
        io::ErrorKind::AddrInUse => "stop the program that listens there, or pass another address with --listen",
        io::ErrorKind::AddrNotAvailable => "it is not an address of this machine; pass a local address with --listen",
        io::ErrorKind::PermissionDenied => "pass a port above 1023 with --listen, or run with CAP_NET_BIND_SERVICE",
        _ => "pass another address with --listen",
    }
}
