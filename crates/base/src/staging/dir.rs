//! Atomic creation of directories, and of several entries in an existing one.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::mem;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use super::{
    CreateError, NEW, at, create_private_dirs, is_staged, lock_in_use, lock_leftover, names_in, parent_and_name,
    remove_leftovers, staged_path, sync_dir,
};

/// A directory that is filled under a temporary name and renamed to its target in one step.
///
/// An existing target may be a mount point, which cannot be the target of a rename. In that case the staged directory
/// is inside the target, and its entries move out one by one. Before the first move it gets the suffix `.moving`,
/// which marks it as complete. If the process is killed during the moves, a later call of [`finish`] completes them.
///
/// Dropping it without [`StagedDir::commit`] removes it with its contents. The next process removes what a killed
/// process left incomplete.
#[derive(Debug)]
pub struct StagedDir {
    staged: PathBuf,
    /// The lock that shows to other processes that this one still runs.
    _lock: File,
    target: PathBuf,
    way: Way,
    /// Parent directories that were created for it, innermost first.
    made: Vec<PathBuf>,
    /// Whether dropping removes the directory and `made`.
    disposable: bool,
}

/// How the target gets its contents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// The staged directory is renamed to the target.
    Rename,
    /// The entries move into the target, which is empty.
    FillEmpty,
    /// The entries move into the target, which may have others.
    Add,
}

/// The created paths, for callers that may have to undo the creation.
#[derive(Debug)]
pub struct Placed {
    paths: Vec<PathBuf>,
    made: Vec<PathBuf>,
}

/// A directory that file systems create at their root.
const LOST_AND_FOUND: &str = "lost+found";

/// Suffix of complete staged directories whose entries are being moved into the target.
const MOVING: &str = ".moving";

impl StagedDir {
    /// Stages the directory `target`, which must be absent or empty.
    pub fn begin(target: &Path) -> Result<Self, CreateError> {
        Self::begin_by(target, if is_empty_dir(target)? { Way::FillEmpty } else { Way::Rename })
    }

    /// Stages new entries of `target`, which may be absent or have other entries.
    pub fn begin_in(target: &Path) -> Result<Self, CreateError> {
        Self::begin_by(target, if target.is_dir() { Way::Add } else { Way::Rename })
    }

    fn begin_by(target: &Path, way: Way) -> Result<Self, CreateError> {
        let (parent, name) = parent_and_name(target)?;
        let place = if way == Way::Rename { parent } else { target };
        let made: Vec<_> =
            place.ancestors().take_while(|dir| dir.symlink_metadata().is_err()).map(Path::to_owned).collect();
        create_private_dirs(place).inspect_err(|_| remove_empty(&made))?;
        if let Some(busy) = remove_leftovers(place, &name)?.pop() {
            return Err(CreateError::Busy(busy));
        }
        let staged = staged_path(place, &name);
        let create = || {
            DirBuilder::new().mode(0o700).create(&staged)?;
            File::open(&staged).inspect(lock_in_use).inspect_err(|_| {
                // Still empty. The first error is the one to report.
                fs::remove_dir(&staged).ok();
            })
        };
        let in_use = create().map_err(|source| {
            remove_empty(&made);
            at(&staged, source)
        })?;
        Ok(Self { staged, _lock: in_use, target: target.to_owned(), way, made, disposable: true })
    }

    /// Path of the staged directory, valid until the commit.
    pub fn path(&self) -> &Path {
        &self.staged
    }

    /// Moves the contents to the target, durably. On an error the target is unchanged.
    pub fn commit(mut self) -> Result<Placed, CreateError> {
        sync_dir(&self.staged)?;
        let paths = if self.way == Way::Rename { self.rename() } else { self.move_entries() }?;
        self.disposable = false;
        Ok(Placed { paths, made: mem::take(&mut self.made) })
    }

    fn rename(&self) -> Result<Vec<PathBuf>, CreateError> {
        // Fails when the target has got entries in the meantime: a rename replaces only an empty directory.
        fs::rename(&self.staged, &self.target).map_err(|source| match source.kind() {
            io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => {
                CreateError::Exists(self.target.clone())
            }
            _ => at(&self.target, source),
        })?;
        sync_dir(parent_and_name(&self.target)?.0).inspect_err(|_| {
            // Best effort: the disk is failing.
            fs::rename(&self.target, &self.staged).ok();
        })?;
        Ok(vec![self.target.clone()])
    }

