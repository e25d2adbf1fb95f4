//! Sends a file chunk by chunk, a few of them at a time.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use nym_mixnode_message::address::ClientAddress;
use nym_mixnode_message::file::{CHUNK_LEN, Chunk, FileFacts, NAME_LEN_MAX, Receipt, TransferId};
use sha2::{Digest, Sha256};
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};

use super::sent::SentChunks;
use crate::core::{MessageId, SendError};
use crate::daemon::Command;

/// Chunks that are not acknowledged yet. More are not read.
pub(super) const IN_FLIGHT_MAX: usize = 4;

/// Why a file is not sent.
#[derive(Debug, Error)]
pub enum SendFileError {
    /// It cannot be read.
    #[error("cannot read {path}: {source}")]
    Read { path: PathBuf, source: io::Error },
    /// A directory, a pipe or a device, whose length is not known.
    #[error("{0} is not a regular file")]
    NotAFile(PathBuf),
    /// It has changed since its digest was computed.
    #[error("{0} has become shorter while it was being sent; send it again")]
    Changed(PathBuf),
    /// The progress cannot be kept.
    #[error("cannot keep the progress in {dir}: {source}")]
    Progress { dir: PathBuf, source: io::Error },
    /// More than 4 294 967 295 chunks.
    #[error("{0} is too long")]
    TooLong(PathBuf),
    /// The client does not take the message.
    #[error(transparent)]
    Send(#[from] SendError),
    /// The client has stopped.
    #[error("the client has stopped")]
    Stopped,
}

/// A file that can be sent.
pub struct SourceFile {
    path: PathBuf,
    file: File,
    facts: FileFacts,
    chunks: u32,
}

/// A file on its way.
pub struct Sending {
    source: SourceFile,
    recipient: ClientAddress,
    /// Directory of the progress of all transfers.
    dir: PathBuf,
    sent: SentChunks,
    /// Whether each chunk has a reply block, through which the recipient returns a receipt.
    with_receipt: bool,
    next: u32,
    /// Chunks that are not acknowledged.
    in_flight: HashMap<MessageId, u32>,
}

impl SourceFile {
    /// Opens a file, and reads it once for its digest.
    ///
    /// # Errors
    /// When it cannot be read, or is not a regular file.
    pub fn open(path: &Path) -> Result<Self, SendFileError> {
        let failed = |source| SendFileError::Read { path: path.to_owned(), source };
        // Before it is opened, which would wait for the other end of a pipe.
        if !fs::metadata(path).map_err(failed)?.is_file() {
            return Err(SendFileError::NotAFile(path.to_owned()));
        }
        let mut file = File::open(path).map_err(failed)?;
        let (mut hash, mut buffer, mut len) = (Sha256::new(), vec![0; 1 << 16], 0);
        loop {
            let read = file.read(&mut buffer).map_err(failed)?;
            if read == 0 {
                break;
            }
            hash.update(&buffer[..read]);
            len += read as u64;
        }
        let facts = FileFacts { len, digest: hash.finalize().into(), name: name_of(path) };
        let chunks = facts.chunks().ok_or_else(|| SendFileError::TooLong(path.to_owned()))?;
        Ok(Self { path: path.to_owned(), file, facts, chunks })
    }

    /// Bytes of the file.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.facts.len
    }

    /// Whether the file has no bytes. It is sent nevertheless.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.facts.len == 0
    }

    /// Begins to send it, or goes on where an earlier process was; `dir` has the progress of all transfers.
    ///
    /// # Errors
    /// When the directory cannot be written.
    pub fn to(self, recipient: &ClientAddress, dir: &Path) -> Result<Sending, SendFileError> {
        let sent = SentChunks::open(dir, recipient, &self.facts)
            .map_err(|source| SendFileError::Progress { dir: dir.to_owned(), source })?;
        Ok(Sending {
            source: self,
            recipient: *recipient,
            dir: dir.to_owned(),
            sent,
            with_receipt: false,
            next: 0,
            in_flight: HashMap::new(),
        })
    }

    fn chunk(&self, transfer: &TransferId, index: u32) -> Result<Vec<u8>, SendFileError> {
        let len = self.facts.chunk_len(index).unwrap_or_default();
        let mut data = vec![0; usize::try_from(len).unwrap_or_default()];
        self.file.read_exact_at(&mut data, u64::from(index) * CHUNK_LEN).map_err(|source| match source.kind() {
            io::ErrorKind::UnexpectedEof => SendFileError::Changed(self.path.clone()),
            _ => SendFileError::Read { path: self.path.clone(), source },
        })?;
        Ok(Chunk { transfer: *transfer, facts: self.facts.clone(), index, data: &data }.encode())
    }
}

