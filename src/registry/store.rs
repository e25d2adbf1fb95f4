//! The registry's memory: one `SQLite` file, written in transactions, whole again after any kill.
//!
//! Time is passed in, in nanoseconds since the epoch.

mod measurements;
mod metrics;
mod nodes;

use std::path::Path;
use std::time::Duration;

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Sqlite, Transaction};

use super::RegistryError;

pub(super) use measurements::{Measured, REPUTATION_MAX};
pub(super) use nodes::{NewNode, Registered, Role, Unregistered};

static MIGRATIONS: Migrator = sqlx::migrate!("src/registry/migrations");

/// `SQLite` has one writer at a time; the others wait this long for it.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Readers at one time; each is a thread.
const CONNECTIONS_MAX: u32 = 4;

/// Result codes of `SQLite`: the file is damaged, or no database.
const SQLITE_CORRUPT: &str = "11";
const SQLITE_NOTADB: &str = "26";

/// The store. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct Store {
    pool: SqlitePool,
}

impl Store {
    /// Opens the file, creating or upgrading it as needed.
    pub(super) async fn open(path: &Path) -> Result<Self, RegistryError> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT)
            // With both, a registration that was acknowledged survives a power cut, and readers don't wait for writers.
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full);
        let pool = SqlitePoolOptions::new()
            .max_connections(CONNECTIONS_MAX)
            .connect_with(options)
            .await
            .map_err(|source| open_error(path, source))?;
        MIGRATIONS.run(&pool).await.map_err(|error| migration_error(path, error))?;
        Ok(Self { pool })
    }

    /// Whether the file can be read.
    pub(super) async fn ping(&self) -> sqlx::Result<()> {
        sqlx::query("SELECT 1 FROM node LIMIT 1").execute(&self.pool).await.map(|_| ())
    }

    /// Deletes what no reply can show any more.
    pub(super) async fn purge(&self, now: i64) -> sqlx::Result<()> {
        self.purge_nodes(now).await?;
        self.purge_statuses(now).await
    }

    /// Writes out everything and lets go of the file.
    pub(super) async fn close(&self) {
        self.pool.close().await;
    }

    /// A transaction that holds the write lock from its beginning: what it reads stays true until it commits.
    async fn begin_write(&self) -> sqlx::Result<Transaction<'static, Sqlite>> {
        self.pool.begin_with("BEGIN IMMEDIATE").await
    }
}

fn open_error(path: &Path, error: sqlx::Error) -> RegistryError {
    let code = error.as_database_error().and_then(|error| error.code().map(std::borrow::Cow::into_owned));
    match code.as_deref() {
        Some(SQLITE_CORRUPT | SQLITE_NOTADB) => {
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

/// What is stored as JSON was written by this program; anything else is damage.
fn from_json<T: serde::de::DeserializeOwned>(json: &str) -> sqlx::Result<T> {
    serde_json::from_str(json).map_err(|error| sqlx::Error::Decode(error.into()))
}

fn to_json(value: &impl serde::Serialize) -> sqlx::Result<String> {
    serde_json::to_string(value).map_err(|error| sqlx::Error::Encode(error.into()))
}

#[cfg(test)]
#[path = "store/tests.rs"]
mod tests;