    fn move_entries(&mut self) -> Result<Vec<PathBuf>, CreateError> {
        if self.way == Way::FillEmpty && !is_empty_dir(&self.target)? {
            return Err(CreateError::Exists(self.target.clone()));
        }
        let names = in_order(names_in(&self.staged)?);
        if let Some(taken) = names.iter().map(|name| self.target.join(name)).find(|path| exists(path)) {
            return Err(CreateError::Exists(taken));
        }
        let moving = self.staged.with_extension(&MOVING[1..]);
        fs::rename(&self.staged, &moving).map_err(|source| at(&moving, source))?;
        self.staged = moving;
        let moved = sync_dir(&self.target)
            .and_then(|()| move_all(&self.staged, &self.target, &names))
            .and_then(|()| sync_dir(&self.target));
        if let Err(error) = moved {
            self.disposable = take_back(&self.staged, &self.target, &names);
            return Err(error);
        }
        // Empty. If this fails, the next attempt removes it.
        fs::remove_dir(&self.staged).ok();
        Ok(names.iter().map(|name| self.target.join(name)).collect())
    }
}

impl Drop for StagedDir {
    fn drop(&mut self) {
        if self.disposable {
            // Drop cannot report an error, and the next attempt removes what is left.
            fs::remove_dir_all(&self.staged).ok();
            remove_empty(&self.made);
        }
    }
}

impl Placed {
    /// Removes the created paths, ignoring errors.
    pub fn undo(self) {
        for path in self.paths {
            if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }.ok();
        }
        remove_empty(&self.made);
    }
}

/// Completes the move into `target` that a killed process had begun; `false` when there was none.
pub fn finish(target: &Path) -> Result<bool, CreateError> {
    let (_, own_name) = parent_and_name(target)?;
    // An unreadable directory has nothing to complete.
    let names = names_in(target).unwrap_or_default();
    let mut finished = false;
    for name in names.iter().filter(|name| is_staged(name, &own_name, MOVING)) {
        let moving = target.join(name);
        match lock_leftover(&moving) {
            Ok(Some(_lock)) => finish_moving(&moving, target)?,
            Ok(None) => return Err(CreateError::Busy(moving)),
            // The process that made it has just finished, or another one has completed the move.
            Err(source) if source.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(at(&moving, source)),
        }
        finished = true;
    }
    Ok(finished)
}

fn finish_moving(moving: &Path, target: &Path) -> Result<(), CreateError> {
    move_all(moving, target, &in_order(names_in(moving)?))?;
    sync_dir(target)?;
    fs::remove_dir(moving).map_err(|source| at(moving, source))
}

/// Moves entries into `target`, which must not have entries of these names.
fn move_all(from: &Path, target: &Path, names: &[OsString]) -> Result<(), CreateError> {
    for name in names {
        let to = target.join(name);
        if exists(&to) {
            return Err(CreateError::Exists(to));
        }
        fs::rename(from.join(name), &to).map_err(|source| at(&to, source))?;
    }
    Ok(())
}

/// Moves entries back to the staged directory; `false` when one could not be moved.
fn take_back(to: &Path, target: &Path, names: &[OsString]) -> bool {
    let mut is_whole = true;
    for name in names.iter().filter(|name| !exists(&to.join(name))) {
        is_whole &= fs::rename(target.join(name), to.join(name)).is_ok();
    }
    is_whole
}

/// Sorts entries: private keys before public ones, and the configuration last, because it makes the node complete.
fn in_order(mut names: Vec<OsString>) -> Vec<OsString> {
    names.sort_by_key(|name| name == "config");
    names
}

/// Removes the directories that are empty.
fn remove_empty(innermost_first: &[PathBuf]) {
    for dir in innermost_first {
        fs::remove_dir(dir).ok();
    }
}