impl Sending {
    /// Lets the recipient return a receipt, and returns the one to wait for.
    pub fn ask_for_receipt(&mut self) -> Receipt {
        self.with_receipt = true;
        Receipt { transfer: *self.sent.transfer(), digest: self.source.facts.digest }
    }

    /// Whether all of the file is at the recipient's gateway.
    #[must_use]
    pub fn is_stored(&self) -> bool {
        self.sent.done().len() as u64 >= u64::from(self.source.chunks)
    }

    /// Bytes that are at the recipient's gateway.
    #[must_use]
    pub fn sent(&self) -> u64 {
        (self.sent.done().len() as u64 * CHUNK_LEN).min(self.source.facts.len)
    }

    /// Sends the file through a running client, whose acknowledgements come through `acknowledged`. Returns when all of
    /// the file is at the recipient's gateway. `progress` gets the number of bytes that are.
    ///
    /// # Errors
    /// When the file cannot be read, or the client does not take a message.
    pub async fn run(
        &mut self,
        commands: &mpsc::Sender<Command>,
        mut acknowledged: mpsc::Receiver<MessageId>,
        mut progress: impl FnMut(u64),
    ) -> Result<(), SendFileError> {
        loop {
            while self.in_flight.len() < IN_FLIGHT_MAX
                && let Some(index) = self.next_chunk()
            {
                let message = self.queue(index, commands).await?;
                self.in_flight.insert(message, index);
            }
            if self.in_flight.is_empty() {
                return Ok(());
            }
            let message = acknowledged.recv().await.ok_or(SendFileError::Stopped)?;
            if let Some(index) = self.in_flight.remove(&message) {
                self.sent.mark(index).map_err(|source| SendFileError::Progress { dir: self.dir.clone(), source })?;
                progress(self.sent());
            }
        }
    }

    /// Forgets the progress: the same file to the same recipient is another transfer from now on.
    ///
    /// # Errors
    /// When the directory cannot be written.
    pub fn finish(self) -> Result<(), SendFileError> {
        let Self { sent, dir, .. } = self;
        sent.remove().map_err(|source| SendFileError::Progress { dir, source })
    }

    /// The next chunk that was not sent by this process or acknowledged to an earlier one.
    fn next_chunk(&mut self) -> Option<u32> {
        let next = (self.next..self.source.chunks).find(|index| !self.sent.done().contains(index))?;
        self.next = next + 1;
        Some(next)
    }

    /// Hands a chunk to the client.
    async fn queue(&self, index: u32, commands: &mpsc::Sender<Command>) -> Result<MessageId, SendFileError> {
        let data = self.source.chunk(self.sent.transfer(), index)?;
        let (queued, answer) = oneshot::channel();
        let recipient = self.recipient;
        let command = Command::Send { recipient, data, with_reply_block: self.with_receipt, queued };
        commands.send(command).await.map_err(|_| SendFileError::Stopped)?;
        Ok(answer.await.map_err(|_| SendFileError::Stopped)??)
    }
}

/// The file's name without its directories, cut to what a chunk can carry.
fn name_of(path: &Path) -> String {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let end = (0..=NAME_LEN_MAX.min(name.len())).rev().find(|end| name.is_char_boundary(*end)).unwrap_or_default();
    if end == 0 { "file".to_owned() } else { name[..end].to_owned() }
}
