//! A directory, or what is new in one, that appears whole or not at all.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::mem;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use super::{
    CreateError, NEW, at, create_private_dirs, is_staged, lock_of_the_dead, mark_at_work, names_in, parent_and_name,
    remove_leftovers, staged_path, sync_dir,
};

/// A directory that is filled under another name, and gets its own in one step.
///
/// Where the target is there already it may be a mount point, which nothing can be renamed to. Then the staged
/// directory lies in it, and its entries move out one by one. Before the first one does, it is renamed to say that
/// nothing of it lacks any more: whoever finds it by this name, after its maker was killed, completes the move with
/// [`finish`].
///
/// Dropped without [`StagedDir::commit`], it takes everything in it away again. What a killed process left unfinished
/// is removed by the next one.
#[derive(Debug)]
pub struct StagedDir {
    staged: PathBuf,
    /// Tells whoever finds the directory that its maker is still at work.
    _at_work: File,
    target: PathBuf,
    way: Way,
    /// Directories above it that were made for it, the innermost first.
    made: Vec<PathBuf>,
    /// Whether it goes when this is dropped, and those above with it.
    disposable: bool,
}

/// How the target gets its contents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// It becomes the target.
    Rename,
    /// The entries move into the target, which is empty.
    FillEmpty,
    /// The entries move into the target, beside others.
    Add,
}

/// What was put in its place, for somebody who may have to take it away again.
#[derive(Debug)]
pub struct Placed {
    paths: Vec<PathBuf>,
    made: Vec<PathBuf>,
}

/// What a file system itself keeps at its root.
const LOST_AND_FOUND: &str = "lost+found";

/// How the names of directories end whose entries are on their way out.
const MOVING: &str = ".moving";

impl StagedDir {
    /// Begins a directory that is to become `target`, which must not exist, or be empty.
    pub fn begin(target: &Path) -> Result<Self, CreateError> {
        Self::begin_by(target, if is_empty_dir(target)? { Way::FillEmpty } else { Way::Rename })
    }

    /// Begins entries that are to be new in `target`, which may not be there yet, or have others.
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
            File::open(&staged).inspect(mark_at_work).inspect_err(|_| {
                // Still empty; nobody is left to tell about a second failure.
                fs::remove_dir(&staged).ok();
            })
        };
        let at_work = create().map_err(|source| {
            remove_empty(&made);
            at(&staged, source)
        })?;
        Ok(Self { staged, _at_work: at_work, target: target.to_owned(), way, made, disposable: true })
    }

    /// Where the directory is until it is committed.
    pub fn path(&self) -> &Path {
        &self.staged
    }

    /// Puts it in its place, and makes that durable. When that fails nothing is in its place.
    pub fn commit(mut self) -> Result<Placed, CreateError> {
        sync_dir(&self.staged)?;
        let paths = if self.way == Way::Rename { self.rename() } else { self.move_entries() }?;
        self.disposable = false;
        Ok(Placed { paths, made: mem::take(&mut self.made) })
    }

    fn rename(&self) -> Result<Vec<PathBuf>, CreateError> {
        // Fails when somebody else has filled the target in the meantime: a directory replaces only an empty one.
        fs::rename(&self.staged, &self.target).map_err(|source| match source.kind() {
            io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => {
                CreateError::Exists(self.target.clone())
            }
            _ => at(&self.target, source),
        })?;
        sync_dir(parent_and_name(&self.target)?.0).inspect_err(|_| {
            // More cannot be done on a disk that fails.
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
        // Empty; what stays of it is removed the next time.
        fs::remove_dir(&self.staged).ok();
        Ok(names.iter().map(|name| self.target.join(name)).collect())
    }
}

impl Drop for StagedDir {
    fn drop(&mut self) {
        if self.disposable {
            // Nobody is left to tell about a failure here, and the next attempt begins by removing it.
            fs::remove_dir_all(&self.staged).ok();
            remove_empty(&self.made);
        }
    }
}

impl Placed {
    /// Takes it away again, as far as the disk allows.
    pub fn undo(self) {
        for path in self.paths {
            if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }.ok();
        }
        remove_empty(&self.made);
    }
}

/// Completes what a process that was killed had begun to move into `target`; whether there was such a thing.
pub fn finish(target: &Path) -> Result<bool, CreateError> {
    let (_, own_name) = parent_and_name(target)?;
    // Where nothing can be seen, nothing can be moved either.
    let names = names_in(target).unwrap_or_default();
    let mut finished = false;
    for name in names.iter().filter(|name| is_staged(name, &own_name, MOVING)) {
        let moving = target.join(name);
        match lock_of_the_dead(&moving) {
            Ok(Some(_lock)) => finish_moving(&moving, target)?,
            Ok(None) => return Err(CreateError::Busy(moving)),
            // Its maker has just finished, or somebody else was faster.
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

/// Moves entries into `target`, where nothing may have such a name.
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

/// Takes moved entries back to where they are removed; whether all of them are there.
fn take_back(to: &Path, target: &Path, names: &[OsString]) -> bool {
    let mut is_whole = true;
    for name in names.iter().filter(|name| !exists(&to.join(name))) {
        is_whole &= fs::rename(target.join(name), to.join(name)).is_ok();
    }
    is_whole
}

/// In their order, private keys before public ones, and a configuration after all else: without it there is no node.
fn in_order(mut names: Vec<OsString>) -> Vec<OsString> {
    names.sort_by_key(|name| name == "config");
    names
}

/// Removes directories, unless somebody else has put something there.
fn remove_empty(innermost_first: &[PathBuf]) {
    for dir in innermost_first {
        // A directory that isn't empty stays, and so do those above.
        fs::remove_dir(dir).ok();
    }
}

fn exists(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

/// Whether there is such a directory; an error when there is something in it, or something else in its place.
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
    fn a_staged_directory_appears_at_once_or_never() {
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
    fn what_is_new_goes_beside_what_is_there_and_never_over_it() {
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
    fn a_move_that_was_cut_off_is_finished_and_one_under_way_is_left_alone() {
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

        // What somebody else has put there in the meantime stays.
        fs::create_dir_all(moving.join("data")).unwrap();
        assert!(matches!(finish(&target), Err(CreateError::Exists(path)) if path == target.join("data")));
        assert!(moving.join("data").exists());
    }

    #[test]
    fn directories_that_were_made_on_the_way_go_again() {
        let root = tempfile::tempdir().unwrap();
        drop(StagedDir::begin(&root.path().join("a/b/node")).unwrap());
        assert_eq!(names_in(root.path()).unwrap(), [""; 0]);
        let staged = StagedDir::begin(&root.path().join("a/b/node")).unwrap();
        fs::write(root.path().join("a/another"), "").unwrap();
        drop(staged);
        assert_eq!(names_in(&root.path().join("a")).unwrap(), ["another"]);
    }
}
