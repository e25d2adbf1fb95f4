//! Token for privileged calls of monitors and operators, read from a file.

mod named;

use std::fmt;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use nym_mixnode_base::exit::Exit;
use nym_mixnode_base::file;
use nym_mixnode_base::staging::create_file;
use subtle::ConstantTimeEq;
use thiserror::Error;
use zeroize::Zeroizing;

pub use named::NamedTokens;

const RANDOM_BYTES: usize = 32;

/// Minimum number of characters of a token chosen by an operator.
const CHARS_MIN: usize = 16;

/// Maximum length of the token file.
const FILE_BYTES_MAX: u64 = 4096;

/// Maximum length of a list of tokens.
const LIST_BYTES_MAX: u64 = 64 << 10;

/// Error while reading or creating a token.
#[derive(Debug, Error)]
pub enum MonitorTokenError {
    /// The file cannot be read or created.
    #[error("cannot {action} the monitor token {path}: {source}; check its permissions, or pass --monitor-token-file")]
    File {
        /// Action that failed.
        action: &'static str,
        /// Path of the file.
        path: PathBuf,
        /// Underlying I/O error.
        source: io::Error,
    },
    /// All users of this machine can read it.
    #[error("the monitor token {path} has mode {mode:04o} and is readable by other users; run: chmod 600 {path}")]
    Readable {
        /// Path of the file.
        path: PathBuf,
        /// Permissions of the file.
        mode: u32,
    },
    /// It is too short, or not one line of printable text.
    #[error(
        "the monitor token {path} is not a line of at least {CHARS_MIN} printable characters without spaces; \
         remove the file to have another created"
    )]
    Malformed {
        /// Path of the file.
        path: PathBuf,
    },
    /// A line of a list of tokens cannot be used.
    #[error("line {line} of {path} is not a monitor with its token: {reason}")]
    Line {
        /// Path of the list.
        path: PathBuf,
        /// Line number, from 1.
        line: usize,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A list of tokens is longer than any that is read.
    #[error("the list of monitor tokens {path} is longer than {} KiB", LIST_BYTES_MAX >> 10)]
    TooLong {
        /// Path of the list.
        path: PathBuf,
    },
}

impl MonitorTokenError {
    /// Whether there is no file.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::File { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }

    /// Exit code of a command that fails with this error.
    pub fn exit_code(&self) -> Exit {
        match self {
            Self::Readable { .. } => Exit::PERMISSION,
            Self::File { .. } => Exit::IO,
            Self::Malformed { .. } | Self::Line { .. } | Self::TooLong { .. } => Exit::DATA,
        }
    }
}

/// A token.
#[derive(Clone, PartialEq, Eq)]
pub struct MonitorToken(Zeroizing<String>);

impl MonitorToken {
    /// Reads the token; creates the file with a random token, readable only by its owner, if it is missing.
    ///
    /// # Errors
    /// When the file cannot be read or created, is readable by other users, or has no valid token.
    pub fn read_or_create(path: &Path) -> Result<Self, MonitorTokenError> {
        match Self::read(path) {
            Err(error) if error.is_missing() => Self::create(path),
            result => result,
        }
    }

    /// Reads the token.
    ///
    /// # Errors
    /// As [`Self::read_or_create`], and when the file is missing.
    pub fn read(path: &Path) -> Result<Self, MonitorTokenError> {
        let text = read_private(path, FILE_BYTES_MAX)?;
        Self::parse(text.trim()).ok_or_else(|| MonitorTokenError::Malformed { path: path.to_owned() })
    }

    fn parse(text: &str) -> Option<Self> {
        let is_token = text.len() >= CHARS_MIN && text.chars().all(|c| c.is_ascii_graphic());
        is_token.then(|| Self(Zeroizing::new(text.to_owned())))
    }

    fn create(path: &Path) -> Result<Self, MonitorTokenError> {
        let fail = |source| MonitorTokenError::File { action: "create", path: path.to_owned(), source };
        let mut random = Zeroizing::new([0; RANDOM_BYTES]);
        SystemRandom::new().fill(&mut *random).map_err(|_| fail(io::Error::other("no random numbers")))?;
        let token = Zeroizing::new(bs58::encode(&*random).into_string());
        let line = Zeroizing::new(format!("{}\n", *token));
        create_file(path, 0o600, line.as_bytes()).map_err(|error| fail(io::Error::other(error)))?;
        Ok(Self(token))
    }

    /// Whether `other` is this token; takes constant time for tokens of one length.
    pub fn is(&self, other: &[u8]) -> bool {
        self.0.as_bytes().ct_eq(other).into()
    }

    /// The token in clear text, for the header `Authorization`.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

/// Reads the beginning of a file that only its owner and group can read.
fn read_private(path: &Path, bytes_max: u64) -> Result<Zeroizing<String>, MonitorTokenError> {
    let fail = |source| MonitorTokenError::File { action: "read", path: path.to_owned(), source };
    let file = file::open(path).map_err(fail)?;
    // Group access is allowed: containers may receive secrets that way.
    let mode = file.metadata().map_err(fail)?.mode() & 0o7777;
    if mode & 0o007 != 0 {
        return Err(MonitorTokenError::Readable { path: path.to_owned(), mode });
    }
    let mut text = Zeroizing::new(String::new());
    file.take(bytes_max).read_to_string(&mut text).map_err(fail)?;
    Ok(text)
}

/// Omits the token.
impl fmt::Debug for MonitorToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MonitorToken")
    }
}

#[cfg(test)]
mod tests;
