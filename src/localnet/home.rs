//! The directory of a network. It contains private keys, so it is removed when the network ends, however that happens.
//!
//! Normally the network removes it. If the network is killed, a separate process, which waits for that, removes it.
//! If that process is killed as well, or the machine loses power, the next network removes the directories of
//! dead networks.

use std::ffi::OsString;
use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::OFlags;
use rustix::process::geteuid;
use tempfile::TempDir;
use tokio::process::ChildStdin;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, sleep};

use super::error::LocalnetError;
use super::{Keep, child};
use crate::stop_request::end_of_standard_input;

/// Name prefix of a directory that is kept.
const KEPT: &str = "nym-localnet-";
/// Name prefix of a directory that is removed; no name with the other prefix can match it.
const TEMPORARY: &str = "nym-localnet-run-";
/// Attempts to create the directory: another process may remove a new directory before it is locked.
const ATTEMPTS_MAX: u32 = 100;
/// How long processes of a killed network may still create files.
const REMOVAL_MAX: Duration = Duration::from_secs(30);
const REMOVAL_EVERY: Duration = Duration::from_millis(50);

/// Directory of a running network. Dropping this removes it, unless it is kept.
#[derive(Debug)]
pub(super) struct Home {
    path: PathBuf,
    /// Removes the directory when it is dropped, unless it is kept.
    _dir: Option<TempDir>,
    /// Lock that marks the network as alive until this process ends.
    _lock: Option<File>,
    /// Closing it makes the remover process remove the directory if it still exists.
    _remover: Option<ChildStdin>,
}

impl Home {
    /// Removes the directories of dead networks, then creates a new one.
    pub(super) fn new(keep: &Keep) -> Result<Self, LocalnetError> {
        let parent = std::path::absolute(std::env::temp_dir()).map_err(LocalnetError::Home)?;
        match keep {
            Keep::Nothing => {}
            Keep::Somewhere => {
                let dir = tempfile::Builder::new().prefix(KEPT).disable_cleanup(true).tempdir_in(parent);
                return Ok(Self::kept(dir.map_err(LocalnetError::Home)?.keep()));
            }
            Keep::In(dir) => return create_empty(dir).map(Self::kept),
        }
        remove_dead(&parent);
        let (dir, lock) = make_locked(&parent).map_err(LocalnetError::Home)?;
        let arguments: [OsString; 3] = ["localnet".into(), "--remove-at-end".into(), dir.path().into()];
        let remover = child::spawn_survivor("the process that removes the network's files", &arguments)?;
        Ok(Self { path: dir.path().to_owned(), _dir: Some(dir), _lock: Some(lock), _remover: Some(remover) })
    }

    fn kept(path: PathBuf) -> Self {
        Self { path, _dir: None, _lock: None, _remover: None }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

/// Creates the directory, for its owner only; an empty one may exist.
fn create_empty(dir: &Path) -> Result<PathBuf, LocalnetError> {
    let fail = |source: io::Error| LocalnetError::Keep { dir: dir.to_owned(), source };
    let path = std::path::absolute(dir).map_err(fail)?;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(&path).map_err(fail)?;
    match fs::read_dir(&path).map_err(fail)?.next() {
        None => Ok(path),
        Some(_) => Err(fail(io::Error::from(io::ErrorKind::DirectoryNotEmpty))),
    }
}

/// Waits for the end of standard input, which means that the network has ended, and removes its directory.
///
/// # Errors
/// When `dir` is not a network's directory, or signals cannot be received.
pub async fn remove_at_end(dir: &Path) -> Result<(), LocalnetError> {
    let not_ours = || LocalnetError::Home(io::Error::other(format!("{} is not a network's directory", dir.display())));
    is_temporary(dir).then_some(()).ok_or_else(not_ours)?;
    // A signal that stops the network must not stop this process first.
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

/// Removes this user's network directories that no process has locked.
fn remove_dead(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else { return };
    for dir in entries.flatten().map(|entry| entry.path()).filter(|dir| is_temporary(dir)) {
        // A locked directory is in use; failures to remove one are ignored.
        if let Ok(Some(_lock)) = lock(&dir)
            && remove(&dir).is_ok()
        {
            tracing::info!(dir = %dir.display(), "Removed the directory of a killed network");
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
    Err(io::Error::other("another process removed every new directory"))
}

/// Locks a directory until the result is dropped; `None` if another process has locked it.
fn lock(dir: &Path) -> io::Result<Option<File>> {
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW;
    let dir = File::options().read(true).custom_flags(flags.bits().cast_signed()).open(dir)?;
    match dir.try_lock() {
        Ok(()) => Ok(Some(dir)),
        Err(fs::TryLockError::WouldBlock) => Ok(None),
        // Without file locks, dead networks cannot be recognised, so nothing is removed.
        Err(fs::TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => Ok(None),
        Err(fs::TryLockError::Error(error)) => Err(error),
    }
}

/// Whether this is a removable network directory of this user.
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

    #[test]
    fn files_are_kept_only_in_an_empty_directory() {
        let parent = tempfile::tempdir().unwrap();
        let dir = parent.path().join("of/mine");
        let home = Home::new(&Keep::In(dir.clone())).unwrap();
        assert_eq!(home.path(), dir);
        fs::write(dir.join("registry.sqlite"), "").unwrap();
        drop(home);
        assert!(dir.join("registry.sqlite").exists());
        let refused = Home::new(&Keep::In(dir.clone())).unwrap_err();
        assert!(matches!(&refused, LocalnetError::Keep { dir: named, .. } if *named == dir), "{refused}");
    }

    #[tokio::test]
    async fn only_a_networks_directory_is_removed_at_its_end() {
        let dir = tempfile::tempdir().unwrap();
        assert!(remove_at_end(dir.path()).await.is_err());
        assert!(dir.path().exists());
    }
}
