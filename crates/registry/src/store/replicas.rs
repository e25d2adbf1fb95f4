//! Registries that share a database: each notices the changes of the others, and all list the same test addresses.

use std::convert::Infallible;
use std::future::pending;
use std::time::Duration;

use tokio::time::sleep;
use tracing::debug;

use super::{Store, Transaction};

/// How long a change by another registry may go unnoticed.
const REFRESH_EVERY: Duration = Duration::from_millis(100);

impl Store {
    /// Notices the changes of other registries, while the database can be reached.
    pub(crate) async fn follow_changes(&self) -> Infallible {
        if !self.connections.is_shared() {
            return pending().await;
        }
        loop {
            if let Err(error) = self.connections.refresh_generation().await {
                // Requests that fail report it.
                debug!(%error, "cannot read the changes of other registries");
            }
            sleep(REFRESH_EVERY).await;
        }
    }

    /// Whether other registries may use the database.
    pub(crate) fn is_shared(&self) -> bool {
        self.connections.is_shared()
    }

    /// Return addresses of test packets that registries have recorded since this time.
    pub(crate) async fn test_addresses(&self, since: i64) -> sqlx::Result<Vec<String>> {
        let query = sqlx::query_as("SELECT address FROM test_address WHERE seen_at > $1 ORDER BY address").bind(since);
        let rows: Vec<(String,)> = self.fetch_all(query).await?;
        Ok(rows.into_iter().map(|(address,)| address).collect())
    }
}

impl Transaction {
    /// Records a return address of test packets; returns whether it is new.
    pub(crate) async fn put_test_address(&mut self, address: &str, now: i64) -> sqlx::Result<bool> {
        let known = sqlx::query("UPDATE test_address SET seen_at = $1 WHERE address = $2")
            .bind(now)
            .bind(address)
            .execute(self.connection())
            .await?;
        if known.rows_affected() > 0 {
            return Ok(false);
        }
        sqlx::query("INSERT INTO test_address (address, seen_at) VALUES ($1, $2)")
            .bind(address)
            .bind(now)
            .execute(self.connection())
            .await?;
        Ok(true)
    }

    /// Deletes the addresses recorded at this time or earlier; returns their number.
    pub(crate) async fn delete_test_addresses(&mut self, before: i64) -> sqlx::Result<u64> {
        let deleted =
            sqlx::query("DELETE FROM test_address WHERE seen_at <= $1").bind(before).execute(self.connection()).await?;
        Ok(deleted.rows_affected())
    }
}
