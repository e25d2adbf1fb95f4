//! Registered clients and their inboxes, in one SQLite file.
//!
//! The file tells whoever steals it neither who the clients are nor what is in their inboxes: identities are keyed
//! hashes, everything else is encrypted. A write is durable when it returns.

mod backup;
mod vault;

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use nym_mixnode_message::gateway::SharedKey;
use sqlx::pool::PoolConnection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, QueryBuilder, Row, Sqlite, SqliteConnection, Transaction};
use thiserror::Error;

use crate::ClientId;
use vault::{Hidden, Vault};

pub use backup::{BackupError, back_up};

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS clients (
        id BLOB PRIMARY KEY NOT NULL,
        key BLOB NOT NULL,
        seen INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS messages (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        client BLOB NOT NULL REFERENCES clients (id) ON DELETE CASCADE,
        arrived INTEGER NOT NULL,
        content BLOB NOT NULL
    ) STRICT;
    CREATE INDEX IF NOT EXISTS messages_of_client ON messages (client, number);
    CREATE INDEX IF NOT EXISTS messages_by_age ON messages (arrived);";

/// Readers of inboxes beside the writer.
const CONNECTIONS_MAX: u32 = 4;
/// Bytes of a page of the file: seven messages. With the usual 4096, each message takes a page of its own.
const FILE_PAGE_LEN: u32 = 16 << 10;
/// Pages in SQLite's log of writes, after which they go to the file itself: 4 MiB, as with the usual length of pages. On a
/// small disk, a longer log could take all space, and nothing would be stored any more.
const LOG_PAGES_MAX: u32 = 256;
/// Messages or clients of one statement: three parameters each, of at most 32766.
const ROWS_MAX: usize = 1024;
/// Times are stored in this unit, so that the file does not tell when a message arrived.
const TIME_UNIT: Duration = Duration::from_secs(3600);

/// Bounds on what is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreBounds {
    /// Registered clients.
    pub clients: u64,
    /// Messages of one client.
    pub messages_per_client: u64,
    /// Messages of all clients.
    pub messages: u64,
    /// Age of a message.
    pub age: Duration,
}

impl Default for StoreBounds {
    fn default() -> Self {
        // 10 000 messages are 16 MB, and a million 1.7 GB.
        let age = Duration::from_secs(14 * 24 * 3600);
        Self { clients: 100_000, messages_per_client: 10_000, messages: 1_000_000, age }
    }
}

/// Why the store cannot do something.
#[derive(Debug, Error)]
pub enum StoreError {
    /// SQLite, or the disk.
    #[error("the store of the gateway fails: {0}")]
    Database(#[from] sqlx::Error),
    /// A row was written with other keys, or is damaged.
    #[error("the store was written with other keys, or is damaged; restore the gateway's keys, or move the file away")]
    Undecipherable,
    /// A bound on clients.
    #[error("{0} clients are registered, and no more are allowed")]
    TooManyClients(u64),
}

/// A message for a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub client: ClientId,
    pub content: Vec<u8>,
}

/// A stored message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Increases with each message.
    pub number: i64,
    pub content: Vec<u8>,
}

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Stored,
    /// No such client is registered.
    Unknown,
    /// Its inbox, or the whole store.
    Full,
}

/// The open file.
pub struct Store {
    pool: SqlitePool,
    /// For removals, which need not survive a power cut: the client gets the messages again.
    removals: SqlitePool,
    vault: Vault,
    bounds: StoreBounds,
    counts: Mutex<Counts>,
}

/// Messages in the file, so that bounds need no query.
#[derive(Default)]
struct Counts {
    clients: u64,
    messages: u64,
    by_client: HashMap<Hidden, u64>,
}

