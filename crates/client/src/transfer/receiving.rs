//! Collects chunks in a directory until their files are complete. What is complete stays there until it is taken.
//!
//! Each chunk is a file of its own, so that a stopped client goes on where it was:
//! `incoming/TRANSFER/{facts,0,1,…}`, and then `complete/NAME`. `done/TRANSFER` has the digest and the number
//! of receipts.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use nym_mixnode_base::staging::sync_dir;
use nym_mixnode_message::file::{Chunk, ChunkError, FileFacts, Receipt, TransferId, asked_about};
use sha2::{Digest, Sha256};
use thiserror::Error;

use super::hex;

/// Name of the file with the facts of a transfer.
const FACTS: &str = "facts";
/// Names that are tried for a file whose name is taken.
const NAMES_MAX: u32 = 10_000;
/// Transfers that are remembered. The oldest is forgotten first.
const DONE_MAX: usize = 4096;
/// Receipts for one file. Each shows its sender when this client was connected, and the first may be lost.
const RECEIPTS_MAX: u8 = 8;

/// Bounds on what strangers can store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReceiverBounds {
    /// Bytes of one file.
    pub file_len: u64,
    /// Files that are not complete.
    pub transfers: usize,
}

impl Default for ReceiverBounds {
    fn default() -> Self {
        Self { file_len: 1 << 30, transfers: 64 }
    }
}

/// Why a message is not stored.
#[derive(Debug, Error)]
pub enum Rejected {
    #[error(transparent)]
    Chunk(#[from] ChunkError),
    /// A bound on the length.
    #[error("the file has {len} bytes, and {max} are allowed")]
    TooLong { len: u64, max: u64 },
    /// A bound on the number.
    #[error("{0} files are incomplete, and no more are allowed")]
    TooMany(usize),
    /// Two chunks of one transfer contradict each other.
    #[error("the chunk is not of the file that its transfer began with")]
    Other,
    /// All chunks have arrived, and the file is another one. They are removed.
    #[error("the file is damaged: it is not what its sender announced")]
    Damaged,
    /// The disk.
    #[error("cannot write to {path}: {source}")]
    Write { path: PathBuf, source: io::Error },
}

/// A file that is complete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrived {
    pub path: PathBuf,
    pub len: u64,
}

/// The directory of received files.
pub struct Receiver {
    incoming: PathBuf,
    complete: PathBuf,
    done: PathBuf,
    bounds: ReceiverBounds,
}

impl Receiver {
    /// Opens the directory, or creates it, for the owner alone.
    ///
    /// # Errors
    /// When it cannot be created.
    pub fn open(dir: &Path, bounds: ReceiverBounds) -> Result<Self, Rejected> {
        let (incoming, complete, done) = (dir.join("incoming"), dir.join("complete"), dir.join("done"));
        for dir in [&incoming, &complete, &done] {
            nym_mixnode_base::staging::create_private_dirs(dir)
                .map_err(|error| Rejected::Write { path: dir.clone(), source: io::Error::other(error) })?;
        }
        Ok(Self { incoming, complete, done, bounds })
    }

