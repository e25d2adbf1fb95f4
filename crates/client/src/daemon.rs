//! A running client: sends at random times, whether it has something to send or not.
//!
//! Two independent processes decide when packets leave: one sends the next real packet, or cover when nothing waits;
//! the other one sends cover only. An observer sees the same times and sizes whatever the client does.

mod confirming;

use std::io;
use std::time::{Duration, Instant};

use nym_mixnode_base::backoff::Backoff;
use nym_mixnode_message::address::ClientAddress;
use nym_mixnode_message::content::Content;
use nym_mixnode_message::gateway::{ForwardRequest, SharedKey};
use nym_mixnode_message::reply::ReplyBlock;
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand_distr::{Distribution, Exp1};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{MissedTickBehavior, interval, sleep_until};
use tracing::{debug, info, warn};

use crate::connection::{ConnectError, Connection, FromGateway, authenticate};
use crate::core::{Core, Event, MessageId, SendError};
use crate::endpoint::Access;
use crate::network::Network;
pub use confirming::Storage;
use confirming::{Confirming, TICK};

/// After a pause that is longer, such as a suspended machine, what was missed is not sent at once.
const LATE_MAX: Duration = Duration::from_secs(1);

/// How often packets leave.
#[derive(Debug, Clone, Copy)]
pub struct Rates {
    /// Mean time between packets of the first process.
    pub sending: Duration,
    /// Mean time between cover packets of the second process.
    pub cover: Duration,
}

impl Default for Rates {
    fn default() -> Self {
        Self { sending: Duration::from_millis(20), cover: Duration::from_millis(200) }
    }
}

/// What an application asks of a running client.
pub enum Command {
    Send {
        recipient: ClientAddress,
        data: Vec<u8>,
        with_reply_block: bool,
        /// Gets the number of the message, which [`Notice::Acknowledged`] repeats.
        queued: oneshot::Sender<Result<MessageId, SendError>>,
    },
    Reply {
        block: Box<ReplyBlock>,
        data: Vec<u8>,
        queued: oneshot::Sender<Result<(), SendError>>,
    },
    /// Waits until all queued replies are handed to the gateway, and what has arrived is confirmed to it.
    Flush {
        flushed: oneshot::Sender<()>,
    },
    SetNetwork(Network),
}

/// What a client reports to its application.
#[derive(Debug)]
pub enum Notice {
    Received(Content),
    ReceivedReply(Vec<u8>),
    /// All of a message is at the recipient's gateway.
    Acknowledged(MessageId),
    /// The connection to the gateway is there.
    Connected,
    /// The gateway cannot be reached, or refuses. The client tries again.
    NotConnected(ConnectError),
    /// What has arrived cannot be written, and is not confirmed to the gateway. The client tries again.
    NotStored(io::Error),
}

/// Where and as whom a client connects.
pub struct Account {
    pub access: Access,
    pub identity: [u8; 32],
    pub key: SharedKey,
}

/// A client that is not running yet.
pub struct Daemon {
    core: Core,
    account: Account,
    rates: Rates,
    /// Seeds the times of packets, and nothing else: the times do not even depend on numbers that packets take.
    times: StdRng,
    /// Those who wait for the last reply and for the confirmation of so many messages.
    flushes: Vec<(u64, oneshot::Sender<()>)>,
    confirming: Confirming,
}

/// The next time of a Poisson process.
struct Process {
    mean: Duration,
    next: Instant,
    times: StdRng,
}

impl Process {
    fn new(mean: Duration, now: Instant, times: StdRng) -> Self {
        let mut process = Self { mean, next: now, times };
        process.advance(now);
        process
    }

    /// Counts from the planned time, so that work between the packets does not slow the process down.
    fn advance(&mut self, now: Instant) {
        let from = if now.saturating_duration_since(self.next) > LATE_MAX { now } else { self.next };
        self.next = from + self.mean.mul_f64(Exp1.sample(&mut self.times));
    }
}

impl Daemon {
    #[must_use]
    pub fn new(core: Core, account: Account, rates: Rates) -> Self {
        let times = StdRng::from_rng(&mut rand::rng());
        Self { core, account, rates, times, flushes: Vec::new(), confirming: Confirming::default() }
    }

    /// Confirms to the gateway only what is stored. The receiver of notices counts each [`Notice::Received`] and
    /// [`Notice::ReceivedReply`] that it has stored, or that it needs no longer.
    #[must_use]
    pub fn storing(self, storage: Storage) -> Self {
        Self { confirming: Confirming::new(storage), ..self }
    }

