//! Last good topology on disk, for starts while the directory is down.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use nym_mixnode_api::Topology;
use nym_mixnode_base::file;
use serde::{Deserialize, Serialize};
use tracing::warn;

/// Maximum length of the file, above that of a topology that the client accepts.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// File with the last good topology of one directory.
#[derive(Debug, Clone)]
pub(super) struct LastGood {
    path: PathBuf,
    directory: String,
}

/// URL of the directory: after a move to another network, a node must not send packets to the old one.
#[derive(Serialize, Deserialize)]
struct Content<T> {
    directory: String,
    topology: T,
}

impl LastGood {
    /// The file at `path`, for the topologies of the directory at this URL.
    pub(super) fn new(path: impl Into<PathBuf>, directory: impl Into<String>) -> Self {
        Self { path: path.into(), directory: directory.into() }
    }

    /// Replaces the file atomically: it always has either the old or the new topology.
    ///
    /// # Errors
    /// When the disk is full or read-only, or the folder is missing.
    pub(super) fn save(&self, topology: &Topology) -> io::Result<()> {
        let content = serde_json::to_vec(&Content { directory: self.directory.clone(), topology })?;
        let temporary = self.path.with_extension("json.tmp");
        let written = write_synced(&temporary, &content).and_then(|()| fs::rename(&temporary, &self.path));
        if let Err(error) = written {
            // On a full disk the partial file would keep its space.
            fs::remove_file(&temporary).ok();
            return Err(error);
        }
        sync_folder_of(&self.path)
    }

    /// Loads the topology; `None`, with a log message, if the file is missing or unusable.
    pub(super) fn load(&self) -> Option<Topology> {
        let content = match self.read() {
            Ok(content) => content,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                warn!(path = %self.path.display(), %error, "ignoring the saved topology: cannot read it");
                return None;
            }
        };
        if content.directory != self.directory {
            warn!(path = %self.path.display(), from = %content.directory,
                "ignoring the saved topology: it is from another directory");
            return None;
        }
        Some(content.topology)
    }

    fn read(&self) -> io::Result<Content<Topology>> {
        Ok(serde_json::from_slice(&file::read(&self.path, FILE_BYTES_MAX)?)?)
    }
}

fn write_synced(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(content)?;
    file.sync_all()
}

/// Without this a power cut may undo the rename.
fn sync_folder_of(path: &Path) -> io::Result<()> {
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use nym_mixnode_api::{RegisteredGateway, testing};

    fn topology() -> Topology {
        let registration = testing::gateway("g", "192.0.2.9:1789");
        let gateway = RegisteredGateway { registration, registration_time: 1, reputation: 0 };
        Topology { gateways: vec![gateway], ..Topology::default() }
    }

    #[test]
    fn a_saved_topology_is_loaded_and_replaces_the_previous() {
        let home = tempfile::tempdir().unwrap();
        let file = LastGood::new(home.path().join("topology.json"), "http://d/");
        assert_eq!(file.load(), None);
        file.save(&Topology::default()).unwrap();
        file.save(&topology()).unwrap();
        assert_eq!(file.load(), Some(topology()));
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1, "no temporary file is left");
    }

    #[test]
    fn a_torn_or_foreign_file_is_ignored() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("topology.json");
        let file = LastGood::new(&path, "http://d/");
        file.save(&topology()).unwrap();
        let whole = fs::read(&path).unwrap();
        for length in 0..whole.len() {
            fs::write(&path, &whole[..length]).unwrap();
            assert_eq!(file.load(), None, "torn after {length} bytes");
        }
        for foreign in [&b"{}"[..], b"[]", b"\0\xff", br#"{"directory":"http://d/"}"#] {
            fs::write(&path, foreign).unwrap();
            assert_eq!(file.load(), None);
        }
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert_eq!(file.load(), None, "a folder in its place");
    }

    #[test]
    fn the_topology_of_another_directory_is_ignored() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("topology.json");
        LastGood::new(&path, "http://old/").save(&topology()).unwrap();
        assert_eq!(LastGood::new(&path, "http://new/").load(), None);
    }

    #[test]
    fn a_save_that_was_killed_half_way_leaves_the_previous_topology() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("topology.json");
        let file = LastGood::new(&path, "http://d/");
        file.save(&topology()).unwrap();
        fs::write(path.with_extension("json.tmp"), b"{\"directory\":\"http").unwrap();
        assert_eq!(file.load(), Some(topology()));
        file.save(&Topology::default()).unwrap();
        assert_eq!(file.load(), Some(Topology::default()));
    }

    #[test]
    fn a_missing_folder_is_an_error_and_not_a_panic() {
        let home = tempfile::tempdir().unwrap();
        assert!(LastGood::new(home.path().join("no/topology.json"), "http://d/").save(&topology()).is_err());
    }
}