    /// Files that are complete.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn complete(&self) -> Result<Vec<Arrived>, Rejected> {
        let mut all = Vec::new();
        for entry in fs::read_dir(&self.complete).map_err(at(&self.complete))? {
            let entry = entry.map_err(at(&self.complete))?;
            let len = entry.metadata().map_err(at(&self.complete))?.len();
            all.push(Arrived { path: entry.path(), len });
        }
        all.sort_by(|one, other| one.path.cmp(&other.path));
        Ok(all)
    }

    /// Stores a message: a chunk, or a whole message, which becomes a file. Returns the file that it completes.
    ///
    /// # Errors
    /// When the message is rejected, or the disk fails.
    pub fn accept(&self, message: &[u8]) -> Result<Option<Arrived>, Rejected> {
        match Chunk::decode(message) {
            Some(chunk) => self.accept_chunk(&chunk?),
            None if asked_about(message).is_some() => Ok(None),
            None => self.place("message", |file| file.write_all(message).map(|()| message.len() as u64)).map(Some),
        }
    }

    /// A receipt for the file that a message is about, if all of it has arrived, and there are not too many already.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn take_receipt(&self, message: &[u8]) -> Result<Option<Receipt>, Rejected> {
        let of_chunk = || Some(Chunk::decode(message)?.ok()?.transfer);
        let Some(transfer) = asked_about(message).or_else(of_chunk) else { return Ok(None) };
        let path = self.done_path(&transfer);
        let record = match fs::read(&path) {
            Ok(record) => record,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(Rejected::Write { path, source }),
        };
        // A record of another length is damaged, and no proof of anything.
        let Ok([digest @ .., count]) = <[u8; 33]>::try_from(record) else { return Ok(None) };
        if count >= RECEIPTS_MAX {
            return Ok(None);
        }
        write(&path, &done_record(&digest, count + 1))?;
        Ok(Some(Receipt { transfer, digest }))
    }

    fn done_path(&self, transfer: &TransferId) -> PathBuf {
        self.done.join(hex(transfer))
    }

    /// Remembers a transfer whose file has its place.
    fn remember(&self, transfer: &TransferId, facts: &FileFacts) -> Result<(), Rejected> {
        let mut known = Vec::new();
        for entry in fs::read_dir(&self.done).map_err(at(&self.done))? {
            let entry = entry.map_err(at(&self.done))?;
            let modified = entry.metadata().and_then(|metadata| metadata.modified()).map_err(at(&self.done))?;
            known.push((modified, entry.path()));
        }
        if known.len() >= DONE_MAX
            && let Some((_, oldest)) = known.iter().min()
        {
            fs::remove_file(oldest).map_err(at(oldest))?;
        }
        write(&self.done_path(transfer), &done_record(&facts.digest, 0))
    }

    fn accept_chunk(&self, chunk: &Chunk<'_>) -> Result<Option<Arrived>, Rejected> {
        let facts = &chunk.facts;
        if facts.len > self.bounds.file_len {
            return Err(Rejected::TooLong { len: facts.len, max: self.bounds.file_len });
        }
        // A copy of a chunk must not begin the file again.
        if self.done_path(&chunk.transfer).exists() {
            return Ok(None);
        }
        let dir = self.incoming.join(hex(&chunk.transfer));
        if !dir.exists() {
            let known = fs::read_dir(&self.incoming).map_err(at(&self.incoming))?.count();
            if known >= self.bounds.transfers {
                return Err(Rejected::TooMany(known));
            }
            fs::create_dir(&dir).map_err(at(&dir))?;
        }
        let first = Chunk { index: 0, data: &[], ..chunk.clone() }.encode();
        let facts_path = dir.join(FACTS);
        match fs::read(&facts_path) {
            Ok(known) if known == first => {}
            Ok(_) => return Err(Rejected::Other),
            Err(error) if error.kind() == ErrorKind::NotFound => write(&facts_path, &first)?,
            Err(source) => return Err(Rejected::Write { path: facts_path, source }),
        }
        let path = dir.join(chunk.index.to_string());
        if !path.exists() {
            write(&path, chunk.data)?;
        }
        let chunks = facts.chunks().unwrap_or(u32::MAX);
        // The facts are one more file.
        let stored = fs::read_dir(&dir).map_err(at(&dir))?.filter(|entry| is_whole(entry.as_ref())).count();
        if stored <= chunks as usize {
            return Ok(None);
        }
        let arrived = self.join(&dir, facts, chunks)?;
        self.remember(&chunk.transfer, facts)?;
        fs::remove_dir_all(&dir).map_err(at(&dir))?;
        Ok(Some(arrived))
    }

    /// Joins all chunks to a file. Removes them if the file is damaged.
    fn join(&self, dir: &Path, facts: &FileFacts, chunks: u32) -> Result<Arrived, Rejected> {
        let joined = |file: &mut File| {
            let (mut hash, mut len) = (Sha256::new(), 0);
            for index in 0..chunks {
                let data = fs::read(dir.join(index.to_string()))?;
                hash.update(&data);
                file.write_all(&data)?;
                len += data.len() as u64;
            }
            if hash.finalize()[..] == facts.digest { Ok(len) } else { Err(ErrorKind::InvalidData.into()) }
        };
        let arrived = self.place(&safe_name(&facts.name), joined);
        match arrived {
            Err(Rejected::Write { source, .. }) if source.kind() == ErrorKind::InvalidData => {
                fs::remove_dir_all(dir).map_err(at(dir))?;
                Err(Rejected::Damaged)
            }
            arrived => arrived,
        }
    }

    /// Writes a file durably and gives it the name, or one with a number if that is taken.
    fn place(&self, name: &str, content: impl FnOnce(&mut File) -> io::Result<u64>) -> Result<Arrived, Rejected> {
        let draft = self.incoming.with_file_name("draft");
        let mut file = File::create(&draft).map_err(at(&draft))?;
        let len = content(&mut file).and_then(|len| file.sync_all().map(|()| len)).map_err(at(&draft))?;
        let path = with_free_name(&self.complete, name, |path| fs::hard_link(&draft, path))
            .map_err(|(path, source)| Rejected::Write { path, source })?;
        sync_dir(&self.complete)
            .map_err(|error| Rejected::Write { path: path.clone(), source: io::Error::other(error) })?;
        fs::remove_file(&draft).map_err(at(&draft))?;
        Ok(Arrived { path, len })
    }
}

