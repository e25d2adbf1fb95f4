//! Copies of the store, also while a gateway uses it.

use std::fmt::Display;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nym_mixnode_base::file;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection};
use thiserror::Error;

/// Why the store cannot be copied.
#[derive(Debug, Error)]
pub enum BackupError {
    #[error("{} does not exist: the gateway has not run yet, or has another --id or --home", .0.display())]
    Missing(PathBuf),
    #[error("{} exists, and a backup replaces nothing: choose another name", .0.display())]
    Exists(PathBuf),
    #[error("cannot create {}: {source}", copy.display())]
    Create { copy: PathBuf, source: io::Error },
    #[error("cannot copy {} to {}: {reason}", store.display(), copy.display())]
    Copy { store: PathBuf, copy: PathBuf, reason: String },
}

/// Copies the store to a new file, which only its owner can read.
///
/// # Errors
/// When the store cannot be read, or the copy exists or cannot be written.
pub async fn back_up(store: &Path, copy: &Path) -> Result<(), BackupError> {
    let fails =
        |reason: &dyn Display| BackupError::Copy { store: store.into(), copy: copy.into(), reason: reason.to_string() };
    // SQLite would wait for the writer of a pipe.
    file::check(store).map_err(|error| match error.kind() {
        ErrorKind::NotFound => BackupError::Missing(store.into()),
        _ => fails(&error),
    })?;
    // SQLite fills an empty file.
    let created = OpenOptions::new().write(true).create_new(true).mode(0o600).open(copy);
    created.map_err(|source| match source.kind() {
        ErrorKind::AlreadyExists => BackupError::Exists(copy.into()),
        _ => BackupError::Create { copy: copy.into(), source },
    })?;
    let copied = copy_to(store, copy).await;
    if copied.is_err() {
        // An incomplete copy must not look like a backup.
        fs::remove_file(copy).map_err(|error| fails(&format_args!("cannot remove the incomplete copy: {error}")))?;
    }
    copied.map_err(|error| fails(&error))
}

async fn copy_to(store: &Path, copy: &Path) -> sqlx::Result<()> {
    let path = copy.to_str().ok_or_else(|| sqlx::Error::Protocol("the path of the copy is not UTF-8".to_owned()))?;
    let options = SqliteConnectOptions::new().filename(store).busy_timeout(Duration::from_secs(5));
    let mut connection = options.pragma("temp_store", "MEMORY").connect().await?;
    // Fails in databases of other programs.
    sqlx::query("SELECT client FROM messages LIMIT 1").fetch_optional(&mut connection).await?;
    sqlx::query("VACUUM INTO $1").bind(path).execute(&mut connection).await?;
    connection.close().await?;
    File::open(copy).and_then(|file| file.sync_all()).map_err(sqlx::Error::Io)
}
