//! Why a network on this machine did not come up.

use std::io;

use nym_mixnode_monitor::{ProberError, RegistrationError};
use thiserror::Error;

/// Why the network did not come up, or was not well.
#[derive(Debug, Error)]
pub enum LocalnetError {
    /// A port asked for is not free.
    #[error("cannot use port {port}: {reason}; choose another --base-port, or leave it out to take free ports")]
    Port {
        /// The port.
        port: u16,
        /// What the system said.
        reason: io::Error,
    },
    /// The system has no port to give.
    #[error("no port is free on the loopback addresses: {0}")]
    NoFreePort(#[source] io::Error),
    /// The ports asked for go beyond 65535.
    #[error("--base-port {base} is too high: {needed} ports are needed from there on")]
    PortRange {
        /// As given.
        base: u16,
        /// One for the registry, one for each node.
        needed: usize,
    },
    /// No directory for the nodes' homes.
    #[error("cannot make a temporary directory for the network (set TMPDIR to another place): {0}")]
    Home(#[source] io::Error),
    /// A process could not be started.
    #[error("cannot start {name}: {reason}")]
    Spawn {
        /// The process.
        name: String,
        /// What the system said.
        reason: io::Error,
    },
    /// A process ended, or stayed silent, before the network was ready.
    #[error("{0}")]
    NotReady(String),
    /// The network's own registry does not do what it should.
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
    /// The network ran, and a node or the registry failed.
    #[error("the network is not well: {0}")]
    Unwell(String),
    /// The network ran, every node accounts for every packet, and yet not all came back.
    #[error("not every packet came back: {0}")]
    Lost(String),
    /// The result could not be written, or signals not be caught.
    #[error("cannot write the result: {0}")]
    Io(#[from] io::Error),
}

impl LocalnetError {
    pub(super) fn directory(error: &dyn std::error::Error) -> Self {
        Self::Directory(error.to_string())
    }

    /// The exit code, after sysexits.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::PortRange { .. } => 64,
            Self::Port { .. }
            | Self::NoFreePort(_)
            | Self::NotReady(_)
            | Self::Directory(_)
            | Self::Prober(_)
            | Self::Registration(_)
            | Self::Unwell(_)
            | Self::Lost(_) => 69,
            Self::Home(_) => 73,
            Self::Spawn { .. } | Self::Io(_) => 74,
            Self::Interrupted | Self::Killed => 75,
        }
    }
}
