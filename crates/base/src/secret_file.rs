//! Reading files with secrets. Their content is wiped from memory when dropped.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use thiserror::Error;
use tracing::warn;
use zeroize::Zeroizing;

use super::file::{open, open_or_wait, too_long};

/// Error while reading a file that other users must not be able to read.
#[derive(Debug, Error)]
pub enum PrivateFileError {
    /// The file cannot be read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// All users of this machine can read it.
    #[error("it has mode {mode:04o} and is readable by other users")]
    Readable {
        /// Permissions of the file.
        mode: u32,
    },
}

/// Reads a regular file that is no longer than `bytes_max` and that only its owner and its group can access: containers
/// and services may receive secrets through a group.
///
/// # Errors
/// As [`file::read`](super::file::read); and when other users can access the file.
pub fn read_private(path: &Path, bytes_max: usize) -> Result<Zeroizing<Vec<u8>>, PrivateFileError> {
    let file = open(path)?;
    match mode_for_others(&file.metadata()?) {
        Some(mode) => Err(PrivateFileError::Readable { mode }),
        None => Ok(read_bounded(&file, bytes_max)?),
    }
}

/// Reads a regular file that is no longer than `bytes_max`. Warns if other users can access the file: Docker and Kubernetes
/// mount secrets with such modes, in containers without other users.
///
/// # Errors
/// As [`file::read`](super::file::read).
pub fn read(path: &Path, bytes_max: usize) -> io::Result<Zeroizing<Vec<u8>>> {
    read_and_warn(path, &open(path)?, bytes_max)
}

/// As [`read`], for a regular file or a pipe, as [`open_or_wait`] opens it.
///
/// # Errors
/// As [`open_or_wait`]; and `FileTooLarge`.
pub fn read_or_wait(path: &Path, bytes_max: usize) -> io::Result<Zeroizing<Vec<u8>>> {
    read_and_warn(path, &open_or_wait(path)?, bytes_max)
}

fn read_and_warn(path: &Path, file: &File, bytes_max: usize) -> io::Result<Zeroizing<Vec<u8>>> {
    if let Some(mode) = mode_for_others(&file.metadata()?) {
        let (path, mode) = (path.display(), format!("{mode:04o}"));
        warn!(%path, %mode, "A file with a secret is open to other users: run `chmod 600` on it");
    }
    read_bounded(file, bytes_max)
}

/// Permissions of a regular file that other users can access.
fn mode_for_others(metadata: &Metadata) -> Option<u32> {
    let mode = metadata.permissions().mode() & 0o7777;
    (metadata.is_file() && mode & 0o007 != 0).then_some(mode)
}

fn read_bounded(file: &File, bytes_max: usize) -> io::Result<Zeroizing<Vec<u8>>> {
    // Full capacity from the start: a buffer that grows leaves copies of the secret in memory.
    let mut secret = Zeroizing::new(Vec::with_capacity(bytes_max + 1));
    file.take(bytes_max as u64 + 1).read_to_end(&mut secret)?;
    if secret.len() > bytes_max {
        return Err(too_long(bytes_max as u64));
    }
    Ok(secret)
}

#[cfg(test)]
mod tests;
