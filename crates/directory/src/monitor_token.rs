//! Token for privileged calls of monitors and operators, read from a file.

mod named;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use nym_mixnode_base::exit::Exit;
use nym_mixnode_base::secret_file::{PrivateFileError, read_private};
use nym_mixnode_base::staging::create_file;
use subtle::ConstantTimeEq;
use thiserror::Error;
use zeroize::Zeroizing;

pub use named::NamedTokens;

const RANDOM_BYTES: usize = 32;

/// Minimum number of characters of a token chosen by an operator.
const CHARS_MIN: usize = 16;

/// Maximum length of the token file.
const FILE_BYTES_MAX: usize = 4096;

/// Maximum length of a list of tokens.
const LIST_BYTES_MAX: usize = 64 << 10;

/// Content of a file with tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenFile {
    /// One token.
    Token,
    /// Names and tokens.
    List,
}

impl TokenFile {
    /// Flag with the path of the file.
    const fn flag(self) -> &'static str {
        match self {
            Self::Token => "--monitor-token-file",
            Self::List => "--named-tokens-file",
        }
    }

    const fn bytes_max(self) -> usize {
        match self {
            Self::Token => FILE_BYTES_MAX,
            Self::List => LIST_BYTES_MAX,
        }
    }
}

impl fmt::Display for TokenFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Token => "monitor token",
            Self::List => "list of monitor tokens",
        })
    }
}

/// Error while reading or creating a token.
#[derive(Debug, Error)]
pub enum MonitorTokenError {
    /// The file cannot be read or created.
    #[error("cannot {action} the {content} {path}: {source}; check its permissions, or pass {}", content.flag())]
    File {
        /// Content of the file.
        content: TokenFile,
        /// Action that failed.
        action: &'static str,
        /// Path of the file.
        path: PathBuf,
        /// Underlying I/O error.
        source: io::Error,
    },
    /// All users of this machine can read it.
    #[error("the {content} {path} has mode {mode:04o} and is readable by other users; run: chmod 600 {path}")]
    Readable {
        /// Content of the file.
        content: TokenFile,
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
    /// It is longer than any that is read.
    #[error(
        "the {content} {path} is longer than {} KiB; pass another file as {}",
        content.bytes_max() >> 10, content.flag()
    )]
    TooLong {
        /// Content of the file.
        content: TokenFile,
        /// Path of the file.
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
        let bytes = read_file(TokenFile::Token, path)?;
        let token = std::str::from_utf8(&bytes).ok().and_then(|text| Self::parse(text.trim()));
        token.ok_or_else(|| MonitorTokenError::Malformed { path: path.to_owned() })
    }

    fn parse(text: &str) -> Option<Self> {
        let is_token = text.len() >= CHARS_MIN && text.chars().all(|c| c.is_ascii_graphic());
        is_token.then(|| Self(Zeroizing::new(text.to_owned())))
    }

    fn create(path: &Path) -> Result<Self, MonitorTokenError> {
        let (content, path) = (TokenFile::Token, path.to_owned());
        let fail = |source| MonitorTokenError::File { content, action: "create", path: path.clone(), source };
        let mut random = Zeroizing::new([0; RANDOM_BYTES]);
        SystemRandom::new().fill(&mut *random).map_err(|_| fail(io::Error::other("no random numbers")))?;
        let token = Zeroizing::new(bs58::encode(&*random).into_string());
        let line = Zeroizing::new(format!("{}\n", *token));
        create_file(&path, 0o600, line.as_bytes()).map_err(|error| fail(io::Error::other(error)))?;
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

fn read_file(content: TokenFile, path: &Path) -> Result<Zeroizing<Vec<u8>>, MonitorTokenError> {
    read_private(path, content.bytes_max()).map_err(|error| {
        let path = path.to_owned();
        match error {
            PrivateFileError::Readable { mode } => MonitorTokenError::Readable { content, path, mode },
            PrivateFileError::Io(source) if source.kind() == io::ErrorKind::FileTooLarge => {
                MonitorTokenError::TooLong { content, path }
            }
            PrivateFileError::Io(source) => MonitorTokenError::File { content, action: "read", path, source },
        }
    })
}

/// Omits the token.
impl fmt::Debug for MonitorToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MonitorToken")
    }
}

#[cfg(test)]
mod tests;
