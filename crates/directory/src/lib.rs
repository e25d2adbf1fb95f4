//! Client of the directory: registers the node, keeps it registered, and fetches the topology.
//!
//! Usage in a node, once its socket is bound:
//!
//! ```no_run
//! use nym_mixnode_api::MixRegistration;
//! use nym_mixnode_directory::{Client, ClientLimits, DirectoryConfig, Heartbeat, HeartbeatSettings};
//!
//! # async fn node(config: DirectoryConfig, registration: MixRegistration, stop: impl Future<Output = ()>)
//! # -> Result<(), nym_mixnode_directory::DirectoryError> {
//! let client = Client::of(&config, ClientLimits::default())?;
//! let settings = HeartbeatSettings {
//!     topology_refresh: config.topology_refresh,
//!     last_good: Some("data/topology.json".into()),
//!     ..HeartbeatSettings::default()
//! };
//! let heartbeat = Heartbeat::new(client, registration, settings);
//! let state = heartbeat.state();                      // for readiness: registered(), last_error(), failures()
//! if let Some(topology) = heartbeat.load_last_good() {
//!     // allow its addresses before the directory answers
//! }
//! tokio::select! {
//!     failed = heartbeat.run(|| 0 /* packets received */, |_topology| { /* allow its addresses */ }) => {
//!         let Err(fatal) = failed;                    // the directory can never take this registration
//!         return Err(fatal);
//!     }
//!     () = stop => {
//!         let is_known = heartbeat.unregister().await; // first step of the stop, at most 5 s
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Requests follow the heartbeat's own schedule and never depend on packets: an observer of the directory's traffic
//! must not learn when packets arrive.

mod announcement;
mod client;
mod heartbeat;
mod identity;
mod join_token;
mod last_good;
mod listing_status;
mod membership;
mod metrics;
mod monitor_token;
mod retired;
mod signer;
mod state;
mod trust;
mod verify;

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use nym_mixnode_api::{
    CounterReply, GatewayRegistration, IpVersion, MixMetric, MixRegistration, Proof, RegistrationReply, Topology,
};
use nym_mixnode_base::exit::Exit;
use nym_mixnode_base::redact::redacted;
use nym_mixnode_keys::KeyGenerationError;
use thiserror::Error;
use url::Url;

pub use announcement::Announcement;
pub use client::{Client, ClientLimits, Unregistered, with_status};
pub use heartbeat::{Heartbeat, HeartbeatSettings};
pub use join_token::{JoinTokenError, read_join_token};
pub use monitor_token::{MonitorToken, MonitorTokenError, NamedTokens, TokenFile};
pub use retired::is_retired;
pub use signer::Signer;
pub use state::{FailureCounts, HeartbeatState, TopologyFacts};
pub use verify::Verifier;

/// Requests of a heartbeat to a directory. [`Client`] implements it over HTTP; tests use a scripted one.
pub trait Directory: Send + Sync {
    /// Location of the directory, for display and to distinguish the topologies of different directories.
    fn location(&self) -> &str;
    /// Counter of the last signed call of an identity, signed over the nonce; `None` if the directory does not support
    /// signatures.
    fn counter(
        &self,
        identity: &str,
        nonce: &str,
    ) -> impl Future<Output = Result<Option<CounterReply>, DirectoryError>> + Send;
    /// Registers a mix, or replaces its registration. Over an IP version, the source address proves the announced one.
    fn register_mix(
        &self,
        mix: &MixRegistration,
        over: Option<IpVersion>,
    ) -> impl Future<Output = Result<RegistrationReply, DirectoryError>> + Send;
    /// Registers a gateway, or replaces its registration. Over an IP version, as for a mix.
    fn register_gateway(
        &self,
        gateway: &GatewayRegistration,
        over: Option<IpVersion>,
    ) -> impl Future<Output = Result<RegistrationReply, DirectoryError>> + Send;
    /// Removes the registration of this identity, if there is one; a proof is its signature.
    fn unregister(
        &self,
        identity: &str,
        proof: Option<&Proof>,
    ) -> impl Future<Output = Result<Unregistered, DirectoryError>> + Send;
    /// All mixes and gateways.
    fn topology(&self) -> impl Future<Output = Result<Topology, DirectoryError>> + Send;
    /// Reports packet counts; returns the time until the next report is due.
    fn post_metrics(&self, metric: &MixMetric) -> impl Future<Output = Result<Duration, DirectoryError>> + Send;
}