    /// Runs until the sender of commands is dropped. Connects again, with pauses, when the connection ends.
    pub async fn run(mut self, mut commands: mpsc::Receiver<Command>, notices: mpsc::Sender<Notice>) {
        let mut backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(60));
        loop {
            let Account { access, identity, key } = &self.account;
            match authenticate(access.endpoint(), identity, key.clone()).await {
                Ok(connection) => {
                    info!("Connected to the gateway");
                    backoff.reset();
                    if notices.send(Notice::Connected).await.is_err() {
                        return;
                    }
                    if self.serve(connection, &mut commands, &notices).await.is_none() {
                        return;
                    }
                    self.confirming.disconnected();
                }
                Err(error) => {
                    if notices.send(Notice::NotConnected(error)).await.is_err() {
                        return;
                    }
                }
            }
            let until = tokio::time::Instant::now() + backoff.wait();
            loop {
                tokio::select! {
                    () = sleep_until(until) => break,
                    command = commands.recv() => match command {
                        Some(command) => self.command(command),
                        None => return,
                    },
                }
            }
        }
    }

    /// `None` when the client stops, `Some` when the connection has ended.
    async fn serve(
        &mut self,
        mut connection: Connection,
        commands: &mut mpsc::Receiver<Command>,
        notices: &mpsc::Sender<Notice>,
    ) -> Option<()> {
        let now = clock_now();
        let mut sending = Process::new(self.rates.sending, now, StdRng::from_rng(&mut self.times));
        let mut cover = Process::new(self.rates.cover, now, StdRng::from_rng(&mut self.times));
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            let deadline = self.core.next_deadline();
            let packet = tokio::select! {
                () = sleep_until(sending.next.into()) => {
                    let now = clock_now();
                    sending.advance(now);
                    self.core.real_packet(now, &mut rand::rng()).or_else(|| self.core.cover_packet(&mut rand::rng()))
                }
                () = sleep_until(cover.next.into()) => {
                    cover.advance(clock_now());
                    self.core.cover_packet(&mut rand::rng())
                }
                () = until(deadline) => {
                    self.core.expire(clock_now());
                    None
                }
                pushed = connection.next() => match pushed {
                    Ok(FromGateway::Message(message)) => {
                        self.received(&message, notices).await?;
                        None
                    }
                    Ok(FromGateway::Ping(content)) => {
                        self.confirming.pinged(content);
                        if let Err(error) = connection.keep_waiting().await {
                            ended(&error);
                            return Some(());
                        }
                        None
                    }
                    Err(error) => {
                        ended(&error);
                        return Some(());
                    }
                },
                _ = ticks.tick() => {
                    if let Err(error) = self.confirm(&mut connection, notices).await? {
                        ended(&error);
                        return Some(());
                    }
                    None
                }
                command = commands.recv() => {
                    self.command(command?);
                    None
                }
            };
            if let Err(error) = send(&mut connection, packet).await {
                ended(&error);
                return Some(());
            }
            self.report_flushed();
        }
    }

    fn command(&mut self, command: Command) {
        match command {
            Command::Send { recipient, data, with_reply_block, queued } => {
                let result = self.core.send(recipient, data, with_reply_block, &mut rand::rng());
                // The application may have gone.
                queued.send(result).ok();
            }
            Command::Reply { block, data, queued } => {
                queued.send(self.core.reply(*block, data)).ok();
            }
            Command::Flush { flushed } => self.flushes.push((self.confirming.position(), flushed)),
            Command::SetNetwork(network) => {
                if let Err(error) = self.account.access.follow(&network) {
                    warn!("{error}");
                }
                self.core.set_network(network);
            }
        }
    }

    fn report_flushed(&mut self) {
        if !self.flushes.is_empty() && !self.core.has_replies() {
            for (_, flushed) in self.flushes.extract_if(.., |(position, _)| self.confirming.is_confirmed(*position)) {
                // Who asked may have gone.
                flushed.send(()).ok();
            }
        }
    }

    /// Writes what has arrived, and answers the gateway. `None` when the receiver of the notices is dropped.
    async fn confirm(
        &mut self,
        connection: &mut Connection,
        notices: &mpsc::Sender<Notice>,
    ) -> Option<Result<(), ConnectError>> {
        match self.confirming.tick(&self.core).await {
            Ok(None) => Some(Ok(())),
            Ok(Some(content)) => Some(connection.confirm(content).await),
            Err(error) => notices.send(Notice::NotStored(error)).await.ok().map(Ok),
        }
    }

    /// `None` when the receiver of the notices is dropped.
    async fn received(&mut self, pushed: &[u8], notices: &mpsc::Sender<Notice>) -> Option<()> {
        self.confirming.received();
        let notice = match self.core.received(pushed, clock_now()) {
            Event::Received(content) => Notice::Received(content),
            Event::ReceivedReply(data) => Notice::ReceivedReply(data),
            Event::Acknowledged(id) => return notices.send(Notice::Acknowledged(id)).await.ok(),
            Event::Part(fragment) => {
                self.confirming.keep(fragment);
                return Some(());
            }
            Event::Nothing => return Some(()),
        };
        self.confirming.handed_over();
        notices.send(notice).await.ok()
    }
}

async fn send(connection: &mut Connection, packet: Option<ForwardRequest>) -> Result<(), ConnectError> {
    match packet {
        Some(packet) => connection.send(&packet).await,
        None => Ok(()),
    }
}

/// The time of tokio's clock, which tests can pause.
fn clock_now() -> Instant {
    tokio::time::Instant::now().into_std()
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}

fn ended(error: &ConnectError) {
    debug!(%error, "The connection to the gateway has ended");
}

#[cfg(test)]
mod tests;
