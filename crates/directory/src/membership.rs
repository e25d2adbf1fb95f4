//! Registration and topology of a heartbeat: the first registration, then regular refreshes.

mod unsigned;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use nym_mixnode_api::{IpVersion, PendingAddress, RegistrationReply, Topology};
use nym_mixnode_base::backoff::Backoff;
use tokio::time::{Instant, sleep};
use tracing::{debug, error, info, warn};

use super::announcement::Announcement;
use super::heartbeat::Heartbeat;
use super::listing_status::{self, ListingStatus};
use super::signer::Signer;
use super::state::Failed;
use super::verify::Verifier;
use super::{Directory, DirectoryError};

/// Minimum delay after "too many requests": a 0.9.2 validator accepts two registrations per minute.
const PAUSE_WHEN_LIMITED: Duration = Duration::from_secs(30);
/// Maximum delay before the next fetch of a topology that was empty.
const PAUSE_WHEN_EMPTY: Duration = Duration::from_secs(1);

/// One run of a heartbeat's registration and topology.
pub(super) struct Membership<'a, D, A, F> {
    heartbeat: &'a Heartbeat<D, A>,
    on_topology: F,
    backoff: Backoff,
    /// `None` once the directory has rejected a keep-alive: it accepts registrations of unlisted nodes only.
    keep_alive: Option<Duration>,
    registered_at: Instant,
    /// Last registration sent; a different current one must be sent.
    registered: Option<Arc<A>>,
    mode: Mode,
    /// Whether the directory accepted the registration but lists none of its addresses yet.
    is_pending: bool,
    verifier: Verifier,
    forged: usize,
    /// Content of the file, to skip unchanged writes.
    saved: Option<Topology>,
    save_fails: bool,
}

/// How this start of the node registers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// The directory does not support signatures, or the node does not sign.
    Unsigned,
    Signed,
    /// A newer start has registered, or an operator unregistered the node: this start no longer registers.
    Superseded,
}

impl<'a, D: Directory, A: Announcement, F: Fn(&Topology)> Membership<'a, D, A, F> {
    pub(super) fn new(heartbeat: &'a Heartbeat<D, A>, on_topology: F) -> Self {
        let settings = &heartbeat.settings;
        Self {
            heartbeat,
            on_topology,
            backoff: Backoff::new(settings.retry_initial, settings.retry_max),
            keep_alive: settings.keep_alive,
            registered_at: Instant::now(),
            registered: None,
            mode: Mode::Unsigned,
            is_pending: false,
            verifier: Verifier::default(),
            forged: 0,
            saved: None,
            save_fails: false,
        }
    }

    /// Joins, then follows until the future is dropped.
    pub(super) async fn run(mut self) -> Result<Infallible, DirectoryError> {
        self.join().await?;
        Ok(self.follow().await)
    }

    /// Returns after the first accepted registration, or when the registration can never be accepted.
    async fn join(&mut self) -> Result<(), DirectoryError> {
        loop {
            match self.try_join().await {
                Ok(()) => return Ok(()),
                Err(error) if error.is_final() => return Err(error),
                Err(error) => sleep(self.wait_after(&error)).await,
            }
        }
    }

    async fn try_join(&mut self) -> Result<(), DirectoryError> {
        let Heartbeat { directory, signer, state, .. } = self.heartbeat;
        let signs = match signer {
            Some(signer) => {
                signer.ask(directory, true).await.inspect_err(|error| state.count_failure(Failed::Register, error))?
            }
            None => false,
        };
        self.mode = if signs { Mode::Signed } else { Mode::Unsigned };
        let Some(signer) = self.signer() else {
            return self.join_unsigned().await;
        };
        // Before the topology, which may be large. The topology is fetched even if the registration fails: the node
        // needs it.
        let registered = self.register_signed(signer).await;
        let fetched = self.fetch().await;
        registered?;
        if let Err(error) = fetched {
            debug!(%error, "registered, but cannot fetch the topology yet");
        }
        Ok(())
    }

    /// Every failure is transient here: problems of the directory must not stop a working node.
    async fn follow(&mut self) -> Infallible {
        self.backoff.reset();
        let mut wait = self.pause();
        loop {
            tokio::select! {
                () = sleep(wait) => {}
                () = self.heartbeat.registration_changed.notified() => {}
            }
            wait = match self.refresh().await {
                Ok(()) => self.pause(),
                Err(error) => self.wait_after(&error),
            };
        }
    }

