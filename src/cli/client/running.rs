//! A client that runs within a command: keys, topology, connection, and a place for what it receives.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use nym_mixnode_client::connection::ConnectError;
use nym_mixnode_client::control::Subscribers;
use nym_mixnode_client::core::{ClientKeys, Core, MessageId, Settings};
use nym_mixnode_client::daemon::{Account, Command, Daemon, Notice, Rates, Storage};
use nym_mixnode_client::journal::Journal;
use nym_mixnode_client::network::Network;
use nym_mixnode_client::profile::{Profile, ProfileConfig, ProfileKeys, ProfileLock};
use nym_mixnode_client::spool::Spool;
use nym_mixnode_client::topology::TopologySource;
use nym_mixnode_client::transfer::{Arrived, Receipt, Receiver, ReceiverBounds, Rejected, is_about_file};
use nym_mixnode_directory::{Client, ClientLimits};
use nym_mixnode_message::address::ClientAddress;
use nym_mixnode_message::application::Response;
use nym_mixnode_message::content::Content;
use nym_mixnode_message::reply::ReplyBlock;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
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
/// Longest wait for a connection over which receipts leave.
const FLUSH_MAX: Duration = Duration::from_secs(30);
/// Longest wait for the confirmation of what has arrived, which otherwise arrives again.
const CONFIRM_MAX: Duration = Duration::from_secs(2);

/// A running client. Dropping it ends its tasks.
pub(super) struct Running {
    pub(super) commands: mpsc::Sender<Command>,
    notices: mpsc::Receiver<Notice>,
    /// Notices with messages that are stored or not needed.
    stored: Arc<AtomicU64>,
    /// Where the fragments of incomplete messages are.
    journal: PathBuf,
    receiver: Receiver,
    address: ClientAddress,
    /// Whether senders that ask for receipts get them.
    receipts: bool,
    was_connected: bool,
    /// A receipt may wait for its turn.
    has_receipts: bool,
    /// Gets messages that are no files.
    applications: Option<Arc<Spool>>,
    /// Commands that use this client.
    subscribers: Subscribers,
    _tasks: JoinSet<()>,
    _lock: ProfileLock,
}

/// What a command waits for.
pub(super) enum Event {
    /// A file is complete.
    Arrived,
    Acknowledged(MessageId),
    /// A recipient has a file of this client.
    Confirmed(Receipt),
    Connected,
}

impl Running {
    /// Starts a client that has been created before, under its lock.
    pub(super) async fn start(
        lock: ProfileLock,
        profile: &Profile,
        ca_file: &CaFileFlag,
        bounds: ReceiverBounds,
    ) -> Result<Self, Failure> {
        let (config, keys) = (profile.config()?, profile.keys()?);
        let receiver = Receiver::open(&profile.received_dir(), bounds)?;
        let address = address(&config, &keys)?;
        let mut source = topology_source(&config, ca_file)?;
        let network = Network::of(&source.active().await?);
        let settings =
            Settings { packet_delay: config.packet_delay, ack_delay: config.ack_delay, ..Settings::default() };
        let mut access = config.access(*address.gateway());
        access.follow(&network)?;
        let account = Account { access, identity: *address.identity(), key: keys.shared };
        let mut core = Core::new(ClientKeys { address, encryption: keys.encryption, ack: keys.ack }, settings);
        core.set_network(network);
        let path = profile.received_dir().join("fragments");
        let (journal, fragments) = Journal::open(&path).map_err(|error| not_stored(&path, &error))?;
        let complete = core.restore(&fragments, Instant::now());
        let stored = Arc::<AtomicU64>::default();
        let storage = Storage { journal, stored: Arc::clone(&stored) };
        let rates = Rates { sending: config.sending, cover: config.cover };
        let (commands, commands_end) = mpsc::channel(COMMANDS_MAX);
        let (notices_end, notices) = mpsc::channel(NOTICES_MAX);
        let mut tasks = JoinSet::new();
        tasks.spawn(Daemon::new(core, account, rates).storing(storage).run(commands_end, notices_end));
        tasks.spawn(follow_topology(source, commands.clone()));
        let mut running = Self {
            commands,
            notices,
            stored,
            journal: path,
            receiver,
            address,
            receipts: false,
            was_connected: false,
            has_receipts: false,
            applications: None,
            subscribers: Subscribers::default(),
            _tasks: tasks,
            _lock: lock,
        };
        for content in complete {
            running.accept(content)?;
        }
        Ok(running)
    }

