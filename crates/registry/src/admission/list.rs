//! List of identities that may register, reloaded when its file changes.

use std::collections::HashSet;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use std::{fs, io};

use nym_mixnode_api::signing;
use nym_mixnode_base::file::read_text;
use tracing::{info, warn};

use super::AdmissionError;

/// Shortest time between two checks of the file.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Maximum length of the file: far above the identities of all entries that a registry can have.
const FILE_BYTES_MAX: u64 = 16 << 20;

#[derive(Debug)]
pub(super) struct AdmitList {
    path: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    identities: HashSet<String>,
    /// Fingerprint of the file at the last read, successful or not; `None` if it could not be read.
    stamp: Option<Stamp>,
    looked_at: Instant,
}

/// Fingerprint of a file version: differs after a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    modified: (i64, i64),
    len: u64,
    inode: u64,
}

impl Stamp {
    fn of(path: &Path) -> io::Result<Self> {
        let metadata = fs::metadata(path)?;
        if !metadata.is_file() {
            return Err(io::Error::other("it is not a regular file"));
        }
        let modified = (metadata.mtime(), metadata.mtime_nsec());
        Ok(Self { modified, len: metadata.len(), inode: metadata.ino() })
    }
}

impl AdmitList {
    pub(super) fn open(path: &Path) -> Result<Self, AdmissionError> {
        // Taken before the content is read, so that a change in between causes another read.
        let stamp = Stamp::of(path).ok();
        let state = State { identities: read(path)?, stamp, looked_at: Instant::now() };
        Ok(Self { path: path.to_owned(), state: Mutex::new(state) })
    }

    /// Whether the file contains this identity.
    pub(super) fn has(&self, identity: &str) -> bool {
        self.has_at(identity, Instant::now())
    }

    fn has_at(&self, identity: &str, now: Instant) -> bool {
        // The content is valid even after a panic: it is replaced in one step.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if now.saturating_duration_since(state.looked_at) >= LOOK_EVERY {
            state.looked_at = now;
            match state.refresh(&self.path) {
                Ok(false) => {}
                Ok(true) => info!(identities = state.identities.len(), "reloaded the list of admitted identities"),
                Err(error) => warn!(%error, "keeping the earlier list of admitted identities"),
            }
        }
        state.identities.contains(identity)
    }
}

impl State {
    /// Reloads a changed file; returns whether it had changed. Each invalid version returns one error.
    fn refresh(&mut self, path: &Path) -> Result<bool, AdmissionError> {
        let stamp = Stamp::of(path);
        if stamp.as_ref().ok() == self.stamp.as_ref() {
            return Ok(false);
        }
        self.stamp = stamp.as_ref().ok().copied();
        stamp.map_err(|source| AdmissionError::Unreadable { path: path.to_owned(), source })?;
        self.identities = read(path)?;
        Ok(true)
    }
}

fn read(path: &Path) -> Result<HashSet<String>, AdmissionError> {
    let text = read_text(path, FILE_BYTES_MAX);
    let text = text.map_err(|source| AdmissionError::Unreadable { path: path.to_owned(), source })?;
    let mut identities = HashSet::new();
    for (index, line) in text.lines().enumerate() {
        let identity = line.split('#').next().unwrap_or_default().trim();
        if identity.is_empty() {
            continue;
        }
        if signing::decode::<32>(identity).is_none() {
            let text = identity.chars().take(60).collect();
            return Err(AdmissionError::NotAnIdentity { path: path.to_owned(), line: index + 1, text });
        }
        identities.insert(identity.to_owned());
    }
    Ok(identities)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> String {
        bs58::encode([byte; 32]).into_string()
    }

    #[test]
    fn a_changed_file_is_reloaded_within_a_second() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("list");
        fs::write(&path, key(1)).unwrap();
        let list = AdmitList::open(&path).unwrap();
        let looked_at = list.state.lock().unwrap().looked_at;
        let has = |after: Duration| [1, 2].map(|byte| list.has_at(&key(byte), looked_at + after));
        assert_eq!(has(LOOK_EVERY), [true, false]);
        fs::write(&path, format!("# without the first\n{}\n", key(2))).unwrap();
        assert_eq!(has(LOOK_EVERY * 2 - Duration::from_millis(1)), [true, false], "too soon for another check");
        assert_eq!(has(LOOK_EVERY * 2), [false, true]);
        // Editors and Kubernetes replace files this way.
        let next = folder.path().join("next");
        fs::write(&next, format!("# with the first again\n{}\n", key(1))).unwrap();
        fs::rename(&next, &path).unwrap();
        assert_eq!(has(LOOK_EVERY * 3), [true, false]);
    }

    #[test]
    fn an_unreadable_list_is_reported_once_and_the_earlier_one_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("list");
        fs::write(&path, key(1)).unwrap();
        let list = AdmitList::open(&path).unwrap();
        let mut state = list.state.into_inner().unwrap();
        let breakages: [(&str, &dyn Fn()); 3] = [
            ("not a key", &|| fs::write(&path, format!("{}\nnot a key\n", key(2))).unwrap()),
            ("No such file", &|| fs::remove_file(&path).unwrap()),
            ("not a regular file", &|| fs::create_dir(&path).unwrap()),
        ];
        for (words, spoil) in breakages {
            spoil();
            // Both a missing file and a folder are unreadable: the state must not depend on the previous case.
            state.stamp = state.stamp.or(Some(Stamp { modified: (0, 0), len: 0, inode: 0 }));
            let error = state.refresh(&path).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
            assert!(!state.refresh(&path).unwrap(), "reported once: {words}");
            assert!(state.identities.contains(&key(1)) && state.identities.len() == 1);
        }
        fs::remove_dir(&path).unwrap();
        fs::write(&path, key(2)).unwrap();
        assert!(state.refresh(&path).unwrap());
        assert!(state.identities.contains(&key(2)) && state.identities.len() == 1);
    }
}
