//! At most one process of a machine runs a node: it locks the node's directory, and the kernel releases the lock when the
//! process ends.

use std::fs::{File, TryLockError};
use std::path::PathBuf;
use std::time::Duration;

use tokio::time::Instant;

use super::NodeHome;

/// Longest time for which a process that only checks the lock can be in the way.
const CHECK_MAX: Duration = Duration::from_millis(500);
/// Time between two attempts to lock the directory.
const PAUSE: Duration = Duration::from_millis(10);

/// Marks a node as running until it is dropped.
#[derive(Debug)]
pub struct RunningMark(#[expect(dead_code, reason = "holds the lock")] File);

/// Another process runs the node.
#[derive(Debug, thiserror::Error)]
#[error("another process runs the node in {}: stop it first", dir.display())]
pub struct RunsAlready {
    dir: PathBuf,
}

impl NodeHome {
    /// Marks the node as running; `None` if the directory cannot be locked, as on some network file systems.
    ///
    /// Two processes with one identity would unregister each other and lose packets. If another process runs the node, it
    /// may be about to stop: this calls `waits` and gives it `patience`.
    ///
    /// # Errors
    /// If the other process still runs the node.
    pub async fn mark_running(
        &self,
        patience: Duration,
        waits: impl FnOnce(),
    ) -> Result<Option<RunningMark>, RunsAlready> {
        let Ok(dir) = File::open(self.dir()) else { return Ok(None) };
        let mut locked = lock_within(&dir, CHECK_MAX).await;
        if matches!(locked, Err(TryLockError::WouldBlock)) {
            waits();
            locked = lock_within(&dir, patience).await;
        }
        match locked {
            Ok(()) => Ok(Some(RunningMark(dir))),
            Err(TryLockError::Error(_)) => Ok(None),
            Err(TryLockError::WouldBlock) => Err(RunsAlready { dir: self.dir().to_owned() }),
        }
    }

    /// Whether a process of this machine, in any container, runs the node; `None` if that cannot be determined.
    pub fn is_running(&self) -> Option<bool> {
        let dir = File::open(self.dir()).ok()?;
        match dir.try_lock_shared() {
            Ok(()) => Some(false),
            Err(TryLockError::WouldBlock) => Some(true),
            Err(TryLockError::Error(_)) => None,
        }
    }
}

/// Locks the directory, and tries again for this time while another process has it locked.
async fn lock_within(dir: &File, time: Duration) -> Result<(), TryLockError> {
    let deadline = Instant::now() + time;
    loop {
        match dir.try_lock() {
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => tokio::time::sleep(PAUSE).await,
            locked => return locked,
        }
    }
}

#[cfg(test)]
mod tests;
