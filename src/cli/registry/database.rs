//! URL of the registry's database, which may contain a password.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::{env, fmt, io};

use nym_mixnode_base::exit::Exit;
use nym_mixnode_base::secret_file;
use nym_mixnode_registry::DatabaseUrl;
use thiserror::Error;
use zeroize::Zeroizing;

/// Environment variable with the URL.
pub(super) const DATABASE_VARIABLE: &str = "NYM_REGISTRY_DATABASE";

/// Maximum length of the file with the URL.
const FILE_BYTES_MAX: usize = 4096;

/// Text of the flag or of the environment variable. Checked later: errors of the command line contain invalid values.
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseArgument(Zeroizing<String>);

impl FromStr for DatabaseArgument {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(Zeroizing::new(text.to_owned())))
    }
}

/// Omits the text.
impl fmt::Debug for DatabaseArgument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DatabaseArgument")
    }
}

/// Error in the URL of the database.
#[derive(Debug, Error)]
pub enum DatabaseError {
    /// Other users can read the arguments of a process.
    #[error(
        "--database contains a password, which other users of this machine can read; pass it with --database-file or in \
         {DATABASE_VARIABLE}"
    )]
    PasswordInArguments,
    /// The file with the URL cannot be read.
    #[error("cannot read {path}: {source}; check the path and its permissions")]
    Unreadable {
        /// Path as given.
        path: PathBuf,
        /// Underlying I/O error.
        source: io::Error,
    },
    /// The text is not the URL of a database.
    #[error("cannot use the URL of the database: {0}")]
    Invalid(String),
}

impl DatabaseError {
    /// Exit code of a command that fails with this error.
    pub(super) fn exit_code(&self) -> Exit {
        match self {
            Self::PasswordInArguments => Exit::USAGE,
            Self::Unreadable { .. } | Self::Invalid(_) => Exit::CONFIG,
        }
    }
}

/// URL of the database from the flag, the environment or the file.
pub(super) fn url(given: Option<&DatabaseArgument>, file: Option<&Path>) -> Result<Option<DatabaseUrl>, DatabaseError> {
    let from_file = file.map(read).transpose()?;
    let Some(text) = given.map(|DatabaseArgument(text)| text).or(from_file.as_ref()) else { return Ok(None) };
    let url: DatabaseUrl = text.parse().map_err(DatabaseError::Invalid)?;
    let is_argument = given.is_some() && env::var(DATABASE_VARIABLE).ok().as_deref() != Some(text.as_str());
    if is_argument && url.has_password() {
        return Err(DatabaseError::PasswordInArguments);
    }
    Ok(Some(url))
}

fn read(path: &Path) -> Result<Zeroizing<String>, DatabaseError> {
    let text = secret_file::read(path, FILE_BYTES_MAX);
    let text = text.map_err(|source| DatabaseError::Unreadable { path: path.to_owned(), source })?;
    let text =
        std::str::from_utf8(&text).map_err(|_| DatabaseError::Invalid("the file is not text in UTF-8".to_owned()))?;
    Ok(Zeroizing::new(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn argument(text: &str) -> DatabaseArgument {
        text.parse().unwrap()
    }

    #[test]
    fn a_password_is_accepted_from_a_file_and_not_as_an_argument() {
        let with_password = "postgres://nym:s3cret@db.example/nym";
        let error = url(Some(&argument(with_password)), None).unwrap_err();
        assert!(matches!(error, DatabaseError::PasswordInArguments));
        assert_eq!(error.exit_code(), Exit::USAGE);
        assert!(!format!("{error} {error:?} {:?}", argument(with_password)).contains("s3cret"));
        assert!(url(Some(&argument("postgres://nym@db.example/nym")), None).unwrap().is_some());
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), format!("{with_password}\n")).unwrap();
        assert!(url(None, Some(file.path())).unwrap().unwrap().has_password());
        assert_eq!(url(None, None).unwrap(), None);
    }

    #[test]
    fn unusable_urls_and_files_are_refused_without_their_content() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "mysql://nym:s3cret@db.example/nym").unwrap();
        let error = url(None, Some(file.path())).unwrap_err();
        assert_eq!((error.exit_code(), error.to_string().contains("s3cret")), (Exit::CONFIG, false));
        let error = url(None, Some(Path::new("/nowhere/url"))).unwrap_err();
        assert!(error.to_string().contains("/nowhere/url"), "{error}");
    }
}
