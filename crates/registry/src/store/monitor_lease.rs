//! Lease of the network monitor: of the registries that share a database, its owner tests the nodes.

use super::Transaction;

impl Transaction {
    /// Time of the database, which all registries share.
    pub(crate) async fn time(&mut self) -> sqlx::Result<i64> {
        let statement = self.clock();
        sqlx::query_scalar(statement).fetch_one(self.connection()).await
    }

    /// Takes or renews the lease; returns whether `owner` has it. A lease that runs out later than `expires_at` counts as
    /// free: the clock of the database was set back.
    pub(crate) async fn take_monitor_lease(&mut self, owner: &str, now: i64, expires_at: i64) -> sqlx::Result<bool> {
        let taken = sqlx::query(
            "INSERT INTO monitor_lease (id, owner, expires_at) VALUES (1, $1, $2)
             ON CONFLICT (id) DO UPDATE SET owner = excluded.owner, expires_at = excluded.expires_at
             WHERE monitor_lease.owner = excluded.owner OR monitor_lease.expires_at <= $3
                 OR monitor_lease.expires_at > excluded.expires_at",
        )
        .bind(owner)
        .bind(expires_at)
        .bind(now)
        .execute(self.connection())
        .await?;
        Ok(taken.rows_affected() > 0)
    }

    /// Ends the lease of this owner, if it has it.
    pub(crate) async fn end_monitor_lease(&mut self, owner: &str) -> sqlx::Result<()> {
        sqlx::query("DELETE FROM monitor_lease WHERE owner = $1")
            .bind(owner)
            .execute(self.connection())
            .await
            .map(|_| ())
    }
}
