//! Being listed: the first registration, and staying listed while the topology is followed.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use super::heartbeat::Heartbeat;
use super::identity::{self, InTheWay};
use super::state::Failed;
use super::{Directory, DirectoryError};
use crate::api::{MixRegistration, Topology};
use crate::backoff::Backoff;

/// Shortest wait after "too many requests": a 0.9.2 validator takes two registrations a minute.
const PAUSE_WHEN_LIMITED: Duration = Duration::from_secs(30);
/// Longest wait for the next look at a topology that had nobody in it.
const PAUSE_WHEN_EMPTY: Duration = Duration::from_secs(1);

/// One run of a heartbeat's registration and topology.
pub(super) struct Membership<'a, D, F> {
    heartbeat: &'a Heartbeat<D>,
    on_topology: F,
    backoff: Backoff,
    /// `None` for good once the directory has shown that it takes registrations only from the unlisted.
    keep_alive: Option<Duration>,
    registered_at: Instant,
    /// What was registered last; another one is due when the node has another.
    registered: Option<Arc<MixRegistration>>,
    /// What the file holds, not to write the same again.
    saved: Option<Topology>,
    save_fails: bool,
}

/// How the directory lists us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Listed {
    AsAnnounced,
    /// Our identity, but none of our addresses.
    Elsewhere,
    No,
}

impl<'a, D: Directory, F: Fn(&Topology)> Membership<'a, D, F> {
    pub(super) fn new(heartbeat: &'a Heartbeat<D>, on_topology: F) -> Self {
        let settings = &heartbeat.settings;
        Self {
            heartbeat,
            on_topology,
            backoff: Backoff::new(settings.retry_initial, settings.retry_max),
            keep_alive: settings.keep_alive,
            registered_at: Instant::now(),
            registered: None,
            saved: None,
            save_fails: false,
        }
    }

    /// Joins, then follows until it is dropped.
    pub(super) async fn run(mut self) -> Result<Infallible, DirectoryError> {
        self.join().await?;
        Ok(self.follow().await)
    }

    /// Returns when the node is registered for the first time, or can't be.
    async fn join(&mut self) -> Result<(), DirectoryError> {
        loop {
            match self.try_join().await {
                Ok(()) => return Ok(()),
                Err(error) if error.is_transient() => sleep(self.wait_after(&error)).await,
                Err(error) => return Err(error),
            }
        }
    }

    async fn try_join(&mut self) -> Result<(), DirectoryError> {
        let topology = self.fetch().await?;
        let state = &self.heartbeat.state;
        let topology =
            self.make_room(topology).await.inspect_err(|error| state.count_failure(Failed::Register, error))?;
        self.register(&topology).await
    }

    /// Makes sure that nobody suffers from our registration; the topology in which that is so.
    async fn make_room(&mut self, mut topology: Topology) -> Result<Topology, DirectoryError> {
        let settings = &self.heartbeat.settings;
        let ours = self.heartbeat.registration();
        // Each of our addresses may have been another node's.
        for _ in 0..=ours.announced_addresses().len() {
            match identity::check(&topology, &ours, &settings.listen, settings.force).await? {
                InTheWay::Nothing => break,
                // Rare, so the node's future need not hold room for it.
                InTheWay::Leftover { address, holder } => topology = Box::pin(self.displace(address, holder)).await?,
            }
        }
        Ok(topology)
    }

    /// Removes the entry that a node without our address has left there; the topology without it.
    ///
    /// A directory lets only the host of an entry remove it, which we are if the address is ours. If it refuses, the
    /// node may have moved its entry meanwhile.
    async fn displace(&mut self, address: SocketAddr, holder: String) -> Result<Topology, DirectoryError> {
        warn!(%holder, "another node is listed at our address, and not there any more; removing its registration");
        let removed = self.heartbeat.directory.unregister(&holder).await;
        let topology = self.fetch().await?;
        let is_there = topology.mix(&holder).is_some_and(|mix| mix.announced_addresses().contains(&address));
        match removed {
            Err(error) if error.is_transient() => Err(error),
            _ if is_there => Err(DirectoryError::AddressTaken { address, holder }),
            _ => Ok(topology),
        }
    }

    /// Every failure is transient here: the node mixes, and a directory's mood must not stop it.
    async fn follow(&mut self) -> Infallible {
        self.backoff.reset();
        let mut wait = self.pause();
        loop {
            tokio::select! {
                () = sleep(wait) => {}
                () = self.heartbeat.registration_changed.notified() => {}
            }
            wait = match self.refresh().await {
                Ok(()) => {
                    self.backoff.reset();
                    self.pause()
                }
                Err(error) => self.wait_after(&error),
            };
        }
    }

