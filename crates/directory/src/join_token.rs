//! Join token for private networks, read from a file.

use std::io;
use std::path::{Path, PathBuf};

use nym_mixnode_base::secret_file;
use thiserror::Error;
use zeroize::Zeroizing;

/// Shorter tokens can be guessed.
const BYTES_MIN: usize = 16;

/// Maximum length of the file.
const FILE_BYTES_MAX: usize = 4096;

/// Error while reading a join token.
#[derive(Debug, Error)]
pub enum JoinTokenError {
    /// The file cannot be read.
    #[error("cannot read {path}: {source}; check the path and its permissions")]
    Unreadable {
        /// Path as given.
        path: PathBuf,
        /// Underlying I/O error.
        source: io::Error,
    },
    /// The token is too short.
    #[error(
        "the join token in {path} has {len} bytes; use {BYTES_MIN} or more, for example from `openssl rand -hex 32`"
    )]
    TooShort {
        /// Path of the file.
        path: PathBuf,
        /// Length in bytes, without surrounding white space.
        len: usize,
    },
}

/// Reads a token from a file, without surrounding white space.
///
/// # Errors
/// When the file cannot be read or its token has fewer than 16 bytes.
pub fn read_join_token(path: &Path) -> Result<Zeroizing<Vec<u8>>, JoinTokenError> {
    let text = secret_file::read(path, FILE_BYTES_MAX);
    let text = text.map_err(|source| JoinTokenError::Unreadable { path: path.to_owned(), source })?;
    let token = Zeroizing::new(text.trim_ascii().to_vec());
    if token.len() < BYTES_MIN {
        return Err(JoinTokenError::TooShort { path: path.to_owned(), len: token.len() });
    }
    Ok(token)
}
