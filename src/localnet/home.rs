//! The directory of a network. Private keys lie in it, so it goes with the network, however that ends.
//!
//! In order the network removes it itself. When the network is killed, a process of its own does, which waits for just
//! that. Should that process be killed, too, or the machine lose its power, the next network removes what it finds of
//! dead ones.

use std::ffi::OsString;
use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

use rustix::fs::OFlags;
use rustix::process::geteuid;
use tempfile::TempDir;
use tokio::process::ChildStdin;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, sleep};

use super::child;
use super::error::LocalnetError;
use crate::stop_request::end_of_standard_input;

/// What the directory of a network is called that stays.
const KEPT: &str = "nym-localnet-";
/// What one is called that goes: no random end of the other makes it look so.
const TEMPORARY: &str = "nym-localnet-run-";
/// Somebody else's clean-up may come between the making of a directory and its lock.
const ATTEMPTS_MAX: u32 = 100;
/// How long processes of a killed network may go on to make files.
const REMOVAL_MAX: Duration = Duration::from_secs(30);
const REMOVAL_EVERY: Duration = Duration::from_millis(50);

/// The directory of a network that runs. Dropping it removes it, unless it is kept.
#[derive(Debug)]
pub(super) struct Home {
    dir: TempDir,
    /// Says that this network lives, as long as this process does.
    _lock: Option<File>,
    /// Its end tells the process that removes the directory to do so, if it is still there.
    _remover: Option<ChildStdin>,
}

impl Home {
    /// A new directory, after those of dead networks are removed.
    pub(super) fn new(keep: bool) -> Result<Self, LocalnetError> {
        let parent = std::path::absolute(std::env::temp_dir()).map_err(LocalnetError::Home)?;
        if keep {
            let dir = tempfile::Builder::new().prefix(KEPT).disable_cleanup(true).tempdir_in(parent);
            return Ok(Self { dir: dir.map_err(LocalnetError::Home)?, _lock: None, _remover: None });
        }
        remove_dead(&parent);
        let (dir, lock) = make_locked(&parent).map_err(LocalnetError::Home)?;
        let arguments: [OsString; 3] = ["localnet".into(), "--remove-at-end".into(), dir.path().into()];
        let remover = child::spawn_survivor("the process that removes the network's files", &arguments)?;
        Ok(Self { dir, _lock: Some(lock), _remover: Some(remover) })
    }

    pub(super) fn path(&self) -> &Path {
        self.dir.path()
    }
}

/// Waits for the end of standard input, which is that of the network, and removes its directory.
///
/// # Errors
/// When `dir` is no network's directory, or signals cannot be received.
pub async fn remove_at_end(dir: &Path) -> Result<(), LocalnetError> {
    let not_ours = || LocalnetError::Home(io::Error::other(format!("{} is no network's", dir.display())));
    is_temporary(dir).then_some(()).ok_or_else(not_ours)?;
    // What stops the network must not stop this process before it.
    let _ignored = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup(), SignalKind::quit()]
        .map(signal)
        .into_iter()
        .collect::<io::Result<Vec<_>>>()?;
    end_of_standard_input().await.ok();
    let deadline = Instant::now() + REMOVAL_MAX;
    while remove(dir).is_err() && Instant::now() < deadline {
        sleep(REMOVAL_EVERY).await;
    }
    Ok(())
}

/// Removes the directories of networks of this user that no process has locked.
fn remove_dead(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else { return };
    for dir in entries.flatten().map(|entry| entry.path()).filter(|dir| is_temporary(dir)) {
        // One that is locked lives, and one that cannot be removed is not this network's concern.
        if let Ok(Some(_lock)) = lock(&dir)
            && remove(&dir).is_ok()
        {
            tracing::info!(dir = %dir.display(), "Removed what a killed network had left");
        }
    }
}

fn make_locked(parent: &Path) -> io::Result<(TempDir, File)> {
    for _ in 0..ATTEMPTS_MAX {
        let dir = tempfile::Builder::new().prefix(TEMPORARY).tempdir_in(parent)?;
        let is_there = |lock: &File| {
            let same = |there: Metadata| lock.metadata().is_ok_and(|locked| locked.ino() == there.ino());
            fs::metadata(dir.path()).is_ok_and(same)
        };
        match lock(dir.path()) {
            Ok(Some(lock)) if is_there(&lock) => return Ok((dir, lock)),
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Err(io::Error::other("another process removes every new directory"))
}

/// Locks a directory for as long as the result lives; `None` when somebody else has.
fn lock(dir: &Path) -> io::Result<Option<File>> {
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW;
    let dir = File::options().read(true).custom_flags(flags.bits().cast_signed()).open(dir)?;
    match dir.try_lock() {
        Ok(()) => Ok(Some(dir)),
        Err(fs::TryLockError::WouldBlock) => Ok(None),
        // A file system without locks: nobody can be told alive from dead, so nothing is removed.
        Err(fs::TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => Ok(None),
        Err(fs::TryLockError::Error(error)) => Err(error),
    }
}

/// Whether this is a network's directory that goes, and this user's.
fn is_temporary(dir: &Path) -> bool {
    let has_name = dir.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(TEMPORARY.as_bytes()));
    let is_own = |found: Metadata| found.is_dir() && found.uid() == geteuid().as_raw();
    has_name && fs::symlink_metadata(dir).is_ok_and(is_own)
}

fn remove(dir: &Path) -> io::Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && fs::symlink_metadata(dir).is_err() => Ok(()),
        removed => removed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    fn names(parent: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(parent).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn what_dead_networks_left_is_removed_and_nothing_else() {
        let parent = tempfile::tempdir().unwrap();
        let at = |name: &str| -> PathBuf { parent.path().join(name) };
        fs::create_dir_all(at("nym-localnet-run-dead00/mix1-1")).unwrap();
        fs::write(at("nym-localnet-run-dead00/mix1-1/private_sphinx.pem"), "a key").unwrap();
        fs::create_dir(at("nym-localnet-kept00")).unwrap();
        fs::write(at("nym-localnet-run-file00"), "").unwrap();
        fs::create_dir(at("elsewhere")).unwrap();
        std::os::unix::fs::symlink(at("elsewhere"), at("nym-localnet-run-link00")).unwrap();
        let (living, _lock) = make_locked(parent.path()).unwrap();
        let living = living.path().file_name().unwrap().to_str().unwrap().to_owned();
        remove_dead(parent.path());
        let mut expected = ["elsewhere", "nym-localnet-kept00", "nym-localnet-run-file00", "nym-localnet-run-link00"]
            .map(str::to_owned)
            .to_vec();
        expected.push(living);
        expected.sort();
        assert_eq!(names(parent.path()), expected);
    }

    #[test]
    fn a_directory_that_is_gone_counts_as_removed() {
        let parent = tempfile::tempdir().unwrap();
        remove(&parent.path().join("gone")).unwrap();
        assert!(lock(&parent.path().join("gone")).is_err());
    }

    #[tokio::test]
    async fn only_a_networks_directory_is_removed_at_its_end() {
        let dir = tempfile::tempdir().unwrap();
        assert!(remove_at_end(dir.path()).await.is_err());
        assert!(dir.path().exists());
    }
}
