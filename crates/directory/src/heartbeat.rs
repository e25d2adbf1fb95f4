//! Background task that keeps a node registered and its topology up to date.

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

use super::announcement::Announcement;
use super::last_good::LastGood;
use super::membership::Membership;
use super::metrics::report_metrics;
use super::signer::Signer;
use super::{Client, Directory, DirectoryError, HeartbeatState, Unregistered};

/// Maximum time for unregistering when the node stops.
const UNREGISTER_TIMEOUT: Duration = Duration::from_secs(5);

/// Settings of a heartbeat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeartbeatSettings {
    /// Interval between two fetches of the topology.
    pub topology_refresh: Duration,
    /// Interval between two registrations of a correctly listed node; `None` for never. A 0.9.2 validator responds to
    /// them with a conflict, which stops them.
    pub keep_alive: Option<Duration>,
    /// First delay after a failure; it doubles up to `retry_max`.
    pub retry_initial: Duration,
    /// Maximum delay between two attempts while the directory is down.
    pub retry_max: Duration,
    /// File for the last good topology; `None` disables it.
    pub last_good: Option<PathBuf>,
    /// Listen addresses of the node, to recognise its own addresses.
    pub listen: Vec<SocketAddr>,
    /// Removes the entry of another identity at our address, at a directory that requires no proof.
    pub force: bool,
}

impl Default for HeartbeatSettings {
    fn default() -> Self {
        Self {
            topology_refresh: Duration::from_secs(30),
            keep_alive: Some(Duration::from_mins(5)),
            retry_initial: Duration::from_secs(1),
            // So that the node is registered within a minute after the directory returns.
            retry_max: Duration::from_secs(45),
            last_good: None,
            listen: Vec::new(),
            force: false,
        }
    }
}

/// Keeps one mix or gateway registered and supplies it with the topology.
#[derive(Debug)]
pub struct Heartbeat<D = Client, A = MixRegistration> {
    pub(super) directory: D,
    registration: ArcSwap<A>,
    pub(super) registration_changed: Notify,
    pub(super) settings: HeartbeatSettings,
    pub(super) last_good: Option<LastGood>,
    pub(super) state: HeartbeatState,
    /// `None` sends unsigned calls.
    pub(super) signer: Option<Signer>,
}

impl<D: Directory, A: Announcement> Heartbeat<D, A> {
    /// Creates an idle heartbeat; [`Self::run`] starts sending.
    pub fn new(directory: D, registration: A, settings: HeartbeatSettings) -> Self {
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

    /// Signs all calls, if the directory supports signatures.
    #[must_use]
    pub fn signed_by(self, signer: Signer) -> Self {
        Self { signer: Some(signer), ..self }
    }

    /// The current registration.
    pub fn registration(&self) -> Arc<A> {
        self.registration.load_full()
    }

    /// Changes the registration: sends it at once if the node is registered, otherwise with the first registration. The
    /// identity must not change.
    pub fn change_registration(&self, change: impl FnOnce(&mut A)) {
        let mut registration = A::clone(&self.registration.load());
        change(&mut registration);
        self.registration.store(Arc::new(registration));
        self.registration_changed.notify_one();
    }

    /// Shared view of the heartbeat's state.
    pub fn state(&self) -> HeartbeatState {
        self.state.clone()
    }

    /// Topology saved by an earlier run, for serving before the directory responds.
    pub fn load_last_good(&self) -> Option<Topology> {
        let topology = self.last_good.as_ref().and_then(LastGood::load)?;
        if self.state.topology().is_none() {
            self.state.set_topology(None);
        }
        Some(topology)
    }

    /// Registers, retrying while the directory is down, then keeps the node registered, its topology fresh and the
    /// directory informed, until the future is dropped.
    ///
    /// `received_total` returns the packets received since the start. `on_topology` gets every topology that lists at
    /// least one node: a directory that has just lost its store must not disconnect the network.
    ///
    /// # Errors
    /// Before the first successful registration: when the directory rejects the registration as malformed. Nothing else
    /// is fatal, because an untrusted entry in the directory must not stop a working node: it keeps running, and
    /// [`HeartbeatState`] has the error.
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

    /// Unregisters the node, within 5 s. A failure is only logged: a stopping node cannot retry, and the next start
    /// replaces the entry. Does nothing if no registration was sent: an entry in the directory is then another node's.
    /// Returns whether clients may stop using the node: the directory removed the entry, or did not answer in time and may
    /// have removed it.
    pub async fn unregister(&self) -> bool {
        if !self.state.maybe_listed() {
            return false;
        }
        self.state.set_registered(false);
        let registration = self.registration();
        let unregistered = async {
            let proof = self.signer.as_ref().map(Signer::sign_unregistration).transpose()?.flatten();
            self.directory.unregister(registration.identity(), proof.as_ref()).await
        };
        let outcome = timeout(UNREGISTER_TIMEOUT, unregistered).await;
        // A conflict means a newer signed call: the entry of this start is gone.
        let outcome = match outcome {
            Ok(Err(error)) if error.is_conflict() && self.signer.is_some() => Ok(Ok(Unregistered::NotListed)),
            outcome => outcome,
        };
        match &outcome {
            Ok(Ok(Unregistered::Removed)) => info!("unregistered"),
            Ok(Ok(Unregistered::NotListed)) => info!("the directory no longer lists this start of the node"),
            Ok(Err(error)) => warn!(%error, "could not unregister; the next start replaces the entry"),
            Err(_) => warn!("could not unregister within 5 s; the next start replaces the entry"),
        }
        !matches!(outcome, Ok(Err(_)))
    }
}

#[cfg(test)]
mod tests;