impl Store {
    /// Opens the file, or creates it. `key` is the gateway's private Sphinx key, of which the keys of the store are
    /// derived.
    ///
    /// # Errors
    /// When the file cannot be read or written, or is not one of this gateway.
    pub async fn open(path: &Path, key: &[u8; 32], bounds: StoreBounds) -> Result<Self, StoreError> {
        let options = SqliteConnectOptions::from_str("sqlite:")?
            .filename(path)
            .create_if_missing(true)
            .foreign_keys(true)
            .page_size(FILE_PAGE_LEN)
            .busy_timeout(Duration::from_secs(5))
            .journal_mode(SqliteJournalMode::Wal)
            // A message that was acknowledged survives a power cut.
            .synchronous(SqliteSynchronous::Full)
            .pragma("temp_store", "MEMORY")
            .pragma("secure_delete", "ON")
            .pragma("wal_autocheckpoint", LOG_PAGES_MAX.to_string())
            // A warning of a slow statement has the number of its messages.
            .disable_statement_logging();
        let removing = options.clone().synchronous(SqliteSynchronous::Normal);
        let pool = SqlitePoolOptions::new().max_connections(CONNECTIONS_MAX).connect_with(options).await?;
        sqlx::raw_sql(SCHEMA).execute(&pool).await?;
        let removals = SqlitePoolOptions::new().max_connections(1).connect_lazy_with(removing);
        let store = Self { pool, removals, vault: Vault::new(key), bounds, counts: Mutex::default() };
        store.count().await?;
        store.check_key().await?;
        Ok(store)
    }

    /// Stores the key of a client, in place of an earlier one. Its inbox stays.
    ///
    /// # Errors
    /// When the store fails, or has no place for another client.
    pub async fn register(&self, client: &ClientId, key: &SharedKey, now: u64) -> Result<(), StoreError> {
        let mut connection = self.pool.acquire().await?;
        let is_known = self.register_over(&mut connection, client, key, now).await;
        let is_known = released(connection, is_known)?;
        self.locked(|counts| counts.clients += u64::from(!is_known));
        Ok(())
    }

    /// Returns whether the client was known.
    async fn register_over(
        &self,
        connection: &mut SqliteConnection,
        client: &ClientId,
        key: &SharedKey,
        now: u64,
    ) -> Result<bool, StoreError> {
        let id = self.vault.hide(client);
        let sealed = self.vault.seal(&id, &*key.to_bytes());
        let mut transaction = begin(connection).await?;
        let known = sqlx::query("SELECT 1 FROM clients WHERE id = ?").bind(&id[..]);
        let is_known = known.fetch_optional(&mut *transaction).await?.is_some();
        if !is_known && self.locked(|counts| counts.clients >= self.bounds.clients) {
            return Err(StoreError::TooManyClients(self.bounds.clients));
        }
        sqlx::query("INSERT INTO clients (id, key, seen) VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE SET key = excluded.key, seen = excluded.seen")
            .bind(&id[..])
            .bind(sealed)
            .bind(stored_time(now))
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(is_known)
    }

    /// The key of a registered client.
    ///
    /// # Errors
    /// When the store fails, or was written with other keys.
    pub async fn key(&self, client: &ClientId) -> Result<Option<SharedKey>, StoreError> {
        let id = self.vault.hide(client);
        let query = sqlx::query("SELECT key FROM clients WHERE id = ?").bind(&id[..]);
        let Some(row) = query.fetch_optional(&self.pool).await? else { return Ok(None) };
        let opened = self.vault.open(&id, row.try_get(0)?).ok_or(StoreError::Undecipherable)?;
        let key = opened.as_slice().try_into().map_err(|_| StoreError::Undecipherable)?;
        Ok(Some(SharedKey::from_bytes(key)))
    }

    /// Stores messages in one transaction; returns what became of each.
    ///
    /// # Errors
    /// When the store fails. Nothing is stored then.
    pub async fn append(&self, messages: &[Message], now: u64) -> Result<Vec<Outcome>, StoreError> {
        let mut connection = self.pool.acquire().await?;
        let appended = self.append_over(&mut connection, messages, now).await;
        let (outcomes, added) = released(connection, appended)?;
        self.locked(|counts| counts.add(added));
        Ok(outcomes)
    }

