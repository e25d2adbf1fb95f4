//! The side of a command.

use std::io;
use std::path::Path;

use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use super::{Ask, Tell, read_frame, write_frame};
use crate::core::{MessageId, SendError};
use crate::daemon::Command;

/// Commands that wait for their turn, and those that wait for an answer.
const COMMANDS_MAX: usize = 16;
/// Events that are not read yet.
const EVENTS_MAX: usize = 64;

type Queued = oneshot::Sender<Result<MessageId, SendError>>;

/// A connection to the running client. Dropping it ends the connection.
pub struct Attached {
    commands: mpsc::Sender<Command>,
    asks: mpsc::Sender<(Ask, Option<Queued>)>,
    events: mpsc::Receiver<Tell>,
    _tasks: JoinSet<()>,
}

impl Attached {
    /// Connects to the socket of a running client.
    ///
    /// # Errors
    /// When nothing serves the socket.
    pub async fn connect(path: &Path) -> io::Result<Self> {
        let (read, write) = UnixStream::connect(path).await?.into_split();
        let (commands, commands_end) = mpsc::channel(COMMANDS_MAX);
        let (asks, asks_end) = mpsc::channel(COMMANDS_MAX);
        let (waiting, waiting_end) = mpsc::channel(COMMANDS_MAX);
        let (events, events_end) = mpsc::channel(EVENTS_MAX);
        let mut tasks = JoinSet::new();
        tasks.spawn(translate(commands_end, asks.clone()));
        tasks.spawn(write_asks(write, asks_end, waiting));
        tasks.spawn(read_tells(read, waiting_end, events));
        Ok(Self { commands, asks, events: events_end, _tasks: tasks })
    }

    /// Takes messages to send. Other commands are for the running client alone, and are ignored.
    #[must_use]
    pub const fn commands(&self) -> &mpsc::Sender<Command> {
        &self.commands
    }

    /// Follows files that arrive, and lets the running client return receipts for them, or not.
    pub async fn receive(&self, receipts: bool) {
        // If the connection has ended, there is no next event.
        self.asks.send((Ask::Receive { receipts }, None)).await.ok();
    }

    /// The next event; `None` when the running client has ended.
    pub async fn next(&mut self) -> Option<Tell> {
        self.events.recv().await
    }
}

async fn translate(mut commands: mpsc::Receiver<Command>, asks: mpsc::Sender<(Ask, Option<Queued>)>) {
    while let Some(command) = commands.recv().await {
        if let Command::Send { recipient, data, with_reply_block, queued } = command
            && asks.send((Ask::Send { recipient, with_reply_block, data }, Some(queued))).await.is_err()
        {
            return;
        }
    }
}

async fn write_asks(
    mut write: OwnedWriteHalf,
    mut asks: mpsc::Receiver<(Ask, Option<Queued>)>,
    waiting: mpsc::Sender<Queued>,
) {
    while let Some((ask, queued)) = asks.recv().await {
        // Before the answer can come.
        if let Some(queued) = queued
            && waiting.send(queued).await.is_err()
        {
            return;
        }
        if write_frame(&mut write, ask.encode()).await.is_err() {
            return;
        }
    }
}

async fn read_tells(mut read: OwnedReadHalf, mut waiting: mpsc::Receiver<Queued>, events: mpsc::Sender<Tell>) {
    while let Ok(frame) = read_frame(&mut read).await
        && let Some(tell) = Tell::decode(frame)
    {
        let answer = match tell {
            Tell::Queued(id) => Ok(id),
            Tell::Refused(reason) => Err(SendError::Refused(reason)),
            event => {
                if events.send(event).await.is_err() {
                    return;
                }
                continue;
            }
        };
        let Some(queued) = waiting.recv().await else { return };
        // Who asked may have gone.
        queued.send(answer).ok();
    }
}