    /// Delay before the next fetch of the topology. Short while the node is not listed, and for the first node of a
    /// network, which forwards no packets until it finds itself listed.
    fn pause(&mut self) -> Duration {
        let refresh = self.heartbeat.settings.topology_refresh;
        if self.is_pending {
            return self.backoff.wait();
        }
        self.backoff.reset();
        let knows_none = self.heartbeat.state.topology().is_none();
        if knows_none { refresh.min(PAUSE_WHEN_EMPTY) } else { refresh }
    }

    async fn refresh(&mut self) -> Result<(), DirectoryError> {
        let topology = self.fetch().await?;
        if self.mode == Mode::Superseded {
            return Ok(());
        }
        if self.is_outdated() {
            info!("sending the changed registration");
            return self.register(&topology).await;
        }
        let state = &self.heartbeat.state;
        match self.listing_status(&topology) {
            ListingStatus::AsAnnounced => {
                self.is_pending = false;
                state.set_registered(true);
                state.set_problem(None);
                if self.keep_alive_is_due() { self.keep_alive().await } else { Ok(()) }
            }
            ListingStatus::Newer { address, counter } => {
                error!(other = %address, counter, "a newer start of this identity is registered; this node keeps \
                    mixing, and registers again when it is restarted");
                self.stop_registering(format!(
                    "a newer start of this identity is registered at {address}; stop one of the two"
                ));
                Ok(())
            }
            ListingStatus::Elsewhere { address } => self.contest_address(&address, &topology).await,
            ListingStatus::Differs { field, address } => {
                let problem = format!("the directory lists this node at {address} with a different {field}");
                warn!("{problem}; registering again");
                state.set_registered(false);
                state.set_problem(Some(problem));
                self.register(&topology).await
            }
            ListingStatus::Absent => {
                state.set_registered(false);
                if !self.is_pending {
                    info!("the directory no longer lists this node; registering again");
                }
                self.register(&topology).await
            }
        }
    }

