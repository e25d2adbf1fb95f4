//! Database connections that return to the pool only after successful use.
//!
//! After a failed statement or commit, or when a request is cancelled, the state of a connection is unknown: a
//! transaction may still be open. Such a connection is closed, and the next request opens a new one.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sqlx::pool::PoolConnection;
use sqlx::{Any, AnyConnection, AnyPool};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Maximum number of concurrent report queries.
const REPORTS_MAX: usize = 2;

/// Connection pool of one database, with a counter of its changes.
#[derive(Debug, Clone)]
pub(super) struct Connections {
    pool: AnyPool,
    database: Database,
    /// There is one writer at a time. The others wait here, in order, without occupying a connection.
    writers: Arc<Semaphore>,
    /// Report queries read many rows. Waiting ones must not occupy connections that quick queries need.
    reports: Arc<Semaphore>,
    /// Changes with each commit that may change the lists.
    generation: Arc<AtomicU64>,
}

/// What differs between the databases; all other statements are the same.
#[derive(Debug, Clone, Copy)]
pub(super) struct Database {
    /// Begins a transaction with the database's write lock.
    pub(super) begin: &'static str,
    /// Reads the database's clock, in nanoseconds since the epoch.
    pub(super) clock: &'static str,
    /// Whether other processes change the database. Their commits change its table `change`.
    pub(super) is_shared: bool,
}

impl Connections {
    pub(super) fn new(pool: AnyPool, database: Database) -> Self {
        Self {
            pool,
            database,
            writers: Arc::new(Semaphore::new(1)),
            reports: Arc::new(Semaphore::new(REPORTS_MAX)),
            generation: Arc::default(),
        }
    }

    /// Returns a connection for reading; call [`Read::done`] when the queries have succeeded.
    pub(super) async fn read(&self) -> sqlx::Result<Read> {
        Ok(Read(Lease::of(&self.pool).await?))
    }

    /// Waits for a permit for a report query.
    pub(super) async fn report(&self) -> sqlx::Result<OwnedSemaphorePermit> {
        Arc::clone(&self.reports).acquire_owned().await.map_err(|_| sqlx::Error::PoolClosed)
    }

    /// Begins a transaction with the write lock: other writers cannot change what it reads.
    pub(super) async fn begin(&self) -> sqlx::Result<Transaction> {
        let writers = Arc::clone(&self.writers);
        let turn = writers.acquire_owned().await.map_err(|_| sqlx::Error::PoolClosed)?;
        let mut lease = Lease::of(&self.pool).await?;
        sqlx::raw_sql(self.database.begin).execute(&mut *lease.connection).await?;
        Ok(Transaction { lease, generation: Arc::clone(&self.generation), database: self.database, _turn: turn })
    }

    /// Whether other processes change the database.
    pub(super) fn is_shared(&self) -> bool {
        self.database.is_shared
    }

    /// Takes over the generation that other processes have changed.
    pub(super) async fn refresh_generation(&self) -> sqlx::Result<()> {
        let mut connection = self.read().await?;
        let generation: i64 = sqlx::query_scalar("SELECT generation FROM change").fetch_one(&mut *connection).await?;
        connection.done();
        self.generation.store(generation.cast_unsigned(), Ordering::Release);
        Ok(())
    }

    /// Changes when the lists may have changed.
    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    pub(super) async fn close(&self) {
        self.pool.close().await;
    }
}

/// Connection that is closed on drop unless its work has succeeded.
#[derive(Debug)]
struct Lease {
    connection: PoolConnection<Any>,
    has_succeeded: bool,
}

impl Lease {
    async fn of(pool: &AnyPool) -> sqlx::Result<Self> {
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

/// Connection for reading.
#[derive(Debug)]
pub(super) struct Read(Lease);

impl Read {
    /// Returns the connection to the pool.
    pub(super) fn done(mut self) {
        self.0.has_succeeded = true;
    }
}

impl Deref for Read {
    type Target = AnyConnection;

    fn deref(&self) -> &AnyConnection {
        &self.0.connection
    }
}

impl DerefMut for Read {
    fn deref_mut(&mut self) -> &mut AnyConnection {
        &mut self.0.connection
    }
}

/// Write transaction. Dropping it rolls it back by closing its connection.
#[derive(Debug)]
pub(crate) struct Transaction {
    lease: Lease,
    generation: Arc<AtomicU64>,
    database: Database,
    _turn: OwnedSemaphorePermit,
}

impl Transaction {
    /// Commits changes that may affect the lists.
    pub(crate) async fn commit(mut self) -> sqlx::Result<()> {
        let counter = Arc::clone(&self.generation);
        if self.database.is_shared {
            let generation: i64 =
                sqlx::query_scalar("UPDATE change SET generation = generation + 1 RETURNING generation")
                    .fetch_one(self.connection())
                    .await?;
            self.commit_unlisted().await?;
            counter.store(generation.cast_unsigned(), Ordering::Release);
        } else {
            self.commit_unlisted().await?;
            counter.fetch_add(1, Ordering::AcqRel);
        }
        Ok(())
    }

    /// Commits changes that do not affect the lists.
    pub(crate) async fn commit_unlisted(mut self) -> sqlx::Result<()> {
        self.end("COMMIT").await
    }

    /// Rolls the transaction back.
    pub(crate) async fn rollback(mut self) -> sqlx::Result<()> {
        self.end("ROLLBACK").await
    }

    async fn end(&mut self, statement: &'static str) -> sqlx::Result<()> {
        sqlx::query(statement).execute(&mut *self.lease.connection).await?;
        self.lease.has_succeeded = true;
        Ok(())
    }
}

impl Transaction {
    /// Statement that reads the database's clock.
    pub(super) fn clock(&self) -> &'static str {
        self.database.clock
    }

    /// The connection, for statements of this transaction.
    pub(super) fn connection(&mut self) -> &mut AnyConnection {
        &mut self.lease.connection
    }
}
