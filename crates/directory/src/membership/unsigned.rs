//! Registration with a directory that does not support signatures, such as the 0.9.2 validator.

use std::net::SocketAddr;

use nym_mixnode_api::{RegistrationReply, Topology};
use tokio::time::Instant;
use tracing::{error, info, warn};

use super::super::announcement::Announcement;
use super::super::heartbeat::Heartbeat;
use super::super::identity::{self, Conflict};
use super::super::listing_status::ListingStatus;
use super::super::state::Failed;
use super::super::{Directory, DirectoryError};
use super::Membership;

impl<D: Directory, A: Announcement, F: Fn(&Topology)> Membership<'_, D, A, F> {
    pub(super) async fn join_unsigned(&mut self) -> Result<(), DirectoryError> {
        let topology = self.fetch().await?;
        let state = &self.heartbeat.state;
        let topology =
            self.resolve_conflicts(topology).await.inspect_err(|error| state.count_failure(Failed::Register, error))?;
        self.register_unsigned(&topology).await
    }

    /// Resolves conflicts with other nodes before registering; returns the topology without them.
    async fn resolve_conflicts(&mut self, mut topology: Topology) -> Result<Topology, DirectoryError> {
        let settings = &self.heartbeat.settings;
        let ours = self.heartbeat.registration();
        // Each of our addresses may have a conflicting entry.
        for _ in 0..=ours.addresses().len() {
            match identity::check(&topology, &*ours, &settings.listen, settings.force)? {
                Conflict::None => break,
                // Boxed because it is rare, to keep the node's future small.
                Conflict::StaleEntry { address, holder } => topology = Box::pin(self.displace(address, holder)).await?,
            }
        }
        Ok(topology)
    }

    /// Removes a stale entry at our address; returns the topology without it.
    ///
    /// A directory accepts removals only from the host of the entry, which we are if the address is ours. If it
    /// refuses, the node may have moved its entry in the meantime.
    async fn displace(&mut self, address: SocketAddr, holder: String) -> Result<Topology, DirectoryError> {
        warn!(%holder, "removing the stale registration of another node at our address");
        let removed = self.heartbeat.directory.unregister(&holder, None).await;
        let topology = self.fetch().await?;
        let is_there = topology.mix(&holder).is_some_and(|mix| mix.announced_addresses().contains(&address));
        match removed {
            Err(error) if error.is_transient() => Err(error),
            _ if is_there => Err(DirectoryError::AddressTaken { address, holder }),
            _ => Ok(topology),
        }
    }

    /// Reports an entry with none of our addresses. Replaces it at the interval of keep-alives only, so that two nodes
    /// with one identity do not replace each other constantly.
    pub(super) async fn contest_address(&mut self, address: &str, topology: &Topology) -> Result<(), DirectoryError> {
        let state = &self.heartbeat.state;
        state.set_registered(false);
        let problem = format!("the directory lists this identity at {address}; check that no second node uses it");
        let is_due = self.keep_alive_is_due();
        if is_due || state.last_error().as_ref() != Some(&problem) {
            error!("{problem}");
        }
        state.set_problem(Some(problem));
        if is_due { self.register_unsigned(topology).await } else { Ok(()) }
    }

    pub(super) async fn register_unsigned(&mut self, topology: &Topology) -> Result<(), DirectoryError> {
        let Heartbeat { directory, state, .. } = self.heartbeat;
        let registration = self.heartbeat.registration();
        state.set_maybe_listed();
        let registered = match registration.register(directory, None).await {
            // A 0.9.2 validator also responds this way to the holder itself, for example after a kill.
            Err(error) if error.is_conflict() && self.listing_status(topology) != ListingStatus::Absent => {
                self.replace(&registration).await
            }
            registered => registered,
        };
        let reply = registered.inspect_err(|error| state.count_failure(Failed::Register, error))?;
        self.set_registered(registration, &reply.pending);
        Ok(())
    }

    async fn replace(&self, registration: &A) -> Result<RegistrationReply, DirectoryError> {
        let directory = &self.heartbeat.directory;
        info!("replacing an earlier registration of this node");
        directory.unregister(registration.identity(), None).await?;
        registration.register(directory, None).await
    }

    pub(super) async fn keep_alive_unsigned(&mut self) -> Result<(), DirectoryError> {
        let Heartbeat { directory, state, .. } = self.heartbeat;
        match self.heartbeat.registration().register(directory, None).await {
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
}