    async fn append_over(
        &self,
        connection: &mut SqliteConnection,
        messages: &[Message],
        now: u64,
    ) -> Result<(Vec<Outcome>, HashMap<Hidden, u64>), StoreError> {
        let ids: Vec<_> = messages.iter().map(|message| self.vault.hide(&message.client)).collect();
        let mut transaction = begin(connection).await?;
        let registered = registered(&mut transaction, &ids).await?;
        let (mut outcomes, mut rows) = (Vec::with_capacity(messages.len()), Vec::new());
        let mut added = HashMap::<Hidden, u64>::new();
        for (message, id) in messages.iter().zip(ids) {
            let pending = (added.get(&id).copied().unwrap_or(0), rows.len() as u64);
            outcomes.push(if !registered.contains(&id) {
                Outcome::Unknown
            } else if self.is_full(&id, pending) {
                Outcome::Full
            } else {
                rows.push((id, self.vault.seal(&id, &message.content)));
                *added.entry(id).or_default() += 1;
                Outcome::Stored
            });
        }
        insert(&mut transaction, &rows, now).await?;
        transaction.commit().await?;
        Ok((outcomes, added))
    }

    /// The oldest messages of a client after `number`.
    ///
    /// # Errors
    /// When the store fails, or was written with other keys.
    pub async fn after(&self, client: &ClientId, number: i64, limit: u32) -> Result<Vec<Stored>, StoreError> {
        let id = self.vault.hide(client);
        let query =
            sqlx::query("SELECT number, content FROM messages WHERE client = ? AND number > ? ORDER BY number LIMIT ?");
        let rows = query.bind(&id[..]).bind(number).bind(limit).fetch_all(&self.pool).await?;
        rows.iter()
            .map(|row| {
                let content = self.vault.open(&id, row.try_get(1)?).ok_or(StoreError::Undecipherable)?;
                Ok(Stored { number: row.try_get(0)?, content: content.to_vec() })
            })
            .collect()
    }