    /// The next event. Messages that are no file, or damaged, are logged and dropped.
    pub(super) async fn next(&mut self) -> Result<Event, Failure> {
        loop {
            let stopped = || Failure::new(Exit::INTERNAL, "the client has stopped; this is a bug: please report it");
            match self.notices.recv().await.ok_or_else(stopped)? {
                Notice::Received(Content { data, reply_block })
                    if self.applications.is_some() && !is_about_file(&data) =>
                {
                    self.hand_over(data, reply_block)?;
                    self.count_stored();
                }
                Notice::Received(content) => {
                    let arrived = self.accept(content)?;
                    self.count_stored();
                    if arrived.is_some() {
                        return Ok(Event::Arrived);
                    }
                }
                Notice::ReceivedReply(data) => match Receipt::decode(&data) {
                    Some(receipt) if self.applications.is_none() || !self.subscribers.is_empty() => {
                        self.count_stored();
                        return Ok(Event::Confirmed(receipt));
                    }
                    _ => {
                        self.hand_over(data, None)?;
                        self.count_stored();
                    }
                },
                Notice::NotStored(error) => return Err(not_stored(&self.journal, &error)),
                Notice::Acknowledged(id) => return Ok(Event::Acknowledged(id)),
                Notice::Connected => {
                    self.was_connected = true;
                    return Ok(Event::Connected);
                }
                Notice::NotConnected(error @ ConnectError::NotAccepted(_)) => return Err(error.into()),
                // The topology was read a moment ago. Later, the gateway may renew its key before it is read again.
                Notice::NotConnected(error @ ConnectError::OtherKey(_)) if !self.was_connected => {
                    return Err(error.into());
                }
                Notice::NotConnected(error) => warn!("{error}; trying again"),
            }
        }
    }

    /// Returns receipts to senders that ask for them.
    pub(super) fn return_receipts(&mut self) {
        self.receipts = true;
    }

    /// Stores what a message has of a file, and returns a receipt for a file that is whole.
    fn accept(&mut self, content: Content) -> Result<Option<Arrived>, Failure> {
        let Content { data, reply_block } = content;
        let arrived = match self.receiver.accept(&data) {
            Ok(arrived) => arrived,
            Err(error @ Rejected::Write { .. }) => return Err(error.into()),
            Err(error) => {
                warn!(%error, "Dropped a message");
                return Ok(None);
            }
        };
        if let Some(block) = reply_block.filter(|_| self.receipts || self.subscribers.return_receipts())
            && let Some(receipt) = self.receiver.take_receipt(&data)?
        {
            self.confirm(block, receipt);
        }
        Ok(arrived)
    }

    /// Never waits: the client itself may be waiting for a reader of its notices. A sender without receipt asks again.
    fn confirm(&mut self, block: ReplyBlock, receipt: Receipt) {
        let (queued, _) = oneshot::channel();
        let reply = Command::Reply { block: Box::new(block), data: receipt.encode(), queued };
        if self.commands.try_send(reply).is_ok() {
            self.has_receipts = true;
        } else {
            warn!("Dropped a receipt: the client is busy");
        }
    }

    /// Lets the client confirm the message to the gateway.
    fn count_stored(&self) {
        self.stored.fetch_add(1, Ordering::Release);
    }

    /// Waits, before an end, until the receipts are with the gateway, and until it knows what has arrived. What arrives
    /// meanwhile is stored.
    pub(super) async fn finish(&mut self) -> Result<(), Failure> {
        let limit = if self.has_receipts { FLUSH_MAX } else { CONFIRM_MAX };
        let (flushed, mut done) = oneshot::channel();
        let commands = self.commands.clone();
        let wait = async {
            let mut asking = std::pin::pin!(commands.send(Command::Flush { flushed }));
            let mut has_asked = false;
            loop {
                tokio::select! {
                    _ = &mut asking, if !has_asked => has_asked = true,
                    _ = &mut done => return Ok(()),
                    event = self.next() => { event?; }
                }
            }
        };
        timeout(limit, wait).await.unwrap_or_else(|_| {
            if self.has_receipts {
                warn!("The gateway has not taken the receipts; senders that still wait will ask again");
            }
            Ok(())
        })
    }

    /// Keeps messages that are no files for an application, instead of making files of them.
    pub(super) fn hand_over_to(&mut self, applications: Arc<Spool>) {
        self.applications = Some(applications);
    }

    /// Commands that use this client: those that receive files decide about receipts.
    pub(super) const fn subscribers(&self) -> &Subscribers {
        &self.subscribers
    }

    /// The address of the client.
    pub(super) fn address(&self) -> &ClientAddress {
        &self.address
    }

    /// Keeps a message for an application.
    fn hand_over(&self, data: Vec<u8>, reply_block: Option<ReplyBlock>) -> Result<(), Failure> {
        let Some(applications) = &self.applications else { return Ok(()) };
        let message = Response::Received { data, reply_block };
        if !applications.add(&message).map_err(|error| not_stored(applications.dir(), &error))? {
            warn!("Dropped a message: too many wait for an application");
        }
        Ok(())
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

pub(super) fn not_stored(path: &Path, error: &io::Error) -> Failure {
    Failure::new(Exit::IO, format_args!("cannot write to {}: {error}", path.display()))
}

pub(super) fn topology_source(config: &ProfileConfig, ca_file: &CaFileFlag) -> Result<TopologySource, Failure> {
    Ok(TopologySource::new(directory_client(config, ca_file)?, config.registry_key.clone()))
}

/// A client of the registry.
pub(super) fn directory_client(config: &ProfileConfig, ca_file: &CaFileFlag) -> Result<Client, Failure> {
    let url: Url = config.registry.parse().map_err(|error| {
        Failure::new(Exit::CONFIG, format_args!("validator_rest_url {} is no URL: {error}", config.registry))
    })?;
    Ok(Client::trusting(ca_file.path(), &url, &url, ClientLimits::default())?)
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
