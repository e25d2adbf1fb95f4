//! Lock file beside the store: only one process may use it.
//!
//! Two registries on one file would return different answers, because each caches its lists in memory.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::Errno;

use crate::RegistryError;

/// The lock, held until it is dropped or the process ends for any reason.
#[derive(Debug)]
pub(crate) struct StoreLock {
    file: File,
}

impl StoreLock {
    /// Takes the lock of the store at `path`.
    pub(in crate::store) fn take(path: &Path) -> Result<Self, RegistryError> {
        let lock = lock_path(path);
        let fail = |source: std::io::Error| RegistryError::LockStore { path: lock.clone(), source };
        // A pipe in its place fails instead of waiting for a reader.
        let flags = OFlags::NONBLOCK.bits().cast_signed();
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).write(true).custom_flags(flags);
        let file = options.open(&lock).map_err(fail)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { file }),
            Err(Errno::WOULDBLOCK) => Err(RegistryError::StoreInUse { path: path.to_owned() }),
            Err(error) => Err(fail(error.into())),
        }
    }

    /// Releases the lock.
    pub(in crate::store) fn release(&self) {
        // Fails only if the file system does not support locks.
        flock(&self.file, FlockOperation::Unlock).ok();
    }
}

/// Path of the lock file. It is never removed, because a removed file no longer locks.
fn lock_path(store: &Path) -> PathBuf {
    let mut name = OsString::from(store);
    name.push(".lock");
    name.into()
}
