//! Times in the future: the clock was ahead when they were stored.

use super::Transaction;

impl Transaction {
    /// Sets times after `latest` to `now`, and the expiry of such entries by their lifetimes. Otherwise entries would
    /// live too long, and pending addresses would wait for their test packets. Returns whether listed times changed.
    pub(crate) async fn correct_future(&mut self, latest: i64, now: i64) -> sqlx::Result<bool> {
        let listed = sqlx::query(
            "UPDATE node SET expires_at = expires_at - (registered_at - $1), registered_at = $1 WHERE registered_at > $2",
        );
        let listed = listed.bind(now).bind(latest).execute(self.connection()).await?.rows_affected();
        for correction in [
            "UPDATE node SET renewed_at = $1 WHERE renewed_at > $2",
            "UPDATE node SET dialled_at = $1 WHERE dialled_at > $2",
            "UPDATE claim SET called_at = $1 WHERE called_at > $2",
            "UPDATE signer SET signed_at = $1 WHERE signed_at > $2",
            "UPDATE status SET at = $1 WHERE at > $2",
        ] {
            sqlx::query(correction).bind(now).bind(latest).execute(self.connection()).await?;
        }
        Ok(listed > 0)
    }

    /// Makes pending claims due whose next test packet would be sent after `latest`.
    pub(crate) async fn hasten_tests(&mut self, latest: i64, now: i64) -> sqlx::Result<()> {
        sqlx::query("UPDATE claim SET try_at = $1 WHERE proved_at IS NULL AND try_at > $2")
            .bind(now)
            .bind(latest)
            .execute(self.connection())
            .await
            .map(|_| ())
    }
}
