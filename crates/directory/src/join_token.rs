//! The token that admits nodes to a private network, in a file of its own.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;
use zeroize::Zeroizing;

/// A shorter token can be guessed.
const BYTES_MIN: usize = 16;

/// A file has no usable join token.
#[derive(Debug, Error)]
pub enum JoinTokenError {
    /// The file cannot be read.
    #[error("cannot read {path}: {source}; check the path and its permissions")]
    Unreadable {
        /// As given.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The token is too short.
    #[error(
        "the join token in {path} has {len} bytes; use {BYTES_MIN} or more, for example from `openssl rand -hex 32`"
    )]
    TooShort {
        /// The file.
        path: PathBuf,
        /// Without white space around it.
        len: usize,
    },
}

/// Reads the token in a file, without white space around it.
///
/// # Errors
/// When the file cannot be read or its token has fewer than 16 bytes.
pub fn read_join_token(path: &Path) -> Result<Zeroizing<Vec<u8>>, JoinTokenError> {
    let text = fs::read(path).map(Zeroizing::new);
    let text = text.map_err(|source| JoinTokenError::Unreadable { path: path.to_owned(), source })?;
    let token = Zeroizing::new(text.trim_ascii().to_vec());
    if token.len() < BYTES_MIN {
        return Err(JoinTokenError::TooShort { path: path.to_owned(), len: token.len() });
    }
    Ok(token)
}