/// Error of a request to the directory. Each message is one line: what failed, where, and what to do.
#[derive(Debug, Error)]
pub enum DirectoryError {
    /// The configured URL is not usable.
    #[error("directory URL {url}: {reason}; set directory.url and directory.metrics_url to http:// or https:// URLs")]
    BadUrl {
        /// As configured, without a password.
        url: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The HTTP client cannot be built, for example because the system has no root certificates.
    #[error(
        "cannot prepare requests to {url}: {reason}; install the system's CA certificates, name a file with \
         certificates in --directory-ca-file (directory.ca_file), or use an http:// URL"
    )]
    Setup {
        /// URL of the directory.
        url: String,
        /// Error of the TLS library.
        reason: String,
    },
    /// No response: the name does not resolve, the connection or TLS failed, or the time is up. Retry.
    #[error("cannot {action} at {url}: {reason}; {}", advice(.url))]
    Unreachable {
        /// Action that failed.
        action: &'static str,
        /// URL of the request.
        url: String,
        /// The innermost cause.
        reason: String,
    },
    /// TLS failed, for example because the certificate is not trusted. Retry: the operator may renew it.
    #[error("cannot {action} at {url}: {reason}; {advice}")]
    Tls {
        /// Action that failed.
        action: &'static str,
        /// URL of the request.
        url: String,
        /// What is wrong.
        reason: String,
        /// What to do.
        advice: &'static str,
    },
    /// The directory responded with 5xx, an error of its own. Retry.
    #[error(
        "cannot {action} at {url}: the directory failed with {status}: {message}; if this continues, its log has the cause"
    )]
    ServerFailed {
        /// Action that failed.
        action: &'static str,
        /// URL of the request.
        url: String,
        /// HTTP status.
        status: u16,
        /// Message of the directory.
        message: String,
    },
    /// The directory responded with 429. Retry, but not at once.
    #[error("cannot {action} at {url}: too many requests (429); wait a minute before trying again")]
    TooManyRequests {
        /// Action that failed.
        action: &'static str,
        /// URL of the request.
        url: String,
    },
    /// The directory refused the request (400, 403, 404, 409 …).
    #[error("cannot {action} at {url}: the directory refused with {status}: {message}")]
    Refused {
        /// Action that failed.
        action: &'static str,
        /// URL of the request.
        url: String,
        /// HTTP status.
        status: u16,
        /// Message of the directory, with advice.
        message: String,
    },
    /// The response is not from a directory: another server's page, a redirect, or too long.
    #[error("cannot {action} at {url}: {reason}; check that the URL is that of a directory")]
    MalformedReply {
        /// Action that failed.
        action: &'static str,
        /// URL of the request.
        url: String,
        /// What is wrong with the response.
        reason: String,
    },
    /// The directory has an untrusted key, or another server intercepts the connection.
    #[error(
        "cannot trust the directory at {url}: {reason}; check the URL, and directory.key against the `registryKey` that \
         the directory's operator sees in its topology"
    )]
    Distrusted {
        /// URL of the directory.
        url: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// The file with the trusted authorities cannot be used.
    #[error("cannot use the CA file {path}: {reason}; pass a file with certificates in PEM (directory.ca_file)")]
    CaFile {
        /// Path as given.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The join token cannot be read.
    #[error("directory.join_token_file: {0}")]
    JoinToken(#[from] JoinTokenError),
    /// A call cannot be signed.
    #[error("cannot sign a call to the directory: {0}")]
    Signing(#[from] KeyGenerationError),
    /// Another identity has registered an address that we announce, at a directory without proofs.
    #[error(
        "{address} is registered by another node, {holder}; announce another address or, if that node is not there any \
         more, unregister it (nym-mixnode unregister) or pass --force to take its place"
    )]
    AddressTaken {
        /// The contested address.
        address: SocketAddr,
        /// Identity of the other node.
        holder: String,
    },
}

/// Advice for a directory that does not respond.
fn advice(url: &str) -> &'static str {
    if url.parse().is_ok_and(|url| is_retired(&url)) {
        "the public Nym 0.9 network is gone: set directory.url (--validator) to a directory of your own"
    } else {
        "check the network and that the directory runs"
    }
}

