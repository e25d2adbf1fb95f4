//! One process for each store: a lock on a file beside it.
//!
//! Two registries on one file would give out different answers: each keeps what it lists in memory.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::RegistryError;

/// The lock, until it is dropped or the process ends, however that happens.
#[derive(Debug)]
pub(super) struct StoreLock {
    file: File,
}

impl StoreLock {
    /// Takes the lock of the store at `path`.
    pub(super) fn take(path: &Path) -> Result<Self, RegistryError> {
        let lock = lock_path(path);
        let fail = |source: std::io::Error| RegistryError::LockStore { path: lock.clone(), source };
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&lock).map_err(fail)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { file }),
            Err(Errno::WOULDBLOCK) => Err(RegistryError::StoreInUse { path: path.to_owned() }),
            Err(error) => Err(fail(error.into())),
        }
    }

    /// Lets another registry have the store.
    pub(super) fn release(&self) {
        // Fails only for files that cannot be locked at all.
        flock(&self.file, FlockOperation::Unlock).ok();
    }
}

/// Beside the store; it stays there, for a lock file that is removed no longer locks.
fn lock_path(store: &Path) -> PathBuf {
    let mut name = OsString::from(store);
    name.push(".lock");
    name.into()
}
