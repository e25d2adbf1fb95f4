//! SQLite: one file, written in transactions, consistent after a crash.

mod lock;

use std::fmt::Write;
use std::fs::{self, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use nym_mixnode_base::file;
use rustix::process::geteuid;
use sqlx::any::{AnyPoolOptions, install_default_drivers};
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::{AnyConnection, Connection};

use super::Store;
use super::connection::{Connections, Database};
use crate::RegistryError;

pub(crate) use lock::StoreLock;

static MIGRATIONS: Migrator = sqlx::migrate!("./migrations/sqlite");

/// Maximum number of concurrent readers; each uses a thread.
const CONNECTIONS_MAX: u32 = 4;

/// Settings of each connection. With write-ahead log and full synchronisation, an acknowledged registration survives a
/// power cut, and readers do not wait for writers. Containers have no folder for temporary files.
const SETTINGS: &str = "PRAGMA busy_timeout = 5000; PRAGMA foreign_keys = ON; PRAGMA journal_mode = WAL; \
                        PRAGMA synchronous = FULL; PRAGMA temp_store = MEMORY;";

/// A transaction takes the write lock at once, so that no other writer can change what it reads.
const DATABASE: Database = Database {
    begin: "BEGIN IMMEDIATE",
    clock: "SELECT CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER) * 1000000",
    is_shared: false,
};

/// Result codes of SQLite for a file that is damaged or not a database.
const CORRUPT: &str = "11";
const NOT_A_DATABASE: &str = "26";

/// Opens the file; creates or upgrades it as needed. Only one process may have it open.
pub(super) async fn open(path: &Path) -> Result<Store, RegistryError> {
    let lock = StoreLock::take(path)?;
    keep_private(path).map_err(|source| open_error(path, sqlx::Error::Io(source)))?;
    open_with(path, SETTINGS, lock).await
}

pub(super) async fn open_with(path: &Path, settings: &'static str, lock: StoreLock) -> Result<Store, RegistryError> {
    install_default_drivers();
    try_settings(&url(path, "rwc"), settings).await.map_err(|source| open_error(path, source))?;
    let pool = AnyPoolOptions::new()
        .max_connections(CONNECTIONS_MAX)
        .after_connect(move |connection, _| {
            Box::pin(async move { sqlx::raw_sql(settings).execute(connection).await.map(|_| ()) })
        })
        .connect(&url(path, "rwc"))
        .await
        .map_err(|source| open_error(path, source))?;
    MIGRATIONS.run(&pool).await.map_err(|error| migration_error(path, error))?;
    Store::new(Connections::new(pool, DATABASE), Some(lock)).await.map_err(|source| open_error(path, source))
}

/// Copies the store to a new file. Another process may use the store meanwhile.
pub(crate) async fn back_up(store: &Path, copy: &Path) -> Result<(), RegistryError> {
    let fails = |reason: String| RegistryError::Backup { store: store.to_owned(), copy: copy.to_owned(), reason };
    // SQLite would wait for the writer of a pipe.
    file::check(store).map_err(|error| fails(error.to_string()))?;
    // The copy contains the registry's private key. SQLite fills an empty file.
    let created = OpenOptions::new().write(true).create_new(true).mode(0o600).open(copy);
    created.map_err(|error| fails(error.to_string()))?;
    let copied = copy_to(store, copy).await.map_err(|error| fails(error.to_string()));
    if copied.is_err() {
        // An incomplete copy must not look like a backup.
        fs::remove_file(copy).map_err(|error| fails(format!("cannot remove the incomplete copy: {error}")))?;
    }
    copied
}

async fn copy_to(store: &Path, copy: &Path) -> sqlx::Result<()> {
    let copy_path =
        copy.to_str().ok_or_else(|| sqlx::Error::Protocol("the path of the copy is not UTF-8".to_owned()))?;
    install_default_drivers();
    let mut connection = AnyConnection::connect(&url(store, "rw")).await?;
    sqlx::raw_sql("PRAGMA busy_timeout = 5000; PRAGMA temp_store = MEMORY").execute(&mut connection).await?;
    // Fails in databases of other programs.
    sqlx::query("SELECT id FROM registry_key").fetch_one(&mut connection).await?;
    sqlx::query("VACUUM INTO $1").bind(copy_path).execute(&mut connection).await?;
    connection.close().await?;
    let synced = fs::File::open(copy).and_then(|file| file.sync_all());
    synced.map_err(sqlx::Error::Io)
}

/// The pool would retry settings that fail, until it times out with another error.
async fn try_settings(url: &str, settings: &'static str) -> sqlx::Result<()> {
    let mut connection = AnyConnection::connect(url).await?;
    sqlx::raw_sql(settings).execute(&mut connection).await?;
    connection.close().await
}

/// URL of the file; mode `rwc` creates it when missing.
fn url(path: &Path, mode: &str) -> String {
    let mut url = String::from("sqlite:");
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'_' | b'-' => url.push(char::from(*byte)),
            // Writing to a string never fails.
            other => write!(url, "%{other:02X}").unwrap_or_default(),
        }
    }
    url + "?mode=" + mode
}

/// Creates the file with access for its owner only, or takes the access of others away: it contains the registry's
/// private key. SQLite gives its other files the same mode.
fn keep_private(path: &Path) -> io::Result<()> {
    // Opening a pipe would wait for its reader.
    match file::check(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)?;
    let metadata = file.metadata()?;
    let of_others = metadata.mode() & 0o077;
    if of_others == 0 {
        return Ok(());
    }
    if metadata.uid() != geteuid().as_raw() {
        tracing::warn!(path = %path.display(), "other users can read the store; only its owner can change that");
        return Ok(());
    }
    for name in ["", "-wal", "-shm"] {
        let mut other = path.as_os_str().to_owned();
        other.push(name);
        match fs::set_permissions(&other, Permissions::from_mode(0o600)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

fn open_error(path: &Path, error: sqlx::Error) -> RegistryError {
    let code = error.as_database_error().and_then(|error| error.code().map(std::borrow::Cow::into_owned));
    match code.as_deref() {
        Some(CORRUPT | NOT_A_DATABASE) => {
            RegistryError::ForeignStore { path: path.to_owned(), reason: error.to_string() }
        }
        _ => RegistryError::OpenStore { path: path.to_owned(), source: error },
    }
}

fn migration_error(path: &Path, error: MigrateError) -> RegistryError {
    match error {
        MigrateError::Execute(source) => open_error(path, source),
        MigrateError::VersionMissing(version) => RegistryError::ForeignStore {
            path: path.to_owned(),
            reason: format!("a newer release has upgraded it to version {version}"),
        },
        other => RegistryError::ForeignStore { path: path.to_owned(), reason: other.to_string() },
    }
}

#[cfg(test)]
mod tests;
