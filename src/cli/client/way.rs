//! How a command reaches the network: through a client of its own, or through `client run` if that has the client.

use std::time::Duration;

use nym_mixnode_client::control::{Attached, Tell};
use nym_mixnode_client::daemon::Command;
use nym_mixnode_client::profile::{Profile, ProfileError};
use nym_mixnode_client::transfer::{Arrived, Receiver, ReceiverBounds};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::super::ca_file::CaFileFlag;
use super::super::{Exit, Failure};
use super::running::{Event, Running};

/// Interval at which a command looks for files that a running client has received, beside being told.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A way to the network.
pub(super) enum Way {
    Own(Box<Running>),
    Through(Through),
}

/// A running client of another process, which keeps what it receives in the same directory.
pub(super) struct Through {
    attached: Attached,
    receiver: Receiver,
}

impl Way {
    /// Starts the client, or finds the running one.
    pub(super) async fn open(profile: &Profile, ca_file: &CaFileFlag, bounds: ReceiverBounds) -> Result<Self, Failure> {
        match profile.lock() {
            Ok(lock) => Ok(Self::Own(Box::new(Running::start(lock, profile, ca_file, bounds).await?))),
            Err(error @ ProfileError::InUse(_)) => match Attached::connect(&profile.control_socket()).await {
                Ok(attached) => {
                    let receiver = Receiver::open(&profile.received_dir(), bounds)?;
                    Ok(Self::Through(Through { attached, receiver }))
                }
                // The other command is not `client run`.
                Err(_) => Err(error.into()),
            },
            Err(error) => Err(error.into()),
        }
    }

    /// Takes messages to send.
    pub(super) fn commands(&self) -> &mpsc::Sender<Command> {
        match self {
            Self::Own(running) => &running.commands,
            Self::Through(through) => through.attached.commands(),
        }
    }

    /// The next event.
    pub(super) async fn next(&mut self) -> Result<Event, Failure> {
        match self {
            Self::Own(running) => running.next().await,
            Self::Through(through) => through.next().await,
        }
    }

    /// Before an end: lets the client send and confirm what it has to.
    pub(super) async fn finish(&mut self) -> Result<(), Failure> {
        match self {
            Self::Own(running) => running.finish().await,
            // It goes on.
            Self::Through(_) => Ok(()),
        }
    }

    /// Follows files that arrive; with `receipts` their senders get receipts.
    pub(super) async fn receive(&mut self, receipts: bool) {
        match self {
            Self::Own(running) if receipts => running.return_receipts(),
            Self::Own(_) => {}
            Self::Through(through) => through.attached.receive(receipts).await,
        }
    }

    /// Files that have arrived and were not taken.
    pub(super) fn complete(&self) -> Result<Vec<Arrived>, Failure> {
        match self {
            Self::Own(running) => running.complete(),
            Self::Through(through) => Ok(through.receiver.complete()?),
        }
    }

    /// Waits until there may be new files.
    pub(super) async fn wait_for_files(&mut self) -> Result<(), Failure> {
        loop {
            match self {
                Self::Own(running) => {
                    if let Event::Arrived = running.next().await? {
                        return Ok(());
                    }
                }
                Self::Through(through) => {
                    return match timeout(LOOK_EVERY, through.next()).await {
                        Ok(event) => event.map(drop),
                        Err(_) => Ok(()),
                    };
                }
            }
        }
    }
}

impl Through {
    async fn next(&mut self) -> Result<Event, Failure> {
        match self.attached.next().await {
            Some(Tell::Acknowledged(id)) => Ok(Event::Acknowledged(id)),
            Some(Tell::Confirmed(receipt)) => Ok(Event::Confirmed(receipt)),
            Some(Tell::Arrived | Tell::Queued(_) | Tell::Refused(_)) => Ok(Event::Arrived),
            None => Err(Failure::new(Exit::TRY_AGAIN, "the running client has ended: run the same command again")),
        }
    }
}
