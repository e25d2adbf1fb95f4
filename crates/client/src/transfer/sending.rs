//! Sends a file chunk by chunk, a few of them at a time.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use nym_mixnode_message::address::ClientAddress;
use sha2::{Digest, Sha256};
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};

use super::{CHUNK_LEN, Chunk, FileFacts, NAME_LEN_MAX, Receipt, TransferId};
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
    /// It has changed since its digest was computed.
    #[error("{0} has become shorter while it was being sent; send it again")]
    Changed(PathBuf),
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

/// A file on its way.
pub struct Sending {
    path: PathBuf,
    file: File,
    transfer: TransferId,
    facts: FileFacts,
    chunks: u32,
    /// Whether each chunk has a reply block, through which the recipient returns a receipt.
    with_receipt: bool,
    next: u32,
    in_flight: HashSet<MessageId>,
}

impl Sending {
    /// Opens a file, and reads it once for its digest.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn open(path: &Path) -> Result<Self, SendFileError> {
        let failed = |source| SendFileError::Read { path: path.to_owned(), source };
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
        Ok(Self {
            path: path.to_owned(),
            file,
            transfer: rand::random(),
            facts,
            chunks,
            with_receipt: false,
            next: 0,
            in_flight: HashSet::new(),
        })
    }

    /// Lets the recipient return a receipt, and returns the one to wait for.
    pub fn ask_for_receipt(&mut self) -> Receipt {
        self.with_receipt = true;
        Receipt { transfer: self.transfer, digest: self.facts.digest }
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

    /// Sends the file through a running client, whose acknowledgements come through `acknowledged`. Returns when all of
    /// the file is at the recipient's gateway. `progress` gets the number of bytes that are.
    ///
    /// # Errors
    /// When the file cannot be read, or the client does not take a message.
    pub async fn run(
        mut self,
        recipient: &ClientAddress,
        commands: &mpsc::Sender<Command>,
        mut acknowledged: mpsc::Receiver<MessageId>,
        mut progress: impl FnMut(u64),
    ) -> Result<(), SendFileError> {
        let mut done = 0;
        while done < self.chunks {
            while self.next < self.chunks && self.in_flight.len() < IN_FLIGHT_MAX {
                let message = self.queue(recipient, commands).await?;
                self.in_flight.insert(message);
            }
            let message = acknowledged.recv().await.ok_or(SendFileError::Stopped)?;
            if self.in_flight.remove(&message) {
                done += 1;
                progress((u64::from(done) * CHUNK_LEN).min(self.facts.len));
            }
        }
        Ok(())
    }

    /// Hands the next chunk to the client.
    async fn queue(
        &mut self,
        recipient: &ClientAddress,
        commands: &mpsc::Sender<Command>,
    ) -> Result<MessageId, SendFileError> {
        let data = self.chunk(self.next)?;
        self.next += 1;
        let (queued, answer) = oneshot::channel();
        let command = Command::Send { recipient: *recipient, data, with_reply_block: self.with_receipt, queued };
        commands.send(command).await.map_err(|_| SendFileError::Stopped)?;
        Ok(answer.await.map_err(|_| SendFileError::Stopped)??)
    }

    fn chunk(&self, index: u32) -> Result<Vec<u8>, SendFileError> {
        let len = self.facts.chunk_len(index).unwrap_or_default();
        let mut data = vec![0; usize::try_from(len).unwrap_or_default()];
        self.file.read_exact_at(&mut data, u64::from(index) * CHUNK_LEN).map_err(|source| match source.kind() {
            io::ErrorKind::UnexpectedEof => SendFileError::Changed(self.path.clone()),
            _ => SendFileError::Read { path: self.path.clone(), source },
        })?;
        Ok(Chunk { transfer: self.transfer, facts: self.facts.clone(), index, data: &data }.encode())
    }
}

/// The file's name without its directories, cut to what a chunk can carry.
fn name_of(path: &Path) -> String {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let end = (0..=NAME_LEN_MAX.min(name.len())).rev().find(|end| name.is_char_boundary(*end)).unwrap_or_default();
    if end == 0 { "file".to_owned() } else { name[..end].to_owned() }
}