impl DirectoryError {
    /// Whether the same request may succeed later without a change of configuration.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. }
            | Self::Tls { .. }
            | Self::ServerFailed { .. }
            | Self::TooManyRequests { .. }
            | Self::MalformedReply { .. } => true,
            // A proxy may respond with 404 while its directory restarts.
            Self::Refused { status, .. } => *status == 404 || *status == 408,
            Self::BadUrl { .. }
            | Self::Setup { .. }
            | Self::Distrusted { .. }
            | Self::Signing(_)
            | Self::CaFile { .. }
            | Self::JoinToken(_)
            | Self::AddressTaken { .. } => false,
        }
    }

    /// Whether registration stays impossible until the node's configuration changes. All other causes can go away: an
    /// untrusted claim, the list of admitted identities, the directory itself.
    pub(crate) fn is_final(&self) -> bool {
        match self {
            Self::BadUrl { .. } | Self::Setup { .. } | Self::Signing(_) | Self::CaFile { .. } | Self::JoinToken(_) => {
                true
            }
            Self::Refused { status, .. } => *status == 400,
            _ => false,
        }
    }

    /// Whether the directory reports that another node has our host.
    pub(crate) fn is_conflict(&self) -> bool {
        matches!(self, Self::Refused { status: 409, .. })
    }

    /// Exit code of a command that fails with this error.
    pub fn exit_code(&self) -> Exit {
        match self {
            Self::BadUrl { .. } | Self::Setup { .. } | Self::CaFile { .. } | Self::JoinToken(_) => Exit::CONFIG,
            Self::Unreachable { .. }
            | Self::Tls { .. }
            | Self::ServerFailed { .. }
            | Self::MalformedReply { .. }
            | Self::Distrusted { .. }
            | Self::AddressTaken { .. } => Exit::UNAVAILABLE,
            Self::Signing(_) => Exit::INTERNAL,
            Self::TooManyRequests { .. } => Exit::TRY_AGAIN,
            Self::Refused { status: 401 | 403, .. } => Exit::PERMISSION,
            Self::Refused { .. } => Exit::DATA,
        }
    }
}

#[derive(Clone, PartialEq)]
pub struct DirectoryConfig {
    pub url: Url,
    pub metrics_url: Url,
    pub topology_refresh: Duration,
    /// Base58 of the directory's expected public key; `None` trusts the first key it presents.
    pub key: Option<String>,
    /// File with the certificates of the only trusted authorities; `None` trusts those of the system.
    pub ca_file: Option<PathBuf>,
    /// File with the join token of a closed directory.
    pub join_token_file: Option<PathBuf>,
    /// Removes the registration of another identity at our address (`run --force`; not a setting of the file).
    pub take_over: bool,
}

impl fmt::Debug for DirectoryConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DirectoryConfig")
            .field("url", &redacted(&self.url))
            .field("metrics_url", &redacted(&self.metrics_url))
            .field("topology_refresh", &self.topology_refresh)
            .field("key", &self.key)
            .field("ca_file", &self.ca_file)
            .field("join_token_file", &self.join_token_file)
            .field("take_over", &self.take_over)
            .finish()
    }
}
