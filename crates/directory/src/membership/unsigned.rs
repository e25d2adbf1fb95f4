//! Being listed by a directory that knows no signatures, such as the 0.9.2 validator.

use std::net::SocketAddr;

use nym_mixnode_api::{MixRegistration, RegistrationReply, Topology};
use tokio::time::Instant;
use tracing::{error, info, warn};

use super::super::heartbeat::Heartbeat;
use super::super::identity::{self, InTheWay};
use super::super::standing::{self, Standing};
use super::super::state::Failed;
use super::super::{Directory, DirectoryError};
use super::Membership;

impl<D: Directory, F: Fn(&Topology)> Membership<'_, D, F> {
    pub(super) async fn join_unsigned(&mut self) -> Result<(), DirectoryError> {
        let topology = self.fetch().await?;
        let state = &self.heartbeat.state;
        let topology =
            self.make_room(topology).await.inspect_err(|error| state.count_failure(Failed::Register, error))?;
        self.register_unsigned(&topology).await
    }

    /// Makes sure that nobody suffers from our registration; the topology in which that is so.
    async fn make_room(&mut self, mut topology: Topology) -> Result<Topology, DirectoryError> {
        let settings = &self.heartbeat.settings;
        let ours = self.heartbeat.registration();
        // Each of our addresses may have been another node's.
        for _ in 0..=ours.announced_addresses().len() {
            match identity::check(&topology, &ours, &settings.listen, settings.force)? {
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

    pub(super) async fn refresh_unsigned(&mut self, topology: &Topology) -> Result<(), DirectoryError> {
        let state = &self.heartbeat.state;
        if self.is_outdated() {
            info!("registering what has changed");
            return self.register_unsigned(topology).await;
        }
        match self.standing_unsigned(topology) {
            Standing::AsAnnounced => {
                self.is_pending = false;
                state.set_registered(true);
                state.set_problem(None);
                if self.keep_alive_is_due() {
                    self.keep_alive_unsigned().await?;
                }
            }
            Standing::Differs { field: "mixHost", address } | Standing::Newer { address, .. } => {
                state.set_registered(false);
                let problem = format!("the directory lists our identity at {address}; does a second node run with it?");
                // At the pace of keep-alives, so that two nodes with one identity do not fight over it all day.
                if self.keep_alive_is_due() {
                    error!("{problem}");
                    state.set_problem(Some(problem));
                    return self.register_unsigned(topology).await;
                }
                if state.last_error().as_ref() != Some(&problem) {
                    error!("{problem}");
                }
                state.set_problem(Some(problem));
            }
            Standing::Differs { field, address } => {
                let problem = format!("the directory lists this node at {address} with another {field}");
                warn!("{problem}; registering again");
                state.set_registered(false);
                state.set_problem(Some(problem));
                self.register_unsigned(topology).await?;
            }
            Standing::Absent => {
                state.set_registered(false);
                if !self.is_pending {
                    info!("the directory no longer lists this node; registering again");
                }
                self.register_unsigned(topology).await?;
            }
        }
        Ok(())
    }

    async fn register_unsigned(&mut self, topology: &Topology) -> Result<(), DirectoryError> {
        let Heartbeat { directory, state, .. } = self.heartbeat;
        let registration = self.heartbeat.registration();
        state.set_maybe_listed();
        let registered = match directory.register_mix(&registration).await {
            // A 0.9.2 validator answers so to the node that holds the host, too: after a kill, say.
            Err(error) if error.is_conflict() && self.standing_unsigned(topology) != Standing::Absent => {
                self.replace(&registration).await
            }
            registered => registered,
        };
        let reply = registered.inspect_err(|error| state.count_failure(Failed::Register, error))?;
        self.set_registered(registration, &reply.pending);
        Ok(())
    }

    async fn replace(&self, registration: &MixRegistration) -> Result<RegistrationReply, DirectoryError> {
        let directory = &self.heartbeat.directory;
        info!("the directory holds an earlier registration of this node; replacing it");
        directory.unregister(&registration.identity_key).await?;
        directory.register_mix(registration).await
    }

    async fn keep_alive_unsigned(&mut self) -> Result<(), DirectoryError> {
        let Heartbeat { directory, state, .. } = self.heartbeat;
        match directory.register_mix(&self.heartbeat.registration()).await {
            Ok(_) => {
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

    fn standing_unsigned(&self, topology: &Topology) -> Standing {
        standing::unsigned(topology, &self.heartbeat.registration())
    }
}
