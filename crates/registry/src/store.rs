//! Storage of the registry: one `SQLite` file, written in transactions, consistent after a crash.
//!
//! Callers pass the time, in nanoseconds since the epoch.

mod caps;
mod claims;
mod connection;
mod gateways;
mod health;
mod lock;
mod measurements;
mod metrics;
mod nodes;
mod signers;

use std::fs::{self, OpenOptions, Permissions};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use nym_mixnode_keys::IdentityKeyPair;
use rustix::process::geteuid;
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::query::QueryAs;
use sqlx::sqlite::{
    SqliteArguments, SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteRow, SqliteSynchronous,
};
use sqlx::{FromRow, Sqlite};

use super::RegistryError;
use super::caps::Caps;
use connection::{Connections, Read, Write};
use health::Health;
use lock::StoreLock;

pub(super) use claims::DueClaim;
pub(super) use gateways::SilentGateway;
pub(super) use measurements::{Measured, REPUTATION_MAX};
pub(super) use nodes::{NewNode, Registered, Removal, Role, Unregistered};

static MIGRATIONS: Migrator = sqlx::migrate!("./migrations");

/// `SQLite` has one writer at a time; the others wait at most this long.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Maximum number of concurrent readers; each uses a thread.
const CONNECTIONS_MAX: u32 = 4;

/// Result codes of `SQLite` for a file that is damaged or not a database.
const SQLITE_CORRUPT: &str = "11";
const SQLITE_NOTADB: &str = "26";

/// Registry store. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct Store {
    connections: Connections,
    health: Arc<Health>,
    caps: Caps,
    lock: Arc<StoreLock>,
    /// The registry's own key, stored in the file.
    key: Arc<IdentityKeyPair>,
    /// Return addresses of test packets, for the topology.
    test_addresses: Arc<OnceLock<Vec<String>>>,
}

impl Store {
    /// Opens the file; creates or upgrades it as needed. Only one process may have it open.
    pub(super) async fn open(path: &Path) -> Result<Self, RegistryError> {
        let lock = StoreLock::take(path)?;
        keep_private(path).map_err(|source| open_error(path, sqlx::Error::Io(source)))?;
        Self::open_with(options(path), path, lock).await
    }

    /// Replaces the limits on entries.
    pub(super) fn with_caps(self, caps: Caps) -> Self {
        Self { caps, ..self }
    }

    async fn open_with(options: SqliteConnectOptions, path: &Path, lock: StoreLock) -> Result<Self, RegistryError> {
        let pool = SqlitePoolOptions::new()
            .max_connections(CONNECTIONS_MAX)
            .connect_with(options)
            .await
            .map_err(|source| open_error(path, source))?;
        MIGRATIONS.run(&pool).await.map_err(|error| migration_error(path, error))?;
        let key = Arc::new(signers::load_key(&pool).await.map_err(|source| open_error(path, source))?);
        let (connections, lock) = (Connections::new(pool), Arc::new(lock));
        Ok(Self {
            connections,
            health: Arc::default(),
            caps: Caps::default(),
            lock,
            key,
            test_addresses: Arc::default(),
        })
    }

    /// The registry's own key.
    pub(super) fn key(&self) -> &IdentityKeyPair {
        &self.key
    }

    /// Sets the return addresses of test packets that every topology lists.
    pub(super) fn set_test_addresses(&self, addresses: &[SocketAddr]) {
        self.test_addresses.get_or_init(|| addresses.iter().map(ToString::to_string).collect());
    }

    /// Deletes data that no reply can contain any more.
    pub(super) async fn purge(&self, now: i64) -> sqlx::Result<()> {
        self.purge_nodes(now).await?;
        self.purge_identities(now).await?;
        self.purge_statuses(now).await
    }

    /// Changes when the lists may have changed.
    pub(super) fn generation(&self) -> u64 {
        self.connections.generation()
    }

    /// Flushes all writes and closes the file.
    pub(super) async fn close(&self) {
        self.connections.close().await;
        self.lock.release();
    }

    /// Begins a transaction with the write lock: other writers cannot change what it reads.
    async fn begin_write(&self) -> sqlx::Result<Write> {
        self.connections.write().await
    }

    /// All rows of one query.
    async fn fetch_all<O>(&self, query: QueryAs<'_, Sqlite, O, SqliteArguments>) -> sqlx::Result<Vec<O>>
    where
        O: for<'r> FromRow<'r, SqliteRow> + Send + Unpin,
    {
        let mut connection = self.read().await?;
        let rows = query.fetch_all(&mut *connection).await?;
        connection.done();
        Ok(rows)
    }

    /// All rows of a query that reads many.
    async fn fetch_report<O>(&self, query: QueryAs<'_, Sqlite, O, SqliteArguments>) -> sqlx::Result<Vec<O>>
    where
        O: for<'r> FromRow<'r, SqliteRow> + Send + Unpin,
    {
        let _turn = self.connections.report().await?;
        self.fetch_all(query).await
    }

    /// A connection for reading.
    async fn read(&self) -> sqlx::Result<Read> {
        self.connections.read().await
    }
}

/// Creates the file with access for its owner only, or takes the access of others away: it contains the registry's
/// private key. SQLite gives its other files the same mode.
fn keep_private(path: &Path) -> io::Result<()> {
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

fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .foreign_keys(true)
        .busy_timeout(BUSY_TIMEOUT)
        // With both, an acknowledged registration survives a power cut, and readers do not wait for writers.
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
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

/// This program wrote the stored JSON; a parse error means damage.
fn from_json<T: serde::de::DeserializeOwned>(json: &str) -> sqlx::Result<T> {
    serde_json::from_str(json).map_err(|error| sqlx::Error::Decode(error.into()))
}

fn to_json(value: &impl serde::Serialize) -> sqlx::Result<String> {
    serde_json::to_string(value).map_err(|error| sqlx::Error::Encode(error.into()))
}

#[cfg(test)]
mod tests;