    /// The signer, unless this start registers without signatures.
    fn signer(&self) -> Option<&'a Signer> {
        self.heartbeat.signer.as_ref().filter(|_| self.mode == Mode::Signed)
    }

    fn listing_status(&self, topology: &Topology) -> ListingStatus {
        let ours = self.heartbeat.registration();
        match self.signer() {
            Some(signer) => {
                listing_status::signed(topology, &*ours, &signer.registry().unwrap_or_default(), signer.used())
            }
            None => listing_status::unsigned(topology, &*ours),
        }
    }

    async fn register(&mut self, topology: &Topology) -> Result<(), DirectoryError> {
        match self.signer() {
            Some(signer) => self.register_signed(signer).await,
            None => self.register_unsigned(topology).await,
        }
    }

    async fn keep_alive(&mut self) -> Result<(), DirectoryError> {
        match self.signer() {
            Some(signer) => self.register_signed(signer).await,
            None => self.keep_alive_unsigned().await,
        }
    }

    /// Registers with the next counter, over each IP version that may prove an address.
    async fn register_signed(&mut self, signer: &Signer) -> Result<(), DirectoryError> {
        let Heartbeat { directory, state, .. } = self.heartbeat;
        let registration = self.heartbeat.registration();
        state.set_maybe_listed();
        let mut reply = match self.send_signed(signer, &registration, None).await {
            // The directory's key has changed.
            Err(DirectoryError::Refused { status: 401, .. }) => {
                signer.ask(directory, false).await?;
                self.send_signed(signer, &registration, None).await
            }
            reply => reply,
        };
        if let Err(DirectoryError::Refused { status: 409, message, .. }) = &reply
            && self.registered.is_some()
        {
            error!(reason = %message, "the directory no longer accepts registrations of this start");
            self.stop_registering(message.clone());
            return Ok(());
        }
        for version in [IpVersion::V4, IpVersion::V6] {
            if reply.as_ref().is_ok_and(|reply| reply.is_pending_over(version))
                && let Ok(proved) = self.send_signed(signer, &registration, Some(version)).await
            {
                reply = Ok(proved);
            }
        }
        let reply = reply.inspect_err(|error| state.count_failure(Failed::Register, error))?;
        self.set_registered(registration, &reply.pending);
        Ok(())
    }

    async fn send_signed(
        &self,
        signer: &Signer,
        registration: &A,
        over: Option<IpVersion>,
    ) -> Result<RegistrationReply, DirectoryError> {
        let with_signature = signer.sign(registration)?;
        with_signature.as_ref().unwrap_or(registration).register(&self.heartbeat.directory, over).await
    }

    /// Updates the state after an accepted registration.
    fn set_registered(&mut self, registration: Arc<A>, pending: &[PendingAddress]) {
        let state = &self.heartbeat.state;
        let is_first = self.registered.is_none() || !state.registered();
        let is_listed = pending.len() < registration.addresses().len();
        self.registered_at = Instant::now();
        self.registered = Some(registration);
        self.is_pending = !is_listed;
        state.set_registered(is_listed);
        if let Some(PendingAddress { address, reason }) = pending.first().filter(|_| !is_listed) {
            let problem = format!("the directory does not list {address} yet: {reason}");
            if state.last_error().as_ref() != Some(&problem) {
                warn!("{problem}");
            }
            state.set_problem(Some(problem));
            return;
        }
        state.set_registered_now();
        state.set_problem(None);
        if is_first {
            info!("registered with the directory");
        }
    }

    fn stop_registering(&mut self, problem: String) {
        let state = &self.heartbeat.state;
        self.mode = Mode::Superseded;
        self.is_pending = false;
        state.set_registered(false);
        // The listed entry belongs to the newer start, so this one must not remove it.
        state.set_not_listed();
        state.set_problem(Some(problem));
    }

    async fn fetch(&mut self) -> Result<Topology, DirectoryError> {
        let Heartbeat { directory, state, .. } = self.heartbeat;
        let fetched = directory.topology().await;
        let topology = match fetched {
            Ok(topology) => self.verified(topology).await,
            Err(error) => Err(error),
        };
        let topology = topology.inspect_err(|error| state.count_failure(Failed::Topology, error))?;
        let lists_nodes = !(topology.mix_nodes.is_empty() && topology.gateways.is_empty());
        if !lists_nodes && !topology.test_addresses.is_empty() && state.topology().is_none() {
            // The first node of a network must accept its own returning test packet.
            (self.on_topology)(&topology);
        }
        if lists_nodes {
            (self.on_topology)(&topology);
            state.set_topology(Some(Instant::now()));
            self.save(&topology).await;
        }
        Ok(topology)
    }

    /// Removes the entries that their identities have not signed.
    async fn verified(&mut self, mut topology: Topology) -> Result<Topology, DirectoryError> {
        let signer = self.heartbeat.signer.as_ref();
        if let Some(expected) = signer.and_then(Signer::expected) {
            let expected = bs58::encode(expected).into_string();
            if topology.registry_key.as_ref() != Some(&expected) {
                let url = self.heartbeat.directory.location().to_owned();
                let reason = "the topology is from a registry with a different key than directory.key";
                return Err(DirectoryError::Distrusted { url, reason });
            }
        }
        if topology.registry_key.is_none() {
            return Ok(topology);
        }
        let mut verifier = std::mem::take(&mut self.verifier);
        // Checking thousands of signatures takes most of a second.
        let checked = tokio::task::spawn_blocking(move || {
            let forged = verifier.remove_forged(&mut topology);
            (verifier, topology, forged)
        });
        let (verifier, topology, forged) = checked.await.map_err(|error| DirectoryError::MalformedReply {
            action: "check the topology",
            url: self.heartbeat.directory.location().to_owned(),
            reason: error.to_string(),
        })?;
        self.verifier = verifier;
        if forged > self.forged {
            warn!(entries = forged, "ignoring entries of the topology with missing or invalid signatures");
        }
        self.forged = forged;
        Ok(topology)
    }

    fn is_outdated(&self) -> bool {
        self.registered.as_deref() != Some(&*self.heartbeat.registration())
    }

    fn keep_alive_is_due(&self) -> bool {
        self.keep_alive.is_some_and(|interval| self.registered_at.elapsed() >= interval)
    }

    /// Logs the failure and returns the delay before the next attempt.
    fn wait_after(&mut self, error: &DirectoryError) -> Duration {
        let wait = match error {
            DirectoryError::TooManyRequests { .. } => self.backoff.wait().max(PAUSE_WHEN_LIMITED),
            _ => self.backoff.wait(),
        };
        warn!("{error}; next attempt in {:.1} s", wait.as_secs_f32());
        wait
    }

    /// Only logs failures: the directory still has the topology.
    async fn save(&mut self, topology: &Topology) {
        let Some(file) = self.heartbeat.last_good.clone() else { return };
        if self.saved.as_ref() == Some(topology) {
            return;
        }
        let copy = topology.clone();
        let result = tokio::task::spawn_blocking(move || file.save(&copy).map(|()| copy)).await;
        match result.map_err(std::io::Error::other).and_then(|saved| saved) {
            Ok(saved) => {
                self.saved = Some(saved);
                self.save_fails = false;
            }
            Err(error) => {
                if !self.save_fails {
                    warn!(%error, "cannot save the topology; a start while the directory is down would have none");
                }
                self.save_fails = true;
            }
        }
    }
}