fn exists(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

/// Whether `target` is an empty directory; `false` when it is absent, an error when it is anything else.
fn is_empty_dir(target: &Path) -> Result<bool, CreateError> {
    let (_, own_name) = parent_and_name(target)?;
    let is_kept = |name: &OsString| name != LOST_AND_FOUND && !is_staged(name, &own_name, NEW);
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

#[cfg(test)]
mod tests {
    use super::super::create_file;
    use super::*;

    #[test]
    fn a_staged_directory_appears_atomically() {
        let root = tempfile::tempdir().unwrap();
        let target = root.path().join("deep/node");

        let abandoned = StagedDir::begin(&target).unwrap();
        create_file(&abandoned.path().join("a"), 0o600, b"a").unwrap();
        assert!(!target.exists());
        drop(abandoned);
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);

        let staged = StagedDir::begin(&target).unwrap();
        create_file(&staged.path().join("a"), 0o600, b"a").unwrap();
        staged.commit().unwrap();
        assert_eq!(fs::read(target.join("a")).unwrap(), b"a");
        assert_eq!(fs::read_dir(target.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn existing_entries_are_kept() {
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
    fn an_existing_empty_directory_is_filled() {
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
    fn leftovers_of_a_killed_process_are_removed_and_directories_in_use_are_kept() {
        let root = tempfile::tempdir().unwrap();
        let target = root.path().join("node");
        let leftover = root.path().join(".node.4000000.new");
        fs::create_dir(&leftover).unwrap();
        fs::write(leftover.join("key"), "half").unwrap();
        drop(StagedDir::begin(&target).unwrap());
        assert!(!leftover.exists());

        fs::create_dir(&leftover).unwrap();
        let lock = File::open(&leftover).unwrap();
        lock.lock().unwrap();
        assert!(matches!(StagedDir::begin(&target), Err(CreateError::Busy(path)) if path == leftover));
        assert!(leftover.exists());
        // A staged directory of another node, and one with a similar name.
        for other in [".node2.1.new", ".node.backup.new"] {
            fs::create_dir(root.path().join(other)).unwrap();
        }
        drop(lock);
        drop(StagedDir::begin(&target).unwrap());
        assert_eq!(names_in(root.path()).unwrap(), [".node.backup.new", ".node2.1.new"]);
    }

    #[test]
    fn new_entries_are_added_and_replace_none() {
        let root = tempfile::tempdir().unwrap();
        let target = root.path().join("node");
        fs::create_dir(&target).unwrap();
        fs::write(target.join("list"), "old").unwrap();
        let stage = |name: &str| {
            let staged = StagedDir::begin_in(&target).unwrap();
            create_file(&staged.path().join(name), 0o600, b"new").unwrap();
            staged
        };
        let placed = stage("key").commit().unwrap();
        assert_eq!(names_in(&target).unwrap(), ["key", "list"]);
        placed.undo();
        assert_eq!(names_in(&target).unwrap(), ["list"]);
        assert!(matches!(stage("list").commit(), Err(CreateError::Exists(path)) if path == target.join("list")));
        assert_eq!(names_in(&target).unwrap(), ["list"]);
        assert_eq!(fs::read(target.join("list")).unwrap(), b"old");
    }

    #[test]
    fn an_interrupted_move_is_completed_and_one_in_progress_is_not_touched() {
        let root = tempfile::tempdir().unwrap();
        let target = root.path().join("node");
        let moving = target.join(".node.7.moving");
        fs::create_dir_all(moving.join("config")).unwrap();
        fs::create_dir(target.join("data")).unwrap();
        let lock = File::open(&moving).unwrap();
        lock.lock().unwrap();
        assert!(matches!(finish(&target), Err(CreateError::Busy(path)) if path == moving));
        assert!(matches!(StagedDir::begin(&target), Err(CreateError::Exists(_))));
        drop(lock);
        assert!(finish(&target).unwrap());
        assert_eq!(names_in(&target).unwrap(), ["config", "data"]);
        assert!(!finish(&target).unwrap() && !finish(&root.path().join("nothing")).unwrap());

        // Entries of other processes are kept.
        fs::create_dir_all(moving.join("data")).unwrap();
        assert!(matches!(finish(&target), Err(CreateError::Exists(path)) if path == target.join("data")));
        assert!(moving.join("data").exists());
    }

    #[test]
    fn created_parent_directories_are_removed_after_a_failure() {
        let root = tempfile::tempdir().unwrap();
        drop(StagedDir::begin(&root.path().join("a/b/node")).unwrap());
        assert_eq!(names_in(root.path()).unwrap(), [""; 0]);
        let staged = StagedDir::begin(&root.path().join("a/b/node")).unwrap();
        fs::write(root.path().join("a/another"), "").unwrap();
        drop(staged);
        assert_eq!(names_in(&root.path().join("a")).unwrap(), ["another"]);
    }
}
