//! Which chunks of a file are at the recipient's gateway, on disk: the same command goes on after its process was killed.
//!
//! `transfer 16 ‖ first bytes of its SHA-256`, then a record for each chunk: its number and the complement of it.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nym_mixnode_base::staging::create_private_dirs;
use nym_mixnode_message::address::ClientAddress;
use nym_mixnode_message::file::{FileFacts, TransferId};
use sha2::{Digest, Sha256};

use super::hex;
use crate::checksum::checksum;

/// Age at which a transfer begins again: gateways remove what they keep after 14 days, and recipients forget.
const AGE_MAX: Duration = Duration::from_hours(7 * 24);

/// Progress of one transfer.
#[derive(Debug)]
pub(super) struct SentChunks {
    path: PathBuf,
    file: File,
    transfer: TransferId,
    done: HashSet<u32>,
}

impl SentChunks {
    /// Opens the progress of this file on its way to this recipient, or begins a transfer.
    pub(super) fn open(dir: &Path, recipient: &ClientAddress, facts: &FileFacts) -> io::Result<Self> {
        create_private_dirs(dir).map_err(io::Error::other)?;
        remove_old(dir)?;
        let path = dir.join(name(recipient, facts));
        let mut file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(&path)?;
        file.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => io::Error::new(ErrorKind::WouldBlock, "another command sends this file"),
            TryLockError::Error(error) => error,
        })?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        if let Some((transfer, records)) = parse(&bytes) {
            // Without the last record, if that was cut.
            file.set_len((bytes.len() - records.len() % 8) as u64)?;
            let done = records.chunks_exact(8).filter_map(record).collect();
            return Ok(Self { path, file, transfer, done });
        }
        let mut new = Self { path, file, transfer: rand::random(), done: HashSet::new() };
        new.begin()?;
        Ok(new)
    }

    pub(super) const fn transfer(&self) -> &TransferId {
        &self.transfer
    }

    /// Chunks that need not be sent.
    pub(super) const fn done(&self) -> &HashSet<u32> {
        &self.done
    }

    /// Remembers a chunk. After a power cut it may be forgotten, and is sent again.
    pub(super) fn mark(&mut self, index: u32) -> io::Result<()> {
        if self.done.insert(index) {
            self.file.write_all(&[index.to_be_bytes(), (!index).to_be_bytes()].concat())?;
        }
        Ok(())
    }

    /// Forgets the transfer, which is over.
    pub(super) fn remove(self) -> io::Result<()> {
        fs::remove_file(&self.path)
    }

    fn begin(&mut self) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.write_all(&[&self.transfer[..], &checksum(&self.transfer)].concat())
    }
}

/// One name for each file and recipient.
fn name(recipient: &ClientAddress, facts: &FileFacts) -> String {
    let mut hash = Sha256::new();
    hash.update(recipient.to_string());
    hash.update(facts.digest);
    hash.update(facts.len.to_be_bytes());
    hash.update(&facts.name);
    hex(&hash.finalize())
}

fn parse(bytes: &[u8]) -> Option<(TransferId, &[u8])> {
    let (transfer, rest) = bytes.split_first_chunk::<16>()?;
    let records = rest.strip_prefix(&checksum(transfer)[..])?;
    Some((*transfer, records))
}

/// `None` for a record that a power cut has left.
fn record(bytes: &[u8]) -> Option<u32> {
    let (index, complement) = (bytes.first_chunk()?, bytes.last_chunk()?);
    let index = u32::from_be_bytes(*index);
    (u32::from_be_bytes(*complement) == !index).then_some(index)
}

fn remove_old(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let is_old = entry.metadata()?.modified()?.elapsed().is_ok_and(|age| age > AGE_MAX);
        if is_old
            && let Err(error) = fs::remove_file(entry.path())
            && error.kind() != ErrorKind::NotFound
        {
            return Err(error);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
