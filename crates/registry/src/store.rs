//! Storage of the registry: what is read and written, in SQL that all supported databases run.
//!
//! The rules are in `service`, which composes the operations of a [`Transaction`]. Callers pass the time, in nanoseconds
//! since the epoch. A module for each database opens it: `sqlite`,
//! `postgres`.

mod claims;
mod connection;
mod explorer;
mod future;
mod gateways;
mod health;
mod history;
mod measurements;
mod metrics;
mod monitor_lease;
mod nodes;
mod postgres;
mod replicas;
mod signers;
mod sources;
mod sqlite;
mod verdicts;

use std::path::Path;
use std::sync::Arc;

use nym_mixnode_keys::IdentityKeyPair;
use sqlx::any::{AnyArguments, AnyRow};
use sqlx::query::QueryAs;
use sqlx::{Any, FromRow};

use super::RegistryError;
use super::database::DatabaseUrl;
use connection::{Connections, Read};
use health::Health;
use sqlite::StoreLock;

pub(super) use claims::Claim;
pub(super) use connection::Transaction;
pub(super) use explorer::{RecentTests, TestSlot};
pub(super) use gateways::SilentGateway;
pub(super) use history::{LayerHour, Tests};
pub(super) use measurements::{Measured, Standing, Windows, number};
pub(super) use nodes::{ListedNode, NodeRow, Role};
pub(super) use sources::columns as source_columns;
pub(super) use sqlite::back_up;

/// Registry store. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct Store {
    connections: Connections,
    health: Arc<Health>,
    /// Lock of a file; `None` for a server.
    lock: Option<Arc<StoreLock>>,
    /// The registry's own key, stored in the database.
    key: Arc<IdentityKeyPair>,
}

impl Store {
    /// Opens the file; creates or upgrades it as needed. Only one process may have it open.
    pub(super) async fn open(path: &Path) -> Result<Self, RegistryError> {
        sqlite::open(path).await
    }

    /// Connects to a PostgreSQL database, which several registries may use; creates or upgrades its tables as needed.
    pub(super) async fn connect(url: &DatabaseUrl) -> Result<Self, RegistryError> {
        postgres::open(url).await
    }

    async fn new(connections: Connections, lock: Option<StoreLock>) -> sqlx::Result<Self> {
        let key = Arc::new(signers::load_key(&connections).await?);
        Ok(Self { connections, health: Arc::default(), lock: lock.map(Arc::new), key })
    }

    /// The registry's own key.
    pub(super) fn key(&self) -> &IdentityKeyPair {
        &self.key
    }

    /// Changes when the lists may have changed.
    pub(super) fn generation(&self) -> u64 {
        self.connections.generation()
    }

    /// Flushes all writes and closes the database.
    pub(super) async fn close(&self) {
        self.connections.close().await;
        if let Some(lock) = &self.lock {
            lock.release();
        }
    }

    /// Begins a transaction with the write lock: other writers cannot change what it reads.
    pub(super) async fn begin(&self) -> sqlx::Result<Transaction> {
        self.connections.begin().await
    }

    /// All rows of one query.
    async fn fetch_all<O>(&self, query: QueryAs<'_, Any, O, AnyArguments>) -> sqlx::Result<Vec<O>>
    where
        O: for<'r> FromRow<'r, AnyRow> + Send + Unpin,
    {
        let mut connection = self.read().await?;
        let rows = query.fetch_all(&mut *connection).await?;
        connection.done();
        Ok(rows)
    }

    /// All rows of a query that reads many.
    async fn fetch_report<O>(&self, query: QueryAs<'_, Any, O, AnyArguments>) -> sqlx::Result<Vec<O>>
    where
        O: for<'r> FromRow<'r, AnyRow> + Send + Unpin,
    {
        let _turn = self.connections.report().await?;
        self.fetch_all(query).await
    }

    /// A connection for reading.
    async fn read(&self) -> sqlx::Result<Read> {
        self.connections.read().await
    }
}

/// This program wrote the stored JSON; a parse error means damage.
pub(super) fn from_json<T: serde::de::DeserializeOwned>(json: &str) -> sqlx::Result<T> {
    serde_json::from_str(json).map_err(|error| sqlx::Error::Decode(error.into()))
}

pub(super) fn to_json(value: &impl serde::Serialize) -> sqlx::Result<String> {
    serde_json::to_string(value).map_err(|error| sqlx::Error::Encode(error.into()))
}

#[cfg(test)]
pub(super) mod tests;
