//! Token for privileged calls of monitors and operators, read from a file.

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

const RANDOM_BYTES: usize = 32;

/// Minimum number of characters of a token chosen by an operator.
const CHARS_MIN: usize = 16;

/// Maximum length of the token file.
const FILE_BYTES_MAX: u64 = 4096;

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
            Self::Malformed { .. } => Exit::DATA,
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
        let fail = |source| MonitorTokenError::File { action: "read", path: path.to_owned(), source };
        let file = file::open(path).map_err(fail)?;
        // Group access is allowed: containers may receive secrets that way.
        let mode = file.metadata().map_err(fail)?.mode() & 0o7777;
        if mode & 0o007 != 0 {
            return Err(MonitorTokenError::Readable { path: path.to_owned(), mode });
        }
        let mut text = Zeroizing::new(String::new());
        file.take(FILE_BYTES_MAX).read_to_string(&mut text).map_err(fail)?;
        let token = text.trim();
        let is_token = token.len() >= CHARS_MIN && token.chars().all(|c| c.is_ascii_graphic());
        if is_token {
            Ok(Self(Zeroizing::new(token.to_owned())))
        } else {
            Err(MonitorTokenError::Malformed { path: path.to_owned() })
        }
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

/// Omits the token.
impl fmt::Debug for MonitorToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MonitorToken")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{Permissions, set_permissions, write};
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_token_is_created_once_and_only_its_owner_can_read_it() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("monitor.token");
        assert!(MonitorToken::read(&path).is_err());
        let token = MonitorToken::read_or_create(&path).unwrap();
        assert_eq!(path.metadata().unwrap().mode() & 0o7777, 0o600);
        assert_eq!(MonitorToken::read_or_create(&path).unwrap(), token);
        assert_eq!(MonitorToken::read(&path).unwrap(), token);
        assert!(token.is(token.reveal().as_bytes()));
        assert!(!token.is(b"") && !token.is(b"another") && !token.is(&token.reveal().as_bytes()[1..]));
        assert!(!format!("{token:?}").contains(token.reveal()));
    }

    #[test]
    fn the_error_for_a_bad_file_says_what_to_do() {
        for (text, mode, expected) in [
            ("a-token-of-the-operator\n", 0o600, None),
            ("a-token-of-the-operator", 0o440, None),
            ("a-token-of-the-operator", 0o644, Some("chmod 600")),
            ("short", 0o600, Some("16")),
            ("", 0o600, Some("16")),
            ("two words of an operator", 0o600, Some("16")),
        ] {
            let home = tempfile::tempdir().unwrap();
            let path = home.path().join("monitor.token");
            write(&path, text).unwrap();
            set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            let error = MonitorToken::read(&path).err().map(|error| error.to_string());
            assert_eq!(error.is_some(), expected.is_some(), "{text:?} {mode:o}: {error:?}");
            if let (Some(error), Some(expected)) = (error, expected) {
                assert!(error.contains(expected) && error.contains("monitor.token"), "{error}");
            }
        }
        let home = tempfile::tempdir().unwrap();
        assert!(MonitorToken::read_or_create(&home.path().join("none/monitor.token")).is_err());
    }
}