    /// Until the next look at the topology: a short one for the first node of a network, which has found it empty, and
    /// has nobody to send to before it finds itself there.
    fn pause(&self) -> Duration {
        let refresh = self.heartbeat.settings.topology_refresh;
        let knows_none = self.heartbeat.state.topology().is_none();
        if knows_none { refresh.min(PAUSE_WHEN_EMPTY) } else { refresh }
    }

    async fn refresh(&mut self) -> Result<(), DirectoryError> {
        let state = &self.heartbeat.state;
        let topology = self.fetch().await?;
        if self.is_outdated() {
            info!("registering what has changed");
            return self.register(&topology).await;
        }
        match self.listed(&topology) {
            Listed::AsAnnounced => {
                state.set_registered(true);
                state.set_problem(None);
                if self.keep_alive_is_due() {
                    self.keep_alive().await?;
                }
            }
            Listed::Elsewhere => {
                state.set_registered(false);
                let problem = "the directory lists our identity at another address; does a second node run with it?";
                state.set_problem(Some(problem.into()));
                // At the pace of keep-alives, so that two nodes with one identity do not fight over it all day.
                if self.keep_alive_is_due() {
                    warn!("{problem}");
                    self.register(&topology).await?;
                }
            }
            Listed::No => {
                state.set_registered(false);
                info!("the directory no longer lists this node; registering again");
                self.register(&topology).await?;
            }
        }
        Ok(())
    }

    async fn fetch(&mut self) -> Result<Topology, DirectoryError> {
        let Heartbeat { directory, state, .. } = self.heartbeat;
        let topology = directory.topology().await.inspect_err(|error| state.count_failure(Failed::Topology, error))?;
        if !(topology.mix_nodes.is_empty() && topology.gateways.is_empty()) {
            (self.on_topology)(&topology);
            state.set_topology(&topology, Some(Instant::now()));
            self.save(&topology).await;
        }
        Ok(topology)
    }

    async fn register(&mut self, topology: &Topology) -> Result<(), DirectoryError> {
        let Heartbeat { directory, state, .. } = self.heartbeat;
        let registration = self.heartbeat.registration();
        state.set_maybe_listed();
        let registered = match directory.register_mix(&registration).await {
            // A 0.9.2 validator answers so to the node that holds the host, too: after a kill, say.
            Err(error) if error.is_conflict() && self.listed(topology) != Listed::No => {
                self.replace(&registration).await
            }
            registered => registered,
        };
        registered.inspect_err(|error| state.count_failure(Failed::Register, error))?;
        self.registered_at = Instant::now();
        state.set_registered_now();
        self.registered = Some(registration);
        state.set_registered(true);
        state.set_problem(None);
        info!("registered with the directory");
        Ok(())
    }

    async fn replace(&self, registration: &MixRegistration) -> Result<(), DirectoryError> {
        let directory = &self.heartbeat.directory;
        info!("the directory holds an earlier registration of this node; replacing it");
        directory.unregister(&registration.identity_key).await?;
        directory.register_mix(registration).await
    }

    async fn keep_alive(&mut self) -> Result<(), DirectoryError> {
        let Heartbeat { directory, state, .. } = self.heartbeat;
        match directory.register_mix(&self.heartbeat.registration()).await {
            Ok(()) => {
                self.registered_at = Instant::now();
                state.set_registered_now();
            }
            Err(error) if error.is_conflict() => self.keep_alive = None,
            Err(error) => {
                state.count_failure(Failed::Register, &error);
                return Err(error);
            }
        }
        Ok(())
    }

    fn is_outdated(&self) -> bool {
        self.registered.as_deref() != Some(&*self.heartbeat.registration())
    }

    fn keep_alive_is_due(&self) -> bool {
        self.keep_alive.is_some_and(|interval| self.registered_at.elapsed() >= interval)
    }

    fn listed(&self, topology: &Topology) -> Listed {
        let ours = self.heartbeat.registration();
        let Some(entry) = topology.mix(&ours.identity_key) else { return Listed::No };
        let announced = ours.announced_addresses();
        let listed = entry.announced_addresses();
        if listed.iter().any(|address| announced.contains(address)) { Listed::AsAnnounced } else { Listed::Elsewhere }
    }

    /// How long to wait after this failure, which is logged with it.
    fn wait_after(&mut self, error: &DirectoryError) -> Duration {
        let wait = match error {
            DirectoryError::TooManyRequests { .. } => self.backoff.wait().max(PAUSE_WHEN_LIMITED),
            _ => self.backoff.wait(),
        };
        warn!("{error}; next attempt in {:.1} s", wait.as_secs_f32());
        wait
    }

    /// A topology that cannot be kept is no reason to stop: the directory has it.
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
                    warn!(%error, "cannot keep the topology on disk; a start without the directory would have none");
                }
                self.save_fails = true;
            }
        }
    }
}
