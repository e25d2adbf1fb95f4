//! Files that appear whole or not at all, and never in the place of others.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use thiserror::Error;

/// A directory that is filled under another name and gets its own in one step.
///
/// Dropped without [`StagedDir::commit`], it takes everything in it away again.
#[derive(Debug)]
pub(crate) struct StagedDir {
    staged: PathBuf,
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
        // In the same directory, for a rename cannot cross file systems; dotted, for no node's id can begin so.
        let staged = parent.join(format!(".{name}.{}", std::process::id()));
        remove_leftover(&staged)?;
        DirBuilder::new().mode(0o700).create(&staged).map_err(|source| at(&staged, source))?;
        Ok(Self { staged, target: target.to_owned(), committed: false })
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

/// A process with our id that was killed halfway left it.
fn remove_leftover(staged: &Path) -> Result<(), CreateError> {
    match fs::remove_dir_all(staged) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(at(staged, source)),
        _ => Ok(()),
    }
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
    fn a_new_file_has_exactly_its_mode() {
        let root = tempfile::tempdir().unwrap();
        for mode in [0o600, 0o644] {
            let path = root.path().join(format!("{mode:o}"));
            create_file(&path, mode, b"").unwrap();
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, mode);
        }
    }
}
