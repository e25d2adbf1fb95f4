//! Connections to the database: one goes back to the pool only after its work has succeeded.
//!
//! After a failed statement or commit, and when a request is given up halfway, the state of a connection is unknown: a
//! transaction may still be open on it. Such a connection is closed, and the next request opens another.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sqlx::pool::PoolConnection;
use sqlx::sqlite::SqlitePool;
use sqlx::{Sqlite, SqliteConnection};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Reports at one time, of all connections of the pool.
const REPORTS_MAX: usize = 2;

/// Connections of one database, and the count of changes to it.
#[derive(Debug, Clone)]
pub(super) struct Connections {
    pool: SqlitePool,
    /// `SQLite` has one writer at a time. The others wait here, in order, and take no connection away from readers.
    writers: Arc<Semaphore>,
    /// Reports read many rows. Those that wait for their turn leave the other connections to quick queries.
    reports: Arc<Semaphore>,
    /// Grows with each commit that may change what is listed.
    generation: Arc<AtomicU64>,
}

impl Connections {
    pub(super) fn new(pool: SqlitePool) -> Self {
        Self {
            pool,
            writers: Arc::new(Semaphore::new(1)),
            reports: Arc::new(Semaphore::new(REPORTS_MAX)),
            generation: Arc::default(),
        }
    }

    /// A connection for reading; call [`Read::done`] when the queries have succeeded.
    pub(super) async fn read(&self) -> sqlx::Result<Read> {
        Ok(Read(Lease::of(&self.pool).await?))
    }

    /// The right to make a report.
    pub(super) async fn report(&self) -> sqlx::Result<OwnedSemaphorePermit> {
        Arc::clone(&self.reports).acquire_owned().await.map_err(|_| sqlx::Error::PoolClosed)
    }

    /// A transaction that has the write lock from its beginning: what it reads stays true until it commits.
    pub(super) async fn write(&self) -> sqlx::Result<Write> {
        let writers = Arc::clone(&self.writers);
        let turn = writers.acquire_owned().await.map_err(|_| sqlx::Error::PoolClosed)?;
        let mut lease = Lease::of(&self.pool).await?;
        sqlx::query("BEGIN IMMEDIATE").execute(&mut *lease.connection).await?;
        Ok(Write { lease, generation: Arc::clone(&self.generation), _turn: turn })
    }

    /// Differs from an earlier value when what is listed may have changed since.
    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    pub(super) async fn close(&self) {
        self.pool.close().await;
    }
}

/// A connection that is closed when it is dropped, unless its work has succeeded.
#[derive(Debug)]
struct Lease {
    connection: PoolConnection<Sqlite>,
    has_succeeded: bool,
}

impl Lease {
    async fn of(pool: &SqlitePool) -> sqlx::Result<Self> {
        Ok(Self { connection: pool.acquire().await?, has_succeeded: false })
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if !self.has_succeeded {
            self.connection.close_on_drop();
        }
    }
}

/// A connection for reading.
#[derive(Debug)]
pub(super) struct Read(Lease);

impl Read {
    /// Gives the connection back.
    pub(super) fn done(mut self) {
        self.0.has_succeeded = true;
    }
}

impl Deref for Read {
    type Target = SqliteConnection;

    fn deref(&self) -> &SqliteConnection {
        &self.0.connection
    }
}

impl DerefMut for Read {
    fn deref_mut(&mut self) -> &mut SqliteConnection {
        &mut self.0.connection
    }
}

/// A write transaction. Dropping it rolls it back by closing its connection.
#[derive(Debug)]
pub(crate) struct Write {
    lease: Lease,
    generation: Arc<AtomicU64>,
    _turn: OwnedSemaphorePermit,
}

impl Write {
    /// Makes the changes permanent. What is listed may differ afterwards.
    pub(crate) async fn commit(self) -> sqlx::Result<()> {
        let generation = Arc::clone(&self.generation);
        self.commit_unlisted().await?;
        generation.fetch_add(1, Ordering::AcqRel);
        Ok(())
    }

    /// Makes changes permanent that no list of nodes shows.
    pub(crate) async fn commit_unlisted(mut self) -> sqlx::Result<()> {
        self.end("COMMIT").await
    }

    /// Ends the transaction without its changes.
    pub(crate) async fn rollback(mut self) -> sqlx::Result<()> {
        self.end("ROLLBACK").await
    }

    async fn end(&mut self, statement: &'static str) -> sqlx::Result<()> {
        sqlx::query(statement).execute(&mut *self.lease.connection).await?;
        self.lease.has_succeeded = true;
        Ok(())
    }
}

impl Deref for Write {
    type Target = SqliteConnection;

    fn deref(&self) -> &SqliteConnection {
        &self.lease.connection
    }
}

impl DerefMut for Write {
    fn deref_mut(&mut self) -> &mut SqliteConnection {
        &mut self.lease.connection
    }
}
