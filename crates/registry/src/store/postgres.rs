//! PostgreSQL: one database for several registries.

use std::time::Duration;

use sqlx::any::{AnyPoolOptions, install_default_drivers};
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::{AnyConnection, Connection};
use tokio::time::timeout;

use super::Store;
use super::connection::{Connections, Database};
use crate::RegistryError;
use crate::database::DatabaseUrl;

static MIGRATIONS: Migrator = sqlx::migrate!("./migrations/postgres");

const CONNECTIONS_MAX: u32 = 8;

/// How long a request waits for a connection: requests fail after that while the server is down.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(3);

/// How long the first connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Settings of each connection: a replica that hangs must not keep the others waiting.
const SETTINGS: &str = "SET lock_timeout = '10s'; SET statement_timeout = '30s'; \
                        SET idle_in_transaction_session_timeout = '30s';";

/// The writers of all replicas wait for each other. Readers do not wait.
const DATABASE: Database = Database {
    begin: "BEGIN ISOLATION LEVEL READ COMMITTED; LOCK TABLE change IN EXCLUSIVE MODE",
    clock: "SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT) * 1000",
    is_shared: true,
};

/// Connects to the database; creates or upgrades the tables as needed.
pub(super) async fn open(url: &DatabaseUrl) -> Result<Store, RegistryError> {
    install_default_drivers();
    let open_error = |source: sqlx::Error| RegistryError::OpenDatabase { database: url.to_string(), source };
    try_connection(url.reveal()).await.map_err(open_error)?;
    let pool = AnyPoolOptions::new()
        .max_connections(CONNECTIONS_MAX)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .after_connect(|connection, _| {
            Box::pin(async move { sqlx::raw_sql(SETTINGS).execute(connection).await.map(|_| ()) })
        })
        .connect(url.reveal())
        .await
        .map_err(open_error)?;
    MIGRATIONS.run(&pool).await.map_err(|error| migration_error(url, error))?;
    Store::new(Connections::new(pool, DATABASE), None).await.map_err(open_error)
}

/// The pool would repeat a connection that fails, until it times out with another error.
async fn try_connection(url: &str) -> sqlx::Result<()> {
    let connecting = async {
        let mut connection = AnyConnection::connect(url).await?;
        sqlx::raw_sql(SETTINGS).execute(&mut connection).await?;
        connection.close().await
    };
    timeout(CONNECT_TIMEOUT, connecting).await.unwrap_or(Err(sqlx::Error::PoolTimedOut))
}

fn migration_error(url: &DatabaseUrl, error: MigrateError) -> RegistryError {
    let database = url.to_string();
    match error {
        MigrateError::Execute(source) => RegistryError::OpenDatabase { database, source },
        MigrateError::VersionMissing(version) => RegistryError::ForeignDatabase {
            database,
            reason: format!("a newer release has upgraded it to version {version}"),
        },
        other => RegistryError::ForeignDatabase { database, reason: other.to_string() },
    }
}
