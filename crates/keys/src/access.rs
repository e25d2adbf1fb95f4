//! Access checks for private keys: owners and modes of their files and directories.
//!
//! The node corrects its own files: it removes the group's read permission, which `fsGroup` adds after a restore in
//! Kubernetes. It rejects other unsafe modes and owners with an error that contains the command to correct them.

use std::collections::BTreeSet;
use std::fs::{self, File, Metadata, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::process::{getegid, geteuid, getgroups};
use tracing::{info, warn};

use super::KeyFile;
use super::error::{KeyError, read_error};

/// Users that may be able to read a private key file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PrivateAccess {
    /// Only its owner.
    Owner,
    /// Its group as well: the only way for a pod's user to read a Kubernetes secret.
    Group,
    /// Any user.
    Anybody,
}

/// Purpose of loading the keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KeyUse {
    /// Running a node.
    Run,
    /// Inspection or copying: no mode is changed, and root may do it for the keys of any user.
    Inspect,
}

const OTHERS: u32 = 0o007;
const GROUP_WRITES: u32 = 0o020;
const OTHERS_WRITE: u32 = 0o002;
/// The sticky bit: only the owner of an entry can replace it.
const STICKY: u32 = 0o1000;

/// User and groups of a process.
struct Process {
    user: u32,
    groups: BTreeSet<u32>,
}

impl Process {
    fn this() -> Self {
        let more = getgroups().unwrap_or_default();
        let groups = more.into_iter().chain([getegid()]).map(rustix::fs::Gid::as_raw).collect();
        Self { user: geteuid().as_raw(), groups }
    }

    fn is_in_group_of(&self, metadata: &Metadata) -> bool {
        self.groups.contains(&metadata.gid())
    }

    /// Whether to accept the owner. Root always is, because it can access every file. With group access, any user is.
    fn trusts_owner_of(&self, metadata: &Metadata, access: PrivateAccess, key_use: KeyUse) -> bool {
        [0, self.user].contains(&metadata.uid())
            || key_use == KeyUse::Inspect && self.user == 0
            || access == PrivateAccess::Group && self.is_in_group_of(metadata)
    }
}

/// Rejects a private key file that other users can read or may have created.
pub(super) fn check_file(file: &File, path: &Path, access: PrivateAccess, key_use: KeyUse) -> Result<(), KeyError> {
    let allowed = match access {
        PrivateAccess::Owner => 0o700,
        PrivateAccess::Group => 0o740,
        PrivateAccess::Anybody => return Ok(()),
    };
    // From the open file, because the path may have been replaced.
    let metadata = file.metadata().map_err(|source| read_error(path, source))?;
    let (process, mode) = (Process::this(), metadata.permissions().mode() & 0o7777);
    let is_own_group = process.is_in_group_of(&metadata);
    if !process.trusts_owner_of(&metadata, access, key_use) {
        return Err(foreign(path, &metadata, &process));
    }
    if mode & 0o077 & !allowed == 0 {
        return Ok(());
    }
    let is_only_its_group = mode & OTHERS == 0;
    let is_own = metadata.uid() == process.user;
    if is_only_its_group && is_own {
        if key_use == KeyUse::Inspect {
            return Ok(());
        }
        if file.set_permissions(Permissions::from_mode(mode & allowed)).is_ok() {
            closed(path, mode, &metadata, is_own_group);
            return Ok(());
        }
    }
    if is_only_its_group && is_own_group {
        if key_use == KeyUse::Run {
            let (path, group) = (path.display(), metadata.gid());
            warn!(%path, group, "Key file is readable for its group, which is this process's own");
        }
        return Ok(());
    }
    Err(KeyError::Loose { path: path.to_owned(), mode })
}

/// Logs that the group's access to a key file was removed.
fn closed(path: &Path, mode: u32, metadata: &Metadata, is_own_group: bool) {
    let (path, mode, group) = (path.display(), format!("{mode:04o}"), metadata.gid());
    if is_own_group {
        info!(%path, was = %mode, "Closed a key file that its group could read");
    } else {
        warn!(%path, was = %mode, group, "Closed a key file that another group could read until now");
    }
}

/// Rejects directories in which other users could replace private key files.
pub(super) fn check_dirs_of(
    files: [&Path; KeyFile::PRIVATE.len()],
    access: PrivateAccess,
    key_use: KeyUse,
) -> Result<(), KeyError> {
    if access == PrivateAccess::Anybody {
        return Ok(());
    }
    // A mounted Kubernetes secret consists of symbolic links.
    let real = files.iter().filter_map(|file| fs::canonicalize(file).ok());
    let all: BTreeSet<PathBuf> =
        files.iter().map(PathBuf::from).chain(real).filter_map(|file| file.parent().map(Path::to_owned)).collect();
    let process = Process::this();
    all.iter().try_for_each(|dir| check_dir(dir, access, key_use, &process))
}

/// As [`check_dirs_of`], for a directory that keys will be created in. A missing one is created for its owner only.
pub(super) fn check_new_dir(dir: &Path) -> Result<(), KeyError> {
    check_dir(dir, PrivateAccess::Owner, KeyUse::Run, &Process::this())
}

fn check_dir(dir: &Path, access: PrivateAccess, key_use: KeyUse, process: &Process) -> Result<(), KeyError> {
    let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
    // Opening the file reports this error.
    let Ok(metadata) = fs::metadata(dir) else { return Ok(()) };
    let (mode, is_own_group) = (metadata.permissions().mode() & 0o7777, process.is_in_group_of(&metadata));
    if !process.trusts_owner_of(&metadata, access, key_use) {
        return Err(foreign(dir, &metadata, process));
    }
    let loose = || KeyError::LooseDir { path: dir.to_owned(), mode, owner: metadata.uid() };
    if mode & STICKY != 0 {
        return Ok(());
    }
    if mode & OTHERS_WRITE != 0 {
        return Err(loose());
    }
    if mode & GROUP_WRITES == 0 || is_own_group || key_use == KeyUse::Inspect && metadata.uid() == process.user {
        return Ok(());
    }
    // Only the owner can change the mode, which fsGroup has widened.
    fs::set_permissions(dir, Permissions::from_mode(mode & !GROUP_WRITES)).map_err(|_| loose())?;
    let (dir, was, group) = (dir.display(), format!("{mode:04o}"), metadata.gid());
    warn!(%dir, %was, group, "Closed a key directory in which another group could replace keys until now");
    Ok(())
}

fn foreign(path: &Path, metadata: &Metadata, process: &Process) -> KeyError {
    KeyError::ForeignOwner { path: path.to_owned(), owner: metadata.uid(), user: process.user }
}
