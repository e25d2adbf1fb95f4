//! Files that appear whole or not at all, and never in the place of others.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
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
    /// Tells whoever finds the directory that its maker is still at work.
    _at_work: File,
    target: PathBuf,
    into_target: bool,
    committed: bool,
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
        if let Some(busy) = remove_leftovers(place, &name)?.pop() {
            return Err(CreateError::Busy(busy));
        }
        let staged = staged_path(place, &name);
        let create = || {
            DirBuilder::new().mode(0o700).create(&staged)?;
            File::open(&staged).inspect(mark_at_work).inspect_err(|_| {
                // Still empty; nobody is left to tell about a second failure.
                fs::remove_dir(&staged).ok();
            })
        };
        let at_work = create().map_err(|source| at(&staged, source))?;
        Ok(Self { staged, _at_work: at_work, target: target.to_owned(), into_target, committed: false })
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

/// Creates a file that must not exist, with this mode whatever the umask: whole and durable, or not at all.
pub(crate) fn create_file(path: &Path, mode: u32, contents: &[u8]) -> Result<(), CreateError> {
    let (parent, name) = parent_and_name(path)?;
    remove_leftovers(parent, &name)?;
    let staged = staged_path(parent, &name);
    let created = write_new(&staged, mode, contents).map_err(|source| at(path, source)).and_then(|at_work| {
        rename_new(&staged, path)?;
        drop(at_work);
        sync_dir(parent).inspect_err(|_| {
            // Whoever made it takes the rest away, too.
            fs::remove_file(path).ok();
        })
    });
    if created.is_err() {
        // Gone already if the failure came after the renaming; nobody is left to tell about any other.
        fs::remove_file(&staged).ok();
    }
    created
}

/// Gives a file another name, which must be free.
pub(crate) fn rename_new(from: &Path, to: &Path) -> Result<(), CreateError> {
    let renamed = match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // File systems over a network often know only the older way.
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => link_instead(from, to),
        renamed => renamed.map_err(io::Error::from),
    };
    renamed.map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => CreateError::Exists(to.to_owned()),
        _ => at(to, source),
    })
}

fn link_instead(from: &Path, to: &Path) -> io::Result<()> {
    fs::hard_link(from, to)?;
    fs::remove_file(from).inspect_err(|_| {
        // One name or the other, not both.
        fs::remove_file(to).ok();
    })
}

/// The file is locked as long as the result lives.
fn write_new(path: &Path, mode: u32, contents: &[u8]) -> io::Result<File> {
    // Created without any access for others; widened only after.
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode & 0o600).open(path)?;
    mark_at_work(&file);
    file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(mode))?;
    file.write_all(contents)?;
    file.sync_all()?;
    Ok(file)
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
    let is_kept = |name: &OsString| name != LOST_AND_FOUND && !is_staged(name, &own_name);
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

/// In the same file system, for a rename cannot leave it; dotted, for no node's id can begin so.
fn staged_path(place: &Path, name: &str) -> PathBuf {
    place.join(format!(".{name}.{}.new", std::process::id()))
}

/// Whether `entry` is what some process stages, or has staged, as `name`.
fn is_staged(entry: &OsString, name: &str) -> bool {
    let entry = entry.to_string_lossy();
    let rest = entry.strip_prefix('.').and_then(|rest| rest.strip_prefix(name)).and_then(|rest| rest.strip_prefix('.'));
    rest.and_then(|rest| rest.strip_suffix(".new")).is_some_and(|process| process.parse::<u32>().is_ok())
}

/// Locks what is staged, which the end of its maker undoes.
fn mark_at_work(staged: &File) {
    // A file system without locks gives none to whoever cleans up either, and so loses nothing that is in use.
    staged.try_lock().ok();
}

/// Takes away what killed processes left of earlier attempts at `name`; gives what a living one is still at work on.
///
/// That one holds a lock; a process id would say nothing between two containers.
fn remove_leftovers(place: &Path, name: &str) -> Result<Vec<PathBuf>, CreateError> {
    let mut at_work = Vec::new();
    for entry in names_in(place)?.into_iter().filter(|entry| is_staged(entry, name)) {
        let path = place.join(entry);
        if !remove_unless_locked(&path).map_err(|source| at(&path, source))? {
            at_work.push(path);
        }
    }
    Ok(at_work)
}

/// `false` when somebody holds its lock.
fn remove_unless_locked(path: &Path) -> io::Result<bool> {
    let removed = File::open(path).and_then(|leftover| match leftover.try_lock() {
        Err(TryLockError::WouldBlock | TryLockError::Error(_)) => Ok(false),
        Ok(()) if leftover.metadata()?.is_dir() => fs::remove_dir_all(path).map(|()| true),
        Ok(()) => fs::remove_file(path).map(|()| true),
    });
    // Its maker has just finished, or somebody else was faster.
    removed.or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(true) } else { Err(error) })
}

fn parent_and_name(path: &Path) -> Result<(&Path, String), CreateError> {
    match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) => {
            // A bare name lies in the current directory, which has no name in it.
            let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
            Ok((parent, name.to_string_lossy().into_owned()))
        }
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
        // One of another node, and what only looks like one.
        for other in [".node2.1.new", ".node.backup.new"] {
            fs::create_dir(root.path().join(other)).unwrap();
        }
        drop(lock);
        drop(StagedDir::begin(&target).unwrap());
        assert_eq!(names_in(root.path()).unwrap(), [".node.backup.new", ".node2.1.new"]);
    }

    #[test]
    fn leftovers_of_the_dead_are_removed_and_those_at_work_are_left_alone() {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        fs::create_dir_all(at(".node.1.new/data")).unwrap();
        fs::write(at(".node.2.new"), "torn").unwrap();
        fs::write(at(".node.mine.new"), "not ours").unwrap();
        fs::write(at(".other.3.new"), "another's").unwrap();
        fs::create_dir(at(".node.4.new")).unwrap();
        let at_work = File::open(at(".node.4.new")).unwrap();
        at_work.lock().unwrap();
        create_file(&at("node"), 0o600, b"whole").unwrap();
        let entries = fs::read_dir(root.path()).unwrap();
        let mut left: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        left.sort();
        assert_eq!(left, [".node.4.new", ".node.mine.new", ".other.3.new", "node"]);
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
