//! The side of the running client.

use std::collections::HashSet;
use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Duration, sleep};
use tracing::debug;

use super::{Ask, Tell, read_frame, write_frame};
use crate::daemon::Command;

/// Commands at a time.
const COMMANDS_MAX: usize = 16;
/// Events that a command has not read yet. One that is later is disconnected.
const EVENTS_MAX: usize = 1024;
/// Pause after an error that affects all connections, such as too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Commands that follow the events of the running client.
#[derive(Clone)]
pub struct Subscribers {
    events: broadcast::Sender<Tell>,
    /// Commands that receive files and return receipts.
    confirming: Arc<AtomicUsize>,
}

impl Default for Subscribers {
    fn default() -> Self {
        Self { events: broadcast::Sender::new(EVENTS_MAX), confirming: Arc::default() }
    }
}

impl Subscribers {
    /// Reports an event to all commands.
    pub fn tell(&self, event: Tell) {
        // Fails only when no command is connected.
        self.events.send(event).ok();
    }

    /// Whether a command is connected that may wait for a receipt.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.events.receiver_count() == 0
    }

    /// Whether a command receives files and returns receipts for them.
    #[must_use]
    pub fn return_receipts(&self) -> bool {
        self.confirming.load(Ordering::Relaxed) > 0
    }
}

/// Counts a command while it is connected.
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(count))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A bound socket. Dropping it removes the socket.
pub struct ControlServer {
    listener: UnixListener,
    path: PathBuf,
}

impl Drop for ControlServer {
    fn drop(&mut self) {
        // The next start removes it otherwise.
        fs::remove_file(&self.path).ok();
    }
}

impl ControlServer {
    /// Binds the socket, in place of one that a killed process has left. The caller has the lock of the client.
    ///
    /// # Errors
    /// When it cannot be bound, such as for a path of more than 107 bytes.
    pub fn bind(path: &Path) -> io::Result<Self> {
        match fs::remove_file(path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let server = Self { listener: UnixListener::bind(path)?, path: path.to_owned() };
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
        Ok(server)
    }

    /// Serves commands until it is dropped.
    pub async fn run(self, commands: mpsc::Sender<Command>, subscribers: Subscribers) {
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                Some(_) = connections.join_next(), if !connections.is_empty() => continue,
                accepted = self.listener.accept() => accepted,
            };
            match accepted {
                // More are disconnected.
                Ok(_) if connections.len() >= COMMANDS_MAX => {}
                Ok((stream, _)) => {
                    let served = serve(stream, commands.clone(), subscribers.clone());
                    connections.spawn(async move {
                        served.await.unwrap_or_else(|error| debug!(%error, "A command has gone"));
                    });
                }
                Err(error) => {
                    debug!(%error, "Cannot accept a connection of a command");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

async fn serve(stream: UnixStream, commands: mpsc::Sender<Command>, subscribers: Subscribers) -> io::Result<()> {
    let mut events = subscribers.events.subscribe();
    let (read, mut write) = stream.into_split();
    let (sender, mut asks) = mpsc::channel(1);
    // A task of its own: reading a frame cannot be interrupted.
    let mut reader = JoinSet::new();
    reader.spawn(read_asks(read, sender));
    let (mut own, mut is_receiving) = (HashSet::new(), None);
    loop {
        tokio::select! {
            ask = asks.recv() => match ask {
                Some(Ask::Send { recipient, with_reply_block, data }) => {
                    let (queued, answer) = oneshot::channel();
                    let command = Command::Send { recipient, data, with_reply_block, queued };
                    commands.send(command).await.map_err(|_| ErrorKind::BrokenPipe)?;
                    let answer = match answer.await.map_err(io::Error::other)? {
                        Ok(id) => {
                            own.insert(id);
                            Tell::Queued(id)
                        }
                        Err(error) => Tell::Refused(error.to_string()),
                    };
                    tell(&mut write, &answer).await?;
                }
                Some(Ask::Receive { receipts }) => {
                    is_receiving = Some(receipts.then(|| Counted::new(&subscribers.confirming)));
                }
                None => return Ok(()),
            },
            event = events.recv() => {
                let event = event.map_err(io::Error::other)?;
                let is_wanted = match &event {
                    Tell::Acknowledged(id) => own.remove(id),
                    Tell::Arrived => is_receiving.is_some(),
                    Tell::Confirmed(_) => true,
                    Tell::Queued(_) | Tell::Refused(_) => false,
                };
                if is_wanted {
                    tell(&mut write, &event).await?;
                }
            }
        }
    }
}

async fn read_asks(mut read: OwnedReadHalf, asks: mpsc::Sender<Ask>) {
    // What is no request ends the connection.
    while let Ok(frame) = read_frame(&mut read).await
        && let Some(ask) = Ask::decode(&frame)
    {
        if asks.send(ask).await.is_err() {
            return;
        }
    }
}

async fn tell(write: &mut OwnedWriteHalf, tell: &Tell) -> io::Result<()> {
    write_frame(write, tell.encode()).await
}
