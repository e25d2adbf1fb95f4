//! Messages for applications on disk, until one has taken them: the gateway forgets a message once it is here.
//!
//! Each message is a file, named by a number that grows, with the binary form of what the application gets.

use std::collections::VecDeque;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use nym_mixnode_base::staging::{create_file, create_private_dirs};
use nym_mixnode_message::application::Response;
use tokio::sync::Notify;
use tokio::time::{Duration, sleep};
use tracing::warn;
use zeroize::Zeroizing;

/// Pause after a failure that is not the message's.
const READ_PAUSE: Duration = Duration::from_secs(1);

/// Bounds on what strangers can store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpoolBounds {
    pub messages: usize,
    pub bytes: u64,
}

impl Default for SpoolBounds {
    fn default() -> Self {
        Self { messages: 1024, bytes: 256 << 20 }
    }
}

/// A directory of messages that wait for an application.
pub struct Spool {
    dir: PathBuf,
    bounds: SpoolBounds,
    waiting: Mutex<Waiting>,
    added: Notify,
}

/// The files, oldest first.
#[derive(Default)]
struct Waiting {
    files: VecDeque<(u64, u64)>,
    bytes: u64,
    next: u64,
}

impl Spool {
    /// Opens the directory, or creates it, for the owner alone. The caller has the lock of the client.
    ///
    /// # Errors
    /// When it cannot be read or created.
    pub fn open(dir: &Path, bounds: SpoolBounds) -> io::Result<Self> {
        create_private_dirs(dir).map_err(io::Error::other)?;
        let mut files = Vec::new();
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            // Other names are those of files that a killed process has not finished.
            match entry.file_name().to_str().and_then(|name| name.parse().ok()) {
                Some(number) => files.push((number, entry.metadata()?.len())),
                None => fs::remove_file(entry.path())?,
            }
        }
        files.sort_unstable();
        let mut waiting = Waiting { next: files.last().map_or(0, |(number, _)| number + 1), ..Waiting::default() };
        waiting.bytes = files.iter().map(|(_, len)| len).sum();
        waiting.files = files.into();
        Ok(Self { dir: dir.to_owned(), bounds, waiting: Mutex::new(waiting), added: Notify::new() })
    }

    /// The directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Adds a message, which is durable when this returns; `false` if there is no place for it.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn add(&self, message: &Response) -> io::Result<bool> {
        // A reply block has keys.
        let bytes = Zeroizing::new(message.to_bytes());
        let len = bytes.len() as u64;
        let mut waiting = self.lock();
        if waiting.files.len() >= self.bounds.messages || waiting.bytes + len > self.bounds.bytes {
            return Ok(false);
        }
        let number = waiting.next;
        create_file(&self.path(number), 0o600, &bytes).map_err(io::Error::other)?;
        waiting.files.push_back((number, len));
        waiting.bytes += len;
        waiting.next += 1;
        drop(waiting);
        self.added.notify_one();
        Ok(true)
    }

    /// The oldest message and its number, once there is one. It stays until it is [taken](Self::taken). Cancel-safe.
    pub async fn oldest(&self) -> (u64, Response) {
        loop {
            let oldest = self.lock().files.front().copied();
            match oldest {
                None => self.added.notified().await,
                Some((number, _)) => match self.read(number) {
                    Ok(message) => return (number, message),
                    Err(error) if matches!(error.kind(), ErrorKind::InvalidData | ErrorKind::NotFound) => {
                        warn!(%error, "Dropped a damaged message for applications");
                        self.taken(number);
                    }
                    // Such as too many open files.
                    Err(error) => {
                        warn!(%error, "Cannot read a message for applications; trying again");
                        sleep(READ_PAUSE).await;
                    }
                },
            }
        }
    }

    /// Removes a message that an application has.
    pub fn taken(&self, number: u64) {
        let mut waiting = self.lock();
        if let Some((_, len)) = waiting.files.pop_front_if(|(oldest, _)| *oldest == number) {
            waiting.bytes -= len;
        }
        match fs::remove_file(self.path(number)) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                warn!(%error, "Cannot remove a message that an application has; it gets it again after the next start");
            }
            _ => {}
        }
    }

    fn read(&self, number: u64) -> io::Result<Response> {
        let bytes = Zeroizing::new(fs::read(self.path(number))?);
        Response::from_bytes(&bytes).map_err(|error| io::Error::new(ErrorKind::InvalidData, error))
    }

    fn path(&self, number: u64) -> PathBuf {
        self.dir.join(number.to_string())
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(data: &[u8]) -> Response {
        Response::Received { data: data.to_vec(), reply_block: None }
    }

    async fn oldest(spool: &Spool) -> (u64, Vec<u8>) {
        let (number, Response::Received { data, .. }) = spool.oldest().await else { panic!() };
        (number, data)
    }

    #[tokio::test]
    async fn messages_stay_in_their_order_until_they_are_taken_whatever_ends_the_process() {
        let dir = tempfile::tempdir().unwrap();
        let open = || Spool::open(&dir.path().join("messages"), SpoolBounds::default()).unwrap();
        let spool = open();
        for number in 0..12_u8 {
            assert!(spool.add(&message(&[number])).unwrap());
        }
        let (number, data) = oldest(&spool).await;
        assert_eq!((number, data), (0, vec![0]));
        spool.taken(number);
        spool.taken(number);
        // As a killed process leaves it.
        fs::write(spool.dir().join(".13.draft"), "x").unwrap();
        let spool = open();
        assert!(spool.add(&message(&[12])).unwrap());
        for expected in 1..13 {
            let (number, data) = oldest(&spool).await;
            assert_eq!(data, [expected]);
            spool.taken(number);
        }
        assert_eq!(fs::read_dir(spool.dir()).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn a_message_without_place_is_refused_and_one_that_is_damaged_is_skipped() {
        let dir = tempfile::tempdir().unwrap();
        let spool = Spool::open(dir.path(), SpoolBounds { messages: 3, bytes: 1000 }).unwrap();
        assert!(!spool.add(&message(&[7; 1000])).unwrap());
        for number in 0..3 {
            assert!(spool.add(&message(&[number])).unwrap());
        }
        assert!(!spool.add(&message(&[3])).unwrap());
        fs::write(dir.path().join("0"), [9]).unwrap();
        let (number, data) = oldest(&spool).await;
        assert_eq!((number, data), (1, vec![1]));
        spool.taken(number);
        assert!(spool.add(&message(&[4])).unwrap());
    }

    #[tokio::test]
    async fn who_waits_gets_the_next_message() {
        let dir = tempfile::tempdir().unwrap();
        let spool = std::sync::Arc::new(Spool::open(dir.path(), SpoolBounds::default()).unwrap());
        let waits = tokio::spawn({
            let spool = std::sync::Arc::clone(&spool);
            async move { oldest(&spool).await }
        });
        tokio::task::yield_now().await;
        assert!(spool.add(&message(&[5])).unwrap());
        assert_eq!(waits.await.unwrap().1, [5]);
    }
}
