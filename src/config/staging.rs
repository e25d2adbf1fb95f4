//! Files that appear whole or not at all, and never in the place of others.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use thiserror::Error;

/// A directory that is filled under another name and gets its own in one step.
///
/// Where the target is there already, empty, it may be a mount point, which nothing can be renamed to: then the entries
/// move into it one by one, in the order of their names.
///
/// Dropped without [`StagedDir::commit`], it takes everything in it away again. What a killed process left is removed
/// by the next one.
#[derive(Debug)]
pub(crate) struct StagedDir {
    staged: PathBuf,
    target: PathBuf,
    into_target: bool,
    committed: bool,
    /// Locked as long as this process is at work on it.
    _lock: File,
}

/// What a file system itself keeps at its root.
const LOST_AND_FOUND: &str = "lost+found";

/// Something could not be created. Nothing was changed.
#[derive(Debug, Error)]
pub enum CreateError {
    #[error("{} exists and is left as it is", .0.display())]
    Exists(PathBuf),
    #[error("another process is at work on {}: wait until it ends", .0.display())]
    Busy(PathBuf),
    #[error("{} cannot be created: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
}

impl StagedDir {
    /// Begins a directory that is to become `target`, which must not exist, or be empty.
    pub(crate) fn begin(target: &Path) -> Result<Self, CreateError> {
        let into_target = is_empty_dir(target)?;
        let (parent, name) = parent_and_name(target)?;
        let place = if into_target { target } else { parent };
        create_private_dirs(place)?;
        remove_leftovers(place, &name)?;
        // In the same file system, for a rename cannot leave it; dotted, for no node's id can begin so.
        let staged = place.join(format!("{}{}", staged_prefix(&name), std::process::id()));
        DirBuilder::new().mode(0o700).create(&staged).map_err(|source| at(&staged, source))?;
        let lock = File::open(&staged).map_err(|source| at(&staged, source))?;
        lock.lock().map_err(|source| at(&staged, source))?;
        Ok(Self { staged, target: target.to_owned(), into_target, committed: false, _lock: lock })
    }

    /// Where the directory is until it is committed.
    pub(crate) fn path(&self) -> &Path {
        &self.staged
    }

    /// Gives the directory its name, and makes that durable.
    pub(crate) fn commit(mut self) -> Result<(), CreateError> {
        sync_dir(&self.staged)?;
        if self.into_target {
            self.move_entries()?;
        } else {
            self.rename()?;
        }
        self.committed = !self.into_target;
        let (parent, _) = parent_and_name(&self.target)?;
        sync_dir(if self.into_target { &self.target } else { parent })
    }

    fn rename(&self) -> Result<(), CreateError> {
        // Fails when somebody else has filled the target in the meantime: a directory replaces only an empty one.
        fs::rename(&self.staged, &self.target).map_err(|source| match source.kind() {
            io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => {
                CreateError::Exists(self.target.clone())
            }
            _ => at(&self.target, source),
        })
    }

    fn move_entries(&self) -> Result<(), CreateError> {
        if !is_empty_dir(&self.target)? {
            return Err(CreateError::Exists(self.target.clone()));
        }
        let mut moved: Vec<OsString> = Vec::new();
        for name in names_in(&self.staged)? {
            if let Err(source) = fs::rename(self.staged.join(&name), self.target.join(&name)) {
                for name in moved {
                    // Back to what is removed when this is dropped; more cannot be done on a disk that fails.
                    fs::rename(self.target.join(&name), self.staged.join(&name)).ok();
                }
                return Err(at(&self.target.join(&name), source));
            }
            moved.push(name);
        }
        Ok(())
    }
}

impl Drop for StagedDir {
    fn drop(&mut self) {
        if !self.committed {
            // Nobody is left to tell about a failure here, and the next attempt begins by removing it.
            fs::remove_dir_all(&self.staged).ok();
        }
    }
}

/// Writes a file that must not exist, with this mode whatever the umask, and makes it durable.
pub(crate) fn create_file(path: &Path, mode: u32, contents: &[u8]) -> Result<(), CreateError> {
    let write = || {
        // Created without any access for others; widened only after.
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode & 0o600).open(path)?;
        file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(mode))?;
        file.write_all(contents)?;
        file.sync_all()
    };
    write().map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => CreateError::Exists(path.to_owned()),
        _ => at(path, source),
    })?;
    let (parent, _) = parent_and_name(path)?;
    sync_dir(parent)
}

/// Creates a directory and its missing parents, for the owner alone.
pub(crate) fn create_private_dirs(path: &Path) -> Result<(), CreateError> {
    DirBuilder::new().mode(0o700).recursive(true).create(path).map_err(|source| at(path, source))
}

/// Makes the names in a directory durable.
pub(crate) fn sync_dir(path: &Path) -> Result<(), CreateError> {
    File::open(path).and_then(|dir| dir.sync_all()).map_err(|source| at(path, source))
}

