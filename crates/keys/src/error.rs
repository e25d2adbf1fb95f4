//! Errors of key files.

use std::io;
use std::path::{Path, PathBuf};

use nym_mixnode_base::file::remedy;
use nym_mixnode_base::staging::CreateError;
use thiserror::Error;

use super::{KEY_LEN, KeyGenerationError};

/// Failed loading or creation of keys.
#[derive(Debug, Error)]
pub enum KeyError {
    #[error("key file {} does not exist", .0.display())]
    Missing(PathBuf),
    #[error("key file {} cannot be read: {source}{}", path.display(), remedy(source))]
    Read { path: PathBuf, source: io::Error },
    #[error(
        "key file {0} can be read by others (mode {mode:04o}): run `chmod 600 {0}`{group}",
        path.display(), group = group_hint(*mode)
    )]
    Loose { path: PathBuf, mode: u32 },
    #[error(
        "key directory {0} can be written to by others (mode {mode:04o}), who could replace the keys: run \
         `chmod go-w {0}` as its owner, user {owner}, or keep the keys in a directory below it",
        path.display()
    )]
    LooseDir { path: PathBuf, mode: u32, owner: u32 },
    #[error(
        "{0} belongs to user {owner}, who can read and replace the keys, and this is user {user}: run \
         `chown {user} {0}`, or run this as user {owner}",
        path.display()
    )]
    ForeignOwner { path: PathBuf, owner: u32, user: u32 },
    #[error("key file {} is not a PEM file: {problem}", path.display())]
    NotPem { path: PathBuf, problem: String },
    #[error("key file {} contains a {found:?}, expected a {expected:?}", path.display())]
    WrongKind { path: PathBuf, found: String, expected: &'static str },
    #[error("key file {} contains {len} bytes, expected {KEY_LEN}", path.display())]
    WrongLength { path: PathBuf, len: usize },
    #[error(
        "key file {} does not belong to {}: one of the two comes from another node, or is damaged",
        public.display(), private.display()
    )]
    Mismatch { private: PathBuf, public: PathBuf },
    #[error(transparent)]
    Create(#[from] CreateError),
    #[error(transparent)]
    Generate(#[from] KeyGenerationError),
}

/// Additional advice for a file that its group can read.
fn group_hint(mode: u32) -> &'static str {
    let more_than_group_read = mode & 0o037 != 0;
    if more_than_group_read {
        return "";
    }
    " (if its group must be able to read it, set keys.allow_group_read: true instead)"
}

pub(super) fn read_error(path: &Path, source: io::Error) -> KeyError {
    match source.kind() {
        io::ErrorKind::NotFound => KeyError::Missing(path.to_owned()),
        _ => KeyError::Read { path: path.to_owned(), source },
    }
}
