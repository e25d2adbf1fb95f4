//! Files that appear whole or not at all, and never in the place of others.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use thiserror::Error;

/// A directory that is filled under another name and gets its own in one step.
///
/// Dropped without [`StagedDir::commit`], it takes everything in it away again.
#[derive(Debug)]
pub(crate) struct StagedDir {
    staged: PathBuf,
    /// Tells whoever finds the directory that its maker is still at work.
    _at_work: File,
    target: PathBuf,
    committed: bool,
}

/// Something could not be created. Nothing was changed.
#[derive(Debug, Error)]
pub enum CreateError {
    #[error("{} exists and is left as it is", .0.display())]
    Exists(PathBuf),
    #[error("{} cannot be created: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
}

impl StagedDir {
    /// Begins a directory that is to become `target`, which must not exist, or be empty.
    pub(crate) fn begin(target: &Path) -> Result<Self, CreateError> {
        refuse_filled(target)?;
        let (parent, name) = parent_and_name(target)?;
        create_private_dirs(parent)?;
        remove_leftovers(parent, &name)?;
        let staged = staged_path(parent, &name);
        let create = || {
            DirBuilder::new().mode(0o700).create(&staged)?;
            File::open(&staged).inspect(mark_at_work).inspect_err(|_| {
                // Still empty; nobody is left to tell about a second failure.
                fs::remove_dir(&staged).ok();
            })
        };
        let at_work = create().map_err(|source| at(&staged, source))?;
        Ok(Self { staged, _at_work: at_work, target: target.to_owned(), committed: false })
    }

    /// Where the directory is until it is committed.
    pub(crate) fn path(&self) -> &Path {
        &self.staged
    }

    /// Gives the directory its name, and makes that durable.
    pub(crate) fn commit(mut self) -> Result<(), CreateError> {
        sync_dir(&self.staged)?;
        // Fails when somebody else has filled the target in the meantime: a directory replaces only an empty one.
        fs::rename(&self.staged, &self.target).map_err(|source| match source.kind() {
            io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => {
                CreateError::Exists(self.target.clone())
            }
            _ => at(&self.target, source),
        })?;
        self.committed = true;
        let (parent, _) = parent_and_name(&self.target)?;
        sync_dir(parent)
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

fn refuse_filled(target: &Path) -> Result<(), CreateError> {
    match fs::read_dir(target) {
        Ok(mut entries) => match entries.next() {
            None => Ok(()),
            Some(_) => Err(CreateError::Exists(target.to_owned())),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => Err(CreateError::Exists(target.to_owned())),
        Err(source) => Err(at(target, source)),
    }
}

/// In the same directory, for a rename cannot cross file systems; dotted, for no node's id can begin so.
fn staged_path(parent: &Path, name: &str) -> PathBuf {
    parent.join(format!(".{name}.{}.new", std::process::id()))
}

/// Locks what is staged, which the end of its maker undoes.
fn mark_at_work(staged: &File) {
    // A file system without locks gives none to whoever cleans up either, and so loses nothing that is in use.
    staged.try_lock().ok();
}

/// Takes away what killed processes left of earlier attempts at `name`.
///
/// One that is still at work holds a lock; a process id would say nothing between two containers.
fn remove_leftovers(parent: &Path, name: &str) -> Result<(), CreateError> {
    let begin = format!(".{name}.");
    for entry in fs::read_dir(parent).map_err(|source| at(parent, source))? {
        let path = entry.map_err(|source| at(parent, source))?.path();
        let file_name = path.file_name().unwrap_or_default().to_string_lossy();
        let id = file_name.strip_prefix(&begin).and_then(|rest| rest.strip_suffix(".new"));
        if id.is_some_and(|id| id.parse::<u32>().is_ok()) {
            remove_unless_locked(&path).map_err(|source| at(&path, source))?;
        }
    }
    Ok(())
}

fn remove_unless_locked(path: &Path) -> io::Result<()> {
    let removed = File::open(path).and_then(|leftover| match leftover.try_lock() {
        Err(TryLockError::WouldBlock | TryLockError::Error(_)) => Ok(()),
        Ok(()) if leftover.metadata()?.is_dir() => fs::remove_dir_all(path),
        Ok(()) => fs::remove_file(path),
    });
    // Its maker has just finished, or somebody else was faster.
    removed.or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
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
