//! The background task of a node towards its directory.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use nym_mixnode_api::{MixRegistration, Topology};
use tokio::sync::Notify;
use tokio::time::timeout;
use tracing::{info, warn};

use super::last_good::LastGood;
use super::membership::Membership;
use super::metrics::report_metrics;
use super::signer::Signer;
use super::{Client, Directory, DirectoryError, HeartbeatState, Unregistered};

/// Longest wait for the directory when the node stops.
const UNREGISTER_TIMEOUT: Duration = Duration::from_secs(5);

/// How a heartbeat behaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeartbeatSettings {
    /// Time between two fetches of the topology.
    pub topology_refresh: Duration,
    /// Time between two registrations of a node that is listed as it should be; `None` for never. A 0.9.2 validator
    /// answers them with a conflict, which ends them.
    pub keep_alive: Option<Duration>,
    /// First wait after a failure; it doubles up to `retry_max`.
    pub retry_initial: Duration,
    /// Longest wait between two attempts while the directory is down.
    pub retry_max: Duration,
    /// Reported counts are rounded up to a multiple of this, so that they tell no single packet.
    pub metrics_rounding: u64,
    /// Where the last good topology is kept; `None` keeps none.
    pub last_good: Option<PathBuf>,
    /// The addresses that the node listens on, to know itself when it meets itself.
    pub listen: Vec<SocketAddr>,
    /// Remove the entry of another identity at our address, at a directory that asks for no proof.
    pub force: bool,
}

impl Default for HeartbeatSettings {
    fn default() -> Self {
        Self {
            topology_refresh: Duration::from_secs(30),
            keep_alive: Some(Duration::from_mins(5)),
            retry_initial: Duration::from_secs(1),
            // A node is registered again within a minute of the directory's return.
            retry_max: Duration::from_secs(45),
            metrics_rounding: 64,
            last_good: None,
            listen: Vec::new(),
            force: false,
        }
    }
}

/// Keeps one mix registered, and its node supplied with the topology.
#[derive(Debug)]
pub struct Heartbeat<D = Client> {
    pub(super) directory: D,
    registration: ArcSwap<MixRegistration>,
    pub(super) registration_changed: Notify,
    pub(super) settings: HeartbeatSettings,
    pub(super) last_good: Option<LastGood>,
    pub(super) state: HeartbeatState,
    /// `None` signs nothing.
    pub(super) signer: Option<Signer>,
}

impl<D: Directory> Heartbeat<D> {
    /// A heartbeat that has sent nothing yet.
    pub fn new(directory: D, registration: MixRegistration, settings: HeartbeatSettings) -> Self {
        let last_good = settings.last_good.clone().map(|path| LastGood::new(path, directory.location()));
        Self {
            directory,
            registration: ArcSwap::from_pointee(registration),
            registration_changed: Notify::new(),
            settings,
            last_good,
            state: HeartbeatState::default(),
            signer: None,
        }
    }

    /// Signs what it sends, if the directory knows signatures.
    #[must_use]
    pub fn signed_by(self, signer: Signer) -> Self {
        Self { signer: Some(signer), ..self }
    }

    /// What is registered now, or is about to be.
    pub fn registration(&self) -> Arc<MixRegistration> {
        self.registration.load_full()
    }

    /// Registers this from now on: at once if the node is registered, and otherwise when it comes to that. The identity
    /// stays what it was.
    pub fn change_registration(&self, change: impl FnOnce(&mut MixRegistration)) {
        let mut registration = MixRegistration::clone(&self.registration.load());
        change(&mut registration);
        self.registration.store(Arc::new(registration));
        self.registration_changed.notify_one();
    }

    /// What others may know of it, at any time.
    pub fn state(&self) -> HeartbeatState {
        self.state.clone()
    }

    /// The topology that an earlier run of the node kept, to serve with before the directory answers.
    pub fn load_last_good(&self) -> Option<Topology> {
        let topology = self.last_good.as_ref().and_then(LastGood::load)?;
        if self.state.topology().is_none() {
            self.state.set_topology(&topology, None);
        }
        Some(topology)
    }

    /// Registers, retrying while the directory is down, then keeps the node registered, its topology fresh and the
    /// directory informed, until it is dropped.
    ///
    /// `received_total` gives the packets received since the start. `on_topology` gets every topology that lists any
    /// node at all: a directory that has just lost its store must not cut the network in pieces.
    ///
    /// # Errors
    /// Before the first registration has succeeded: when the directory calls the registration itself malformed.
    /// Nothing else is fatal, because a stranger's claim in the directory must not stop a node that mixes: it goes on,
    /// and [`HeartbeatState`] says what is wrong.
    pub async fn run(
        &self,
        received_total: impl Fn() -> u64,
        on_topology: impl Fn(&Topology),
    ) -> Result<Infallible, DirectoryError> {
        tokio::select! {
            ended = Membership::new(self, on_topology).run() => ended,
            never = report_metrics(self, received_total) => match never {},
        }
    }

    /// Takes the node out of the directory, within 5 s; a failure is logged, since a stopping node can do no more and
    /// the next start replaces the entry. Does nothing when no registration was ever sent: the entry in the directory,
    /// if any, is then another node's. Says whether the directory has taken it out, so that clients learn of it.
    pub async fn unregister(&self) -> bool {
        if !self.state.maybe_listed() {
            return false;
        }
        self.state.set_registered(false);
        let registration = self.registration();
        let unregistered = async {
            match self.signer.as_ref().map(Signer::sign_unregistration).transpose()?.flatten() {
                Some(proof) => self.directory.unregister_signed(&registration.identity_key, &proof).await,
                None => self.directory.unregister(&registration.identity_key).await,
            }
        };
        let outcome = timeout(UNREGISTER_TIMEOUT, unregistered).await;
        match &outcome {
            Ok(Ok(Unregistered::Removed)) => info!("unregistered"),
            Ok(Ok(Unregistered::NotListed)) => info!("the directory had unregistered this node already"),
            Ok(Err(error)) => warn!(%error, "could not unregister; the next start replaces the entry"),
            Err(_) => warn!("could not unregister within 5 s; the next start replaces the entry"),
        }
        matches!(outcome, Ok(Ok(_)))
    }
}

#[cfg(test)]
#[path = "heartbeat_tests.rs"]
mod tests;
