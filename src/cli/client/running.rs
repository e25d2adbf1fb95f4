//! A client that runs within a command: keys, topology, connection, and a place for what it receives.

use std::time::Duration;

use nym_mixnode_client::connection::ConnectError;
use nym_mixnode_client::core::{ClientKeys, Core, MessageId, Settings};
use nym_mixnode_client::daemon::{Account, Command, Daemon, Notice, Rates};
use nym_mixnode_client::local::Incoming;
use nym_mixnode_client::network::Network;
use nym_mixnode_client::profile::{Profile, ProfileConfig, ProfileKeys, ProfileLock};
use nym_mixnode_client::topology::TopologySource;
use nym_mixnode_client::transfer::{Arrived, Receiver, ReceiverBounds, Rejected, is_chunk};
use nym_mixnode_directory::{Client, ClientLimits};
use nym_mixnode_message::address::ClientAddress;
use nym_mixnode_message::content::Content;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tracing::warn;
use url::Url;

use super::super::ca_file::CaFileFlag;
use super::super::{Exit, Failure};

/// Interval of 0.9.2 clients.
const TOPOLOGY_EVERY: Duration = Duration::from_secs(30);
/// Notices that are not read yet.
const NOTICES_MAX: usize = 64;
/// Commands that are not handled yet.
const COMMANDS_MAX: usize = 16;

/// A running client. Dropping it ends its tasks.
pub(super) struct Running {
    pub(super) commands: mpsc::Sender<Command>,
    notices: mpsc::Receiver<Notice>,
    receiver: Receiver,
    address: ClientAddress,
    /// Gets messages that are no files.
    applications: Option<mpsc::Sender<Incoming>>,
    _tasks: JoinSet<()>,
    _lock: ProfileLock,
}

/// What a command waits for.
pub(super) enum Event {
    Arrived(Arrived),
    Acknowledged(MessageId),
    Connected,
}

impl Running {
    /// Starts a client that has been created before.
    pub(super) async fn start(
        profile: &Profile,
        ca_file: &CaFileFlag,
        bounds: ReceiverBounds,
    ) -> Result<Self, Failure> {
        let lock = profile.lock()?;
        let (config, keys) = (profile.config()?, profile.keys()?);
        let receiver = Receiver::open(&profile.received_dir(), bounds)?;
        let address = address(&config, &keys)?;
        let mut source = topology_source(&config, ca_file)?;
        let network = Network::of(&source.active().await?);
        let settings =
            Settings { packet_delay: config.packet_delay, ack_delay: config.ack_delay, ..Settings::default() };
        let account = Account { url: config.gateway_listener.clone(), identity: *address.identity(), key: keys.shared };
        let mut core = Core::new(ClientKeys { address, encryption: keys.encryption, ack: keys.ack }, settings);
        core.set_network(network);
        let rates = Rates { sending: config.sending, cover: config.cover };
        let (commands, commands_end) = mpsc::channel(COMMANDS_MAX);
        let (notices_end, notices) = mpsc::channel(NOTICES_MAX);
        let mut tasks = JoinSet::new();
        tasks.spawn(Daemon { core, account, rates }.run(commands_end, notices_end));
        tasks.spawn(follow_topology(source, commands.clone()));
        Ok(Self { commands, notices, receiver, address, applications: None, _tasks: tasks, _lock: lock })
    }

    /// The next event. Messages that are no file, or damaged, are logged and dropped.
    pub(super) async fn next(&mut self) -> Result<Event, Failure> {
        loop {
            let stopped = || Failure::new(Exit::INTERNAL, "the client has stopped; this is a bug: please report it");
            match self.notices.recv().await.ok_or_else(stopped)? {
                Notice::Received(Content { data, reply_block }) if self.applications.is_some() && !is_chunk(&data) => {
                    self.hand_over(Incoming { data, reply_block });
                }
                Notice::Received(content) => match self.receiver.accept(&content.data) {
                    Ok(Some(arrived)) => return Ok(Event::Arrived(arrived)),
                    Ok(None) => {}
                    Err(error @ Rejected::Write { .. }) => return Err(error.into()),
                    Err(error) => warn!(%error, "Dropped a message"),
                },
                Notice::ReceivedReply(data) => self.hand_over(Incoming { data, reply_block: None }),
                Notice::Acknowledged(id) => return Ok(Event::Acknowledged(id)),
                Notice::Connected => return Ok(Event::Connected),
                Notice::NotConnected(error @ ConnectError::NotAccepted(_)) => return Err(error.into()),
                Notice::NotConnected(error) => warn!("{error}; trying again"),
            }
        }
    }

    /// Hands messages that are no files to an application instead of storing them.
    pub(super) fn hand_over_to(&mut self, applications: mpsc::Sender<Incoming>) {
        self.applications = Some(applications);
    }

    /// The address of the client.
    pub(super) fn address(&self) -> &ClientAddress {
        &self.address
    }

    /// Never waits: the application itself may be waiting for the client.
    fn hand_over(&self, message: Incoming) {
        if self.applications.as_ref().is_some_and(|applications| applications.try_send(message).is_err()) {
            warn!("Dropped a message: too many wait for an application");
        }
    }

    /// Files that have arrived and were not taken.
    pub(super) fn complete(&self) -> Result<Vec<Arrived>, Failure> {
        Ok(self.receiver.complete()?)
    }
}

/// After a failure the client keeps the last topology: packets must not stop because a registry does.
async fn follow_topology(mut source: TopologySource, commands: mpsc::Sender<Command>) {
    loop {
        sleep(TOPOLOGY_EVERY).await;
        match source.active().await {
            Ok(topology) => {
                if commands.send(Command::SetNetwork(Network::of(&topology))).await.is_err() {
                    return;
                }
            }
            Err(error) => warn!(%error, "Cannot fetch the topology; continuing with the last one"),
        }
    }
}

fn topology_source(config: &ProfileConfig, ca_file: &CaFileFlag) -> Result<TopologySource, Failure> {
    let url: Url = config.registry.parse().map_err(|error| {
        Failure::new(Exit::CONFIG, format_args!("validator_rest_url {} is no URL: {error}", config.registry))
    })?;
    let client = Client::trusting(ca_file.path(), &url, &url, ClientLimits::default())?;
    Ok(TopologySource::new(client, config.registry_key.clone()))
}

/// The address of a client.
pub(super) fn address(config: &ProfileConfig, keys: &ProfileKeys) -> Result<ClientAddress, Failure> {
    let gateway = base58_key(&config.gateway_id).ok_or_else(|| {
        Failure::new(Exit::CONFIG, format_args!("gateway_id {} is not base58 of 32 bytes", config.gateway_id))
    })?;
    keys.address(gateway).map_err(|error| Failure::new(Exit::DATA, error))
}

pub(super) fn base58_key(text: &str) -> Option<[u8; 32]> {
    nym_mixnode_api::signing::decode(text)
}

impl From<Rejected> for Failure {
    fn from(error: Rejected) -> Self {
        let exit = if matches!(error, Rejected::Write { .. }) { Exit::IO } else { Exit::DATA };
        Self::new(exit, error)
    }
}
