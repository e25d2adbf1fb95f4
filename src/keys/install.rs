//! Puts keys where a node keeps them: beside what is there, and never over another key.
//!
//! The private half of a pair comes first, and the public one follows from it. Whoever is killed between the two has
//! lost nothing: doing the same again completes it.

use std::fs;
use std::path::Path;

use super::IdentityKeyPair;
use super::store::{self, KeyError, KeyFiles, KeyPairs, KeyText};
use crate::config::CreateError;
use crate::config::staging;

/// Stores both pairs in `files`, none of which may hold another key.
///
/// Those that hold the same key already, of an attempt that was cut off, are left as they are.
///
/// # Errors
/// When all the files exist, or one with another key in it, or one cannot be created; then no file is new.
pub fn install(files: &KeyFiles, pairs: &KeyPairs) -> Result<(), KeyError> {
    refuse_complete(files)?;
    let paths = files.paths();
    let texts = KeyText::of_pairs(pairs);
    for (path, text) in paths.iter().zip(&texts) {
        if exists(path) && !holds(path, text) {
            return Err(CreateError::Exists((*path).to_owned()).into());
        }
    }
    let missing = paths.into_iter().zip(&texts).filter(|(path, _)| !exists(path));
    Ok(create_all(missing)?)
}

/// Refuses a node that has all its keys.
///
/// # Errors
/// When all four files exist.
pub fn refuse_complete(files: &KeyFiles) -> Result<(), KeyError> {
    let complete = files.paths().into_iter().all(exists);
    if complete { Err(CreateError::Exists(files.private_identity.clone()).into()) } else { Ok(()) }
}

/// The identity of a node that may have none yet, of which then both halves are made, or none.
///
/// # Errors
/// When there is a public half alone, or a half is not what its name says, or no file can be created.
pub fn complete_identity(files: &KeyFiles) -> Result<Identity, KeyError> {
    let (pair, found) = match (exists(&files.private_identity), exists(&files.public_identity)) {
        (true, true) => return Ok(Identity::Found),
        (false, true) => return Err(KeyError::Missing(files.private_identity.clone())),
        (true, false) => (store::load_identity(files)?, true),
        (false, false) => (IdentityKeyPair::generate()?, false),
    };
    let public = pair.public_base58();
    let texts = KeyText::of_identity(&pair);
    let paths = [files.private_identity.as_path(), files.public_identity.as_path()];
    create_all(paths.into_iter().zip(&texts).filter(|(path, _)| !exists(path)))?;
    Ok(if found { Identity::Completed { public } } else { Identity::Created { public } })
}

/// What [`complete_identity`] did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// Nothing: both halves were there.
    Found,
    /// The public half, in base58, was made from the private one.
    Completed { public: String },
    /// Both halves are new.
    Created { public: String },
}

/// Creates every file, or takes away again those that it created.
fn create_all<'a>(files: impl Iterator<Item = (&'a Path, &'a KeyText)>) -> Result<(), CreateError> {
    let mut created = Vec::new();
    for (path, text) in files {
        let outcome = path.parent().map_or(Ok(()), staging::create_private_dirs).and_then(|()| text.create(path));
        if let Err(error) = outcome {
            for path in created.into_iter().rev() {
                // What remains is completed the next time.
                fs::remove_file(path).ok();
            }
            return Err(error);
        }
        created.push(path);
    }
    Ok(())
}

fn exists(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

fn holds(path: &Path, text: &KeyText) -> bool {
    fs::read(path).map(zeroize::Zeroizing::new).is_ok_and(|contents| *contents == text.as_bytes())
}
