//! Atomic creation of files and directories: complete or absent, and never over an existing one.

mod dir;

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, OFlags, RenameFlags, renameat_with};
use rustix::io::Errno;
use thiserror::Error;

pub use dir::{Placed, StagedDir, finish};

/// Suffix of the names of incomplete files and directories.
const NEW: &str = ".new";

/// Failed creation of a file or directory. Nothing was changed.
#[derive(Debug, Error)]
pub enum CreateError {
    #[error("{} exists and is not overwritten", .0.display())]
    Exists(PathBuf),
    #[error("another process is writing {}: wait until it ends", .0.display())]
    Busy(PathBuf),
    #[error("{} cannot be created: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
}

/// Creates a file that must not exist, atomically and durably. The umask does not affect `mode`.
pub fn create_file(path: &Path, mode: u32, contents: &[u8]) -> Result<(), CreateError> {
    let (parent, name) = parent_and_name(path)?;
    remove_leftovers(parent, &name)?;
    let staged = staged_path(parent, &name);
    let created = write_new(&staged, mode, contents).map_err(|source| at(path, source)).and_then(|in_use| {
        rename_new(&staged, path)?;
        drop(in_use);
        sync_dir(parent).inspect_err(|_| {
            // The caller removes what it created before this file.
            fs::remove_file(path).ok();
        })
    });
    if created.is_err() {
        // Absent if the failure came after the rename. The first error is the one to report.
        fs::remove_file(&staged).ok();
    }
    created
}

/// Renames a file. `to` must not exist.
pub fn rename_new(from: &Path, to: &Path) -> Result<(), CreateError> {
    let renamed = match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // Many network file systems do not support RENAME_NOREPLACE.
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
        // Keep one of the two names.
        fs::remove_file(to).ok();
    })
}

/// Writes a file, which stays locked until the result is dropped.
fn write_new(path: &Path, mode: u32, contents: &[u8]) -> io::Result<File> {
    // Others get access only after the file is locked.
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode & 0o600).open(path)?;
    lock_in_use(&file);
    file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(mode))?;
    file.write_all(contents)?;
    file.sync_all()?;
    Ok(file)
}

/// Creates a directory and its missing parents, for the owner alone.
pub fn create_private_dirs(path: &Path) -> Result<(), CreateError> {
    DirBuilder::new().mode(0o700).recursive(true).create(path).map_err(|source| at(path, source))
}

/// Flushes the entries of a directory to the disk.
pub fn sync_dir(path: &Path) -> Result<(), CreateError> {
    File::open(path).and_then(|dir| dir.sync_all()).map_err(|source| at(path, source))
}

fn names_in(dir: &Path) -> Result<Vec<OsString>, CreateError> {
    let names = fs::read_dir(dir).and_then(|entries| entries.map(|entry| Ok(entry?.file_name())).collect());
    let mut names: Vec<_> = names.map_err(|source| at(dir, source))?;
    names.sort();
    Ok(names)
}

/// In the same file system, because a rename cannot leave it. Dotted, because no node id begins with a dot.
fn staged_path(place: &Path, name: &str) -> PathBuf {
    place.join(format!(".{name}.{}{NEW}", std::process::id()))
}

/// Whether `entry` is a staged version of `name`, made by any process, with the suffix `end` ([`NEW`] or `.moving`).
fn is_staged(entry: &OsString, name: &str, end: &str) -> bool {
    let entry = entry.to_string_lossy();
    let rest = entry.strip_prefix('.').and_then(|rest| rest.strip_prefix(name)).and_then(|rest| rest.strip_prefix('.'));
    rest.and_then(|rest| rest.strip_suffix(end)).is_some_and(|process| process.parse::<u32>().is_ok())
}

/// Locks a staged file or directory. The lock ends with this process.
fn lock_in_use(staged: &File) {
    // Without lock support in the file system, the clean-up gets no lock either and removes nothing.
    staged.try_lock().ok();
}

/// Removes what killed processes left of earlier attempts at `name`. Returns the paths that are still in use.
fn remove_leftovers(place: &Path, name: &str) -> Result<Vec<PathBuf>, CreateError> {
    let mut in_use = Vec::new();
    for entry in names_in(place)?.into_iter().filter(|entry| is_staged(entry, name, NEW)) {
        let path = place.join(entry);
        if !remove_unless_locked(&path).map_err(|source| at(&path, source))? {
            in_use.push(path);
        }
    }
    Ok(in_use)
}

/// Removes `path`; `false` when another process has locked it.
fn remove_unless_locked(path: &Path) -> io::Result<bool> {
    let removed = lock_leftover(path).and_then(|lock| match lock {
        None => Ok(false),
        Some(leftover) if leftover.metadata()?.is_dir() => fs::remove_dir_all(path).map(|()| true),
        Some(_) => fs::remove_file(path).map(|()| true),
    });
    // The process that made it has just finished, or another one has removed it.
    removed.or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(true) } else { Err(error) })
}

/// Locks what a process has left behind; `None` while that process runs.
///
/// A lock, because process ids are not comparable between containers.
fn lock_leftover(path: &Path) -> io::Result<Option<File>> {
    // Do not block on a named pipe that has such a name.
    let leftover = File::options().read(true).custom_flags(OFlags::NONBLOCK.bits().cast_signed()).open(path)?;
    let is_free = leftover.try_lock().is_ok();
    Ok(is_free.then_some(leftover))
}

fn parent_and_name(path: &Path) -> Result<(&Path, String), CreateError> {
    match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) => {
            // The parent of a bare name is the empty path: use the current directory.
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
    fn leftovers_of_ended_processes_are_removed_and_files_in_use_are_kept() {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        fs::create_dir_all(at(".node.1.new/data")).unwrap();
        fs::write(at(".node.2.new"), "torn").unwrap();
        fs::write(at(".node.mine.new"), "not ours").unwrap();
        fs::write(at(".other.3.new"), "another's").unwrap();
        fs::create_dir(at(".node.4.new")).unwrap();
        let in_use = File::open(at(".node.4.new")).unwrap();
        in_use.lock().unwrap();
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
