//! Errors of a network on this machine.

use std::io;
use std::path::PathBuf;

use nym_mixnode_base::exit::Exit;
use nym_mixnode_monitor::{ProberError, RegistrationError};
use thiserror::Error;

/// Error of a network that did not start or did not work correctly.
#[derive(Debug, Error)]
pub enum LocalnetError {
    /// A requested port is not free.
    #[error("cannot use port {port}: {reason}; choose another --base-port, or omit it to use free ports")]
    Port {
        /// The port.
        port: u16,
        /// Error of the system.
        reason: io::Error,
    },
    /// Clients take exactly three mixes.
    #[error("--send needs three layers, and --layers is {0}")]
    Layers(u8),
    /// No port is free.
    #[error("no port is free on the loopback addresses: {0}")]
    NoFreePort(#[source] io::Error),
    /// The requested ports exceed 65535.
    #[error("--base-port {base} is too high: {needed} ports are needed from there on")]
    PortRange {
        /// As given.
        base: u16,
        /// One for the registry, one for each node.
        needed: usize,
    },
    /// The directory of the network cannot be created.
    #[error("cannot make a temporary directory for the network (set TMPDIR to another place): {0}")]
    Home(#[source] io::Error),
    /// The directory given for the files cannot be used.
    #[error("cannot keep the network's files in {}: {source}; pass a new or an empty directory with --keep", .dir.display())]
    Keep {
        /// As given.
        dir: PathBuf,
        /// Error of the system.
        source: io::Error,
    },
    /// A process could not be started.
    #[error("cannot start {name}: {reason}")]
    Spawn {
        /// The process.
        name: String,
        /// Error of the system.
        reason: io::Error,
    },
    /// A process ended or did not answer before the network was ready.
    #[error("{0}")]
    NotReady(String),
    /// The network's registry failed.
    #[error("the network's registry fails: {0}")]
    Directory(String),
    /// The prober cannot listen.
    #[error(transparent)]
    Prober(#[from] ProberError),
    /// The prober cannot be listed.
    #[error(transparent)]
    Registration(#[from] RegistrationError),
    /// Stopped by the first signal.
    #[error("stopped before the network was ready")]
    Interrupted,
    /// Stopped by the second signal.
    #[error("stopped at once: every process was killed, packets on their way are lost")]
    Killed,
    /// A node or the registry failed while the network ran.
    #[error("the network is not well: {0}")]
    Unwell(String),
    /// Not all packets returned, although every node accounts for every packet.
    #[error("not every packet came back: {0}")]
    Lost(String),
    /// Writing the result or installing the signal handlers failed.
    #[error("cannot write the result: {0}")]
    Io(#[from] io::Error),
}

impl LocalnetError {
    pub(super) fn directory(error: &dyn std::error::Error) -> Self {
        Self::Directory(error.to_string())
    }

    /// Exit code of a command that fails with this error.
    #[must_use]
    pub const fn exit_code(&self) -> Exit {
        match self {
            Self::PortRange { .. } | Self::Layers(_) => Exit::USAGE,
            Self::Port { .. }
            | Self::NoFreePort(_)
            | Self::NotReady(_)
            | Self::Directory(_)
            | Self::Prober(_)
            | Self::Registration(_)
            | Self::Unwell(_)
            | Self::Lost(_) => Exit::UNAVAILABLE,
            Self::Home(_) | Self::Keep { .. } => Exit::CANNOT_CREATE,
            Self::Spawn { .. } | Self::Io(_) => Exit::IO,
            Self::Interrupted | Self::Killed => Exit::TRY_AGAIN,
        }
    }
}
