//! Detects whether a node runs: a lock on its directory, which the kernel releases when the process ends.

use std::fs::{File, TryLockError};
use std::time::Duration;

use super::NodeHome;

/// Attempts to lock the directory, in case another process is checking the lock at the same time.
const ATTEMPTS: u32 = 50;
const PAUSE: Duration = Duration::from_millis(10);

/// Marks a node as running until it is dropped.
#[derive(Debug)]
pub struct RunningMark(#[expect(dead_code, reason = "holds the lock")] File);

impl NodeHome {
    /// Marks the node as running; `None` if the directory cannot be locked, as on some network file systems.
    pub async fn mark_running(&self) -> Option<RunningMark> {
        let dir = File::open(self.dir()).ok()?;
        for _ in 0..ATTEMPTS {
            match dir.try_lock_shared() {
                Ok(()) => return Some(RunningMark(dir)),
                Err(TryLockError::WouldBlock) => tokio::time::sleep(PAUSE).await,
                Err(TryLockError::Error(_)) => return None,
            }
        }
        None
    }

    /// Whether a process of this machine, in any container, runs the node; `None` if that cannot be determined.
    pub fn is_running(&self) -> Option<bool> {
        let dir = File::open(self.dir()).ok()?;
        match dir.try_lock() {
            Ok(()) => Some(false),
            Err(TryLockError::WouldBlock) => Some(true),
            Err(TryLockError::Error(_)) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_node_runs_as_long_as_its_mark_is_there() {
        let root = tempfile::tempdir().unwrap();
        let home = NodeHome::new(Some(root.path()), &"mix".parse().unwrap()).unwrap();
        assert!(home.is_running().is_none() && home.mark_running().await.is_none(), "there is no directory");
        std::fs::create_dir_all(home.dir()).unwrap();
        assert_eq!(home.is_running(), Some(false));
        let mark = home.mark_running().await.unwrap();
        assert_eq!((home.is_running(), home.is_running()), (Some(true), Some(true)));
        let second = home.mark_running().await.unwrap();
        drop(mark);
        assert_eq!(home.is_running(), Some(true));
        drop(second);
        assert_eq!(home.is_running(), Some(false));
    }

    #[tokio::test]
    async fn a_start_waits_for_somebody_who_looks() {
        let root = tempfile::tempdir().unwrap();
        let home = NodeHome::new(Some(root.path()), &"mix".parse().unwrap()).unwrap();
        std::fs::create_dir_all(home.dir()).unwrap();
        let looking = File::open(home.dir()).unwrap();
        looking.lock().unwrap();
        let (mark, ()) = tokio::join!(home.mark_running(), async {
            tokio::task::yield_now().await;
            drop(looking);
        });
        assert!(mark.is_some());
    }
}