    /// Removes the messages of a client up to `number`, which it has. It does not wait for the disk, so that a client whose
    /// messages have gone to its inbox once does not fall ever further behind on a slow one.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn remove(&self, client: &ClientId, number: i64) -> Result<(), StoreError> {
        let id = self.vault.hide(client);
        let query = sqlx::query("DELETE FROM messages WHERE client = ? AND number <= ?");
        let removed = query.bind(&id[..]).bind(number).execute(&self.removals).await?.rows_affected();
        self.locked(|counts| counts.subtract(&id, removed));
        Ok(())
    }

    /// Removes messages that are too old at `now`, in seconds since 1970. Returns their number.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn expire(&self, now: u64) -> Result<u64, StoreError> {
        let oldest = stored_time(now.saturating_sub(self.bounds.age.as_secs()));
        let query = sqlx::query("DELETE FROM messages WHERE arrived < ?").bind(oldest);
        let removed = query.execute(&self.pool).await?.rows_affected();
        if removed > 0 {
            self.count().await?;
        }
        Ok(removed)
    }

    /// Messages of all clients.
    #[must_use]
    pub fn messages(&self) -> u64 {
        self.locked(|counts| counts.messages)
    }

    /// Whether a message has no place beside those of this transaction, for its client and for all.
    fn is_full(&self, id: &Hidden, pending: (u64, u64)) -> bool {
        self.locked(|counts| {
            counts.by_client.get(id).copied().unwrap_or(0) + pending.0 >= self.bounds.messages_per_client
                || counts.messages + pending.1 >= self.bounds.messages
        })
    }

    async fn count(&self) -> Result<(), StoreError> {
        let clients: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM clients").fetch_one(&self.pool).await?;
        let query = sqlx::query("SELECT client, COUNT(*) FROM messages GROUP BY client");
        let mut counts = Counts { clients: clients.unsigned_abs(), ..Counts::default() };
        for row in query.fetch_all(&self.pool).await? {
            let id: &[u8] = row.try_get(0)?;
            let id = Hidden::try_from(id).map_err(|_| StoreError::Undecipherable)?;
            counts.add(HashMap::from([(id, row.try_get::<i64, _>(1)?.unsigned_abs())]));
        }
        self.locked(|current| *current = counts);
        Ok(())
    }

    /// A store of another gateway would answer that its clients are unknown.
    async fn check_key(&self) -> Result<(), StoreError> {
        let query = sqlx::query("SELECT id, key FROM clients LIMIT 1");
        let Some(row) = query.fetch_optional(&self.pool).await? else { return Ok(()) };
        let id = Hidden::try_from(row.try_get::<&[u8], _>(0)?).map_err(|_| StoreError::Undecipherable)?;
        self.vault.open(&id, row.try_get(1)?).map(drop).ok_or(StoreError::Undecipherable)
    }

    fn locked<T>(&self, f: impl FnOnce(&mut Counts) -> T) -> T {
        f(&mut self.counts.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Counts {
    fn add(&mut self, added: HashMap<Hidden, u64>) {
        for (id, count) in added {
            self.messages += count;
            *self.by_client.entry(id).or_default() += count;
        }
    }

    fn subtract(&mut self, id: &Hidden, count: u64) {
        self.messages = self.messages.saturating_sub(count);
        if let Some(left) = self.by_client.get_mut(id) {
            *left = left.saturating_sub(count);
            if *left == 0 {
                self.by_client.remove(id);
            }
        }
    }
}

async fn begin(connection: &mut SqliteConnection) -> Result<Transaction<'_, Sqlite>, StoreError> {
    Ok(connection.begin_with("BEGIN IMMEDIATE").await?)
}

/// Those of these clients that are registered.
async fn registered(transaction: &mut Transaction<'_, Sqlite>, ids: &[Hidden]) -> Result<HashSet<Hidden>, StoreError> {
    let different: Vec<_> = ids.iter().collect::<HashSet<_>>().into_iter().collect();
    let mut registered = HashSet::new();
    for ids in different.chunks(ROWS_MAX) {
        let mut query = QueryBuilder::new("SELECT id FROM clients WHERE id IN (");
        let mut list = query.separated(", ");
        for id in ids {
            list.push_bind(&id[..]);
        }
        list.push_unseparated(")");
        for row in query.build().persistent(false).fetch_all(&mut **transaction).await? {
            let id = row.try_get::<&[u8], _>(0)?;
            registered.insert(Hidden::try_from(id).map_err(|_| StoreError::Undecipherable)?);
        }
    }
    Ok(registered)
}

/// Adds messages: clients, and sealed contents.
async fn insert(
    transaction: &mut Transaction<'_, Sqlite>,
    rows: &[(Hidden, Vec<u8>)],
    now: u64,
) -> Result<(), StoreError> {
    // A statement of its own for each message costs more than the rest of the way to the disk.
    for rows in rows.chunks(ROWS_MAX) {
        let mut query = QueryBuilder::new("INSERT INTO messages (client, arrived, content) ");
        query.push_values(rows, |mut row, (id, content)| {
            row.push_bind(&id[..]).push_bind(stored_time(now)).push_bind(&content[..]);
        });
        query.build().persistent(false).execute(&mut **transaction).await?;
    }
    Ok(())
}

/// Closes a connection that has failed. A full disk ends a transaction without the library, which then refuses every other
/// transaction of this connection.
fn released<T>(mut connection: PoolConnection<Sqlite>, result: Result<T, StoreError>) -> Result<T, StoreError> {
    if let Err(StoreError::Database(_)) = result {
        connection.close_on_drop();
    }
    result
}

/// Seconds since 1970, rounded down.
fn stored_time(now: u64) -> i64 {
    (now - now % TIME_UNIT.as_secs()).cast_signed()
}

#[cfg(test)]
mod tests;
