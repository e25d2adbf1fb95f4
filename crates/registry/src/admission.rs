//! Admission to a private network: a list of identities, or a join token.

mod list;

use std::io;
use std::path::{Path, PathBuf};

use nym_mixnode_directory::{JoinTokenError, read_join_token};
use thiserror::Error;
use zeroize::Zeroizing;

use super::proof::Admission;
use list::AdmitList;

/// Decides which callers may register. Without a list and a token, all callers may.
#[derive(Debug, Default)]
pub(super) struct Gate {
    list: Option<AdmitList>,
    token: Option<JoinToken>,
    is_private: bool,
}

/// Secret that admits every caller that knows it.
struct JoinToken(Zeroizing<Vec<u8>>);

/// Omits the token.
impl std::fmt::Debug for JoinToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JoinToken")
    }
}

/// Error while setting up the admission rules.
#[derive(Debug, Error)]
pub enum AdmissionError {
    /// The file cannot be read.
    #[error("cannot read {path}: {source}; check the path and its permissions")]
    Unreadable {
        /// Path as given.
        path: PathBuf,
        /// Underlying I/O error.
        source: io::Error,
    },
    /// A line of the list is not an identity.
    #[error(
        "line {line} of {path} is not an identity key (base58 of 32 bytes): {text:?}; use one key per \
         line and `#` for comments"
    )]
    NotAnIdentity {
        /// Path of the list.
        path: PathBuf,
        /// Line number, from 1.
        line: usize,
        /// Beginning of the line.
        text: String,
    },
    /// The join token cannot be used.
    #[error(transparent)]
    Token(#[from] JoinTokenError),
}

impl Gate {
    /// Reads the list and the token, if given, for a private network or the internet.
    pub(super) fn open(list: Option<&Path>, token: Option<&Path>, is_private: bool) -> Result<Self, AdmissionError> {
        Ok(Self {
            list: list.map(AdmitList::open).transpose()?,
            token: token.map(read_join_token).transpose()?.map(JoinToken),
            is_private,
        })
    }

    /// Whether there is a list, and whether there is a token.
    pub(super) fn closed_by(&self) -> (bool, bool) {
        (self.list.is_some(), self.token.is_some())
    }

    /// Whether the list contains this identity.
    pub(super) fn by_identity(&self, identity: &str) -> Admission {
        match &self.list {
            Some(list) if list.has(identity) => Admission::Admitted,
            None if self.token.is_none() && self.is_private => Admission::OpenPrivate,
            None if self.token.is_none() => Admission::Open,
            _ => Admission::Refused,
        }
    }

    /// Whether the caller has proved knowledge of the token.
    pub(super) fn is_token(&self, knows: impl FnOnce(&[u8]) -> bool) -> bool {
        self.token.as_ref().is_some_and(|token| knows(&token.0))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn file(content: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), content).unwrap();
        file
    }

    #[test]
    fn a_list_or_a_token_closes_the_registry_to_all_other_callers() {
        let (one, other) = (bs58::encode([1; 32]).into_string(), bs58::encode([2; 32]).into_string());
        let list = file(&format!("# nodes\n\n  {one}  # the first\n"));
        let token = file("0123456789abcdef\n");
        let open = Gate::default();
        assert_eq!(open.by_identity(&one), Admission::Open);
        assert!(!open.is_token(|_| true), "no token is set");
        for gate in
            [Gate::open(Some(list.path()), None, false), Gate::open(Some(list.path()), Some(token.path()), false)]
        {
            let gate = gate.unwrap();
            assert_eq!(gate.by_identity(&one), Admission::Admitted);
            assert_eq!(gate.by_identity(&other), Admission::Refused);
        }
        let by_token = Gate::open(None, Some(token.path()), false).unwrap();
        assert_eq!(by_token.by_identity(&one), Admission::Refused);
        assert!(by_token.is_token(|token| token == b"0123456789abcdef"));
        assert!(!format!("{by_token:?}").contains("0123"));
    }

    #[test]
    fn unusable_files_are_refused_with_the_place() {
        let bad = file("# fine\nnot a key\n");
        let error = Gate::open(Some(bad.path()), None, false).unwrap_err().to_string();
        assert!(error.contains("line 2") && error.contains("not a key"), "{error}");
        let error = Gate::open(None, Some(file(" short \n").path()), false).unwrap_err().to_string();
        assert!(error.contains("5 bytes"), "{error}");
        let error = Gate::open(Some(Path::new("/nowhere/list")), None, false).unwrap_err().to_string();
        assert!(error.contains("/nowhere/list"), "{error}");
    }
}