/// Whether there is such a directory; an error when there is something in it, or something else in its place.
fn is_empty_dir(target: &Path) -> Result<bool, CreateError> {
    let (_, own_name) = parent_and_name(target)?;
    let staged = staged_prefix(&own_name);
    let is_kept = |name: &OsString| name != LOST_AND_FOUND && !name.to_string_lossy().starts_with(&staged);
    match names_in(target) {
        Ok(names) if names.iter().any(is_kept) => Err(CreateError::Exists(target.to_owned())),
        Ok(_) => Ok(true),
        Err(CreateError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(CreateError::Io { source, .. }) if source.kind() == io::ErrorKind::NotADirectory => {
            Err(CreateError::Exists(target.to_owned()))
        }
        Err(error) => Err(error),
    }
}

fn names_in(dir: &Path) -> Result<Vec<OsString>, CreateError> {
    let names = fs::read_dir(dir).and_then(|entries| entries.map(|entry| Ok(entry?.file_name())).collect());
    let mut names: Vec<_> = names.map_err(|source| at(dir, source))?;
    names.sort();
    Ok(names)
}

fn staged_prefix(name: &str) -> String {
    format!(".{name}.")
}

/// Removes what processes that were killed halfway have left: nobody holds its lock any more.
fn remove_leftovers(place: &Path, name: &str) -> Result<(), CreateError> {
    let is_staged = |entry: &OsString| {
        let process = entry.to_str().and_then(|entry| entry.strip_prefix(&staged_prefix(name)).map(str::to_owned));
        process.is_some_and(|process| process.parse::<u32>().is_ok())
    };
    for entry in names_in(place)?.into_iter().filter(is_staged) {
        let path = place.join(entry);
        let lock = File::open(&path).map_err(|source| at(&path, source))?;
        match lock.try_lock() {
            Ok(()) => fs::remove_dir_all(&path).map_err(|source| at(&path, source))?,
            Err(TryLockError::WouldBlock) => return Err(CreateError::Busy(path)),
            Err(TryLockError::Error(source)) => return Err(at(&path, source)),
        }
    }
    Ok(())
}

fn parent_and_name(path: &Path) -> Result<(&Path, String), CreateError> {
    match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) => Ok((parent, name.to_string_lossy().into_owned())),
        _ => Err(at(path, io::ErrorKind::InvalidInput.into())),
    }
}

fn at(path: &Path, source: io::Error) -> CreateError {
    CreateError::Io { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_staged_directory_appears_at_once_or_never() {
        let root = tempfile::tempdir().unwrap();
        let target = root.path().join("deep/node");

        let abandoned = StagedDir::begin(&target).unwrap();
        create_file(&abandoned.path().join("a"), 0o600, b"a").unwrap();
        assert!(!target.exists());
        drop(abandoned);
        assert_eq!(fs::read_dir(target.parent().unwrap()).unwrap().count(), 0);

        let staged = StagedDir::begin(&target).unwrap();
        create_file(&staged.path().join("a"), 0o600, b"a").unwrap();
        staged.commit().unwrap();
        assert_eq!(fs::read(target.join("a")).unwrap(), b"a");
        assert_eq!(fs::read_dir(target.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn what_exists_stays() {
        let root = tempfile::tempdir().unwrap();
        let target = root.path().join("node");
        fs::create_dir(&target).unwrap();
        let staged = StagedDir::begin(&target).unwrap();
        fs::write(target.join("key"), "precious").unwrap();
        assert!(matches!(staged.commit(), Err(CreateError::Exists(path)) if path == target));
        assert!(matches!(StagedDir::begin(&target), Err(CreateError::Exists(path)) if path == target));
        assert!(matches!(create_file(&target.join("key"), 0o600, b"other"), Err(CreateError::Exists(_))));
        assert_eq!(fs::read(target.join("key")).unwrap(), b"precious");
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_directory_that_is_there_and_empty_is_filled() {
        let root = tempfile::tempdir().unwrap();
        let target = root.path().join("node");
        fs::create_dir_all(target.join(LOST_AND_FOUND)).unwrap();
        let staged = StagedDir::begin(&target).unwrap();
        for name in ["config", "data"] {
            fs::create_dir(staged.path().join(name)).unwrap();
        }
        staged.commit().unwrap();
        assert_eq!(names_in(&target).unwrap(), ["config", "data", LOST_AND_FOUND]);
        assert_eq!(names_in(root.path()).unwrap(), ["node"]);
    }

    #[test]
    fn what_a_killed_process_left_is_removed_and_what_another_makes_is_not() {
        let root = tempfile::tempdir().unwrap();
        let target = root.path().join("node");
        let leftover = root.path().join(".node.4000000");
        fs::create_dir(&leftover).unwrap();
        fs::write(leftover.join("key"), "half").unwrap();
        drop(StagedDir::begin(&target).unwrap());
        assert!(!leftover.exists());

        fs::create_dir(&leftover).unwrap();
        let lock = File::open(&leftover).unwrap();
        lock.lock().unwrap();
        assert!(matches!(StagedDir::begin(&target), Err(CreateError::Busy(path)) if path == leftover));
        assert!(leftover.exists());
        // One of another node, and what only looks like one.
        for other in [".node2.1", ".node.backup"] {
            fs::create_dir(root.path().join(other)).unwrap();
        }
        drop(lock);
        drop(StagedDir::begin(&target).unwrap());
        assert_eq!(names_in(root.path()).unwrap(), [".node.backup", ".node2.1"]);
    }

    #[test]
    fn a_new_file_has_exactly_its_mode() {
        let root = tempfile::tempdir().unwrap();
        for mode in [0o600, 0o644] {
            let path = root.path().join(format!("{mode:o}"));
            create_file(&path, mode, b"").unwrap();
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, mode);
        }
    }
}