fn done_record(digest: &[u8; 32], receipts: u8) -> Vec<u8> {
    [&digest[..], &[receipts]].concat()
}

/// Moves a file into another directory, where no file is replaced, on any file system. The file has its name only once it
/// is whole.
///
/// # Errors
/// When it cannot be read or written. It stays where it is then, and the directory as it was.
fn deliver(from: &Path, dir: &Path) -> io::Result<PathBuf> {
    let draft = dir.join(format!(".nym-mixnode-{:016x}.{DRAFT}", rand::random::<u64>()));
    let name = from.file_name().unwrap_or_default().to_string_lossy();
    let delivered = copy(from, &draft)
        .and_then(|()| with_free_name(dir, &name, |path| rename_to_new(&draft, path)).map_err(|(_, error)| error));
    let path = delivered.inspect_err(|_| drop(fs::remove_file(&draft)))?;
    sync_dir(dir).map_err(io::Error::other)?;
    fs::remove_file(from)?;
    Ok(path)
}

/// Copies a file durably.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let mut copy = File::options().write(true).create_new(true).open(to)?;
    io::copy(&mut File::open(from)?, &mut copy)?;
    copy.sync_all()
}

/// Renames a file, on any file system: not every one has links, or can refuse to replace a file. `to` must not exist.
fn rename_to_new(file: &Path, to: &Path) -> io::Result<()> {
    // An empty file keeps the name free.
    File::options().write(true).create_new(true).open(to)?;
    fs::rename(file, to).inspect_err(|_| drop(fs::remove_file(to)))
}

/// Creates a file with this name, or one with a number if that is taken. `create` fails with `AlreadyExists` if it is.
fn with_free_name(
    dir: &Path,
    name: &str,
    create: impl Fn(&Path) -> io::Result<()>,
) -> Result<PathBuf, (PathBuf, io::Error)> {
    for number in 0..NAMES_MAX {
        let path = dir.join(if number == 0 { name.to_owned() } else { numbered(name, number) });
        match create(&path) {
            Ok(()) => return Ok(path),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err((path, error)),
        }
    }
    Err((dir.join(name), ErrorKind::AlreadyExists.into()))
}

impl Arrived {
    /// Moves the file into a directory, where no file is replaced.
    ///
    /// # Errors
    /// When it cannot be read or written.
    pub fn deliver(&self, dir: &Path) -> io::Result<PathBuf> {
        deliver(&self.path, dir)
    }
}

/// Writes a file so that it exists only with all of its content.
fn write(path: &Path, content: &[u8]) -> Result<(), Rejected> {
    let draft = path.with_extension(DRAFT);
    let written = File::create(&draft).and_then(|mut file| {
        file.write_all(content)?;
        file.sync_all()
    });
    written.and_then(|()| fs::rename(&draft, path)).map_err(at(path))
}

/// Extension of files that may be incomplete.
const DRAFT: &str = "draft";

fn is_whole(entry: Result<&fs::DirEntry, &io::Error>) -> bool {
    entry.is_ok_and(|entry| entry.path().extension().is_none_or(|extension| extension != DRAFT))
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> Rejected {
    let path = path.to_owned();
    move |source| Rejected::Write { path, source }
}

/// The last part of a name, without what a shell or a file manager would hide or take for something else.
fn safe_name(name: &str) -> String {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let plain: String = last.chars().map(|c| if c.is_control() { '_' } else { c }).collect();
    let trimmed = plain.trim_start_matches(['.', '-', ' ']);
    if trimmed.is_empty() { "file".to_owned() } else { trimmed.to_owned() }
}

/// `name (1).txt` for `name.txt`.
fn numbered(name: &str, number: u32) -> String {
    match name.rsplit_once('.') {
        Some((stem, extension)) if !stem.is_empty() => format!("{stem} ({number}).{extension}"),
        _ => format!("{name} ({number})"),
    }
}
