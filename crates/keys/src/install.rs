//! Installation of keys into a node's directories, without overwriting existing keys.
//!
//! The new files of one directory appear atomically. If the configuration has key files in several directories, these
//! are filled one after another; after an interruption, repeating the installation completes it.

use std::collections::BTreeMap;
use std::path::Path;

use nym_mixnode_base::file;
use nym_mixnode_base::staging::{self, CreateError, Placed, StagedDir};
use zeroize::Zeroizing;

use super::access::check_new_dir;
use super::store::{self, KeyFiles, KeyPairs, KeyText};
use super::{IdentityKeyPair, KeyError, KeyFile};

/// Maximum length of a key file. Key files have 120 bytes.
const KEY_FILE_LEN_MAX: u64 = 4096;

/// Stores both pairs in `files`.
///
/// Files that have the same key already are unchanged.
///
/// # Errors
/// When a file with another key exists, or a file cannot be created. No file is created in that case.
pub fn install(files: &KeyFiles, pairs: &KeyPairs) -> Result<(), KeyError> {
    let texts = pairs.texts();
    for text in &texts {
        let path = &files.paths[text.file];
        if exists(path) && !holds(path, text) {
            return Err(CreateError::Exists(path.to_owned()).into());
        }
    }
    files.paths.dirs().into_iter().try_for_each(check_new_dir)?;
    Ok(create_missing(files, &texts)?)
}

/// Returns an error for a node that has all its keys.
///
/// # Errors
/// When all files exist.
pub fn refuse_complete(files: &KeyFiles) -> Result<(), KeyError> {
    if !files.paths.iter().all(exists) {
        return Ok(());
    }
    Err(CreateError::Exists(files.paths[KeyFile::PrivateIdentity].to_owned()).into())
}

/// Creates the missing files of a node's identity, atomically.
///
/// # Errors
/// When only the public half exists, a file has other contents than expected, or a file cannot be created.
pub fn complete_identity(files: &KeyFiles) -> Result<Identity, KeyError> {
    let [private, public] = [KeyFile::PrivateIdentity, KeyFile::PublicIdentity];
    let (pair, found) = match (exists(&files.paths[private]), exists(&files.paths[public])) {
        (true, true) => return Ok(Identity::Found),
        (false, true) => return Err(KeyError::Missing(files.paths[private].to_owned())),
        (true, false) => (store::load_identity(files)?, true),
        (false, false) => (IdentityKeyPair::generate()?, false),
    };
    create_missing(files, &[KeyText::new(private, pair.seed()), KeyText::new(public, pair.public())])?;
    let public = pair.public_base58();
    Ok(if found { Identity::Completed { public } } else { Identity::Created { public } })
}

/// Result of [`complete_identity`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// Both halves existed.
    Found,
    /// The public half was derived from the private half. The value is its base58.
    Completed { public: String },
    /// Both halves are new.
    Created { public: String },
}

/// Completes the installation of these files that a killed process had begun; `false` when there was none.
///
/// # Errors
/// When that process still runs, or on an I/O error.
pub fn finish(files: &KeyFiles) -> Result<bool, CreateError> {
    let mut finished = false;
    for dir in files.paths.dirs() {
        finished |= staging::finish(dir)?;
    }
    Ok(finished)
}

/// Creates those of the files that do not exist, or none.
fn create_missing(files: &KeyFiles, texts: &[KeyText]) -> Result<(), CreateError> {
    let mut by_dir = BTreeMap::<&Path, Vec<_>>::new();
    for text in texts {
        let path = &files.paths[text.file];
        let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else { continue };
        if !exists(path) {
            by_dir.entry(dir).or_default().push((name, text));
        }
    }
    if by_dir.len() > 1 {
        // One directory may be inside another, which then cannot be new.
        by_dir.keys().try_for_each(|dir| staging::create_private_dirs(dir))?;
    }
    let mut staged = Vec::new();
    for (dir, files) in by_dir {
        let new = StagedDir::begin_in(dir)?;
        files.into_iter().try_for_each(|(name, text)| text.create(&new.path().join(name)))?;
        staged.push(new);
    }
    let mut placed: Vec<Placed> = Vec::new();
    for new in staged {
        match new.commit() {
            Ok(new) => placed.push(new),
            Err(error) => {
                placed.into_iter().rev().for_each(Placed::undo);
                return Err(error);
            }
        }
    }
    Ok(())
}

fn exists(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

fn holds(path: &Path, text: &KeyText) -> bool {
    file::read(path, KEY_FILE_LEN_MAX).map(Zeroizing::new).is_ok_and(|contents| *contents == text.as_bytes())
}
