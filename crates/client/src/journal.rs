//! Fragments of incomplete messages on disk, so that a client that is killed loses nothing that it has confirmed.
//!
//! Records of one length: a fragment and the first bytes of its SHA-256. The first record that is damaged ends the file.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nym_mixnode_base::staging::sync_dir;
use nym_mixnode_message::fragment::{FRAGMENT_LEN, Fragment};
use zeroize::Zeroizing;

use crate::checksum::{CHECKSUM_LEN, checksum};

const RECORD_LEN: usize = FRAGMENT_LEN + CHECKSUM_LEN;

/// An open journal.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    records: u64,
}

impl Journal {
    /// Opens the file, or creates it, for the owner alone. Returns the fragments in it.
    ///
    /// # Errors
    /// When it cannot be read or written.
    pub fn open(path: &Path) -> io::Result<(Self, Vec<Fragment>)> {
        let mut file = owners_own().read(true).truncate(false).open(path)?;
        let mut bytes = Zeroizing::new(Vec::new());
        file.read_to_end(&mut bytes)?;
        let fragments: Vec<_> = bytes.chunks(RECORD_LEN).map_while(decode).collect();
        Ok((Self { path: path.to_owned(), file, records: fragments.len() as u64 }, fragments))
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Number of fragments.
    #[must_use]
    pub const fn records(&self) -> u64 {
        self.records
    }

    /// Adds fragments. They are durable when it returns.
    ///
    /// # Errors
    /// When the disk fails. None of them counts as added then.
    pub fn append(&mut self, fragments: &[Fragment]) -> io::Result<()> {
        self.file.write_all_at(&encode(fragments), self.records * RECORD_LEN as u64)?;
        self.file.sync_data()?;
        self.records += fragments.len() as u64;
        Ok(())
    }

    /// Replaces all fragments.
    ///
    /// # Errors
    /// When the disk fails. The journal is as it was then.
    pub fn replace(&mut self, fragments: &[Fragment]) -> io::Result<()> {
        if fragments.is_empty() {
            self.file.set_len(0)?;
            self.records = 0;
            return Ok(());
        }
        let draft = self.path.with_extension("draft");
        let mut file = owners_own().truncate(true).open(&draft)?;
        file.write_all(&encode(fragments))?;
        file.sync_all()?;
        fs::rename(&draft, &self.path)?;
        self.file = file;
        self.records = fragments.len() as u64;
        self.path.parent().map_or(Ok(()), sync_dir).map_err(io::Error::other)
    }
}

fn owners_own() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).create(true).mode(0o600);
    options
}

fn encode(fragments: &[Fragment]) -> Zeroizing<Vec<u8>> {
    // Enough at once: a buffer that grows leaves copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(fragments.len() * RECORD_LEN));
    for fragment in fragments {
        bytes.extend_from_slice(fragment.bytes());
        bytes.extend_from_slice(&checksum(fragment.bytes()));
    }
    bytes
}

fn decode(record: &[u8]) -> Option<Fragment> {
    let (fragment, known) = record.split_at_checked(FRAGMENT_LEN)?;
    (checksum(fragment)[..] == *known).then(|| Fragment::decode(fragment).ok()).flatten()
}

#[cfg(test)]
mod tests;
