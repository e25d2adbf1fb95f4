//! Where entries were registered from, to count them.

use super::Transaction;
use crate::caps::{Counts, Source};

/// Query over unproved entries; `$1` is the reputation of the active set.
macro_rules! unproved {
    ($select:literal, $rest:literal) => {
        concat!(
            $select,
            " FROM source JOIN node USING (identity) LEFT JOIN reputation USING (identity)
              WHERE COALESCE(score, 0) < $1 AND packet_proved_at IS NULL AND ",
            $rest
        )
    };
}

impl Transaction {
    /// Records the source of the entry of `identity`.
    pub(crate) async fn put_source(&mut self, identity: &str, source: &Source) -> sqlx::Result<()> {
        let (subscriber, network) = columns(source);
        sqlx::query(
            "INSERT INTO source (identity, subscriber, network) VALUES ($1, $2, $3)
             ON CONFLICT (identity) DO UPDATE SET subscriber = excluded.subscriber, network = excluded.network",
        )
        .bind(identity)
        .bind(subscriber)
        .bind(network)
        .execute(self.connection())
        .await
        .map(|_| ())
    }

    /// Counts the entries that the limits of a source concern, and all entries; `active` is the reputation of the active
    /// set.
    pub(crate) async fn counts(&mut self, source: &Source, active: i64) -> sqlx::Result<Counts> {
        let of_subscriber = unproved!("SELECT COUNT(*)", "subscriber = $2");
        let of_network = unproved!("SELECT COUNT(*)", "network = $2");
        let (subscriber, network) = columns(source);
        // A private network may have all entries, and counting them takes long.
        let (of_subscriber, of_network) = match source {
            Source::Private => (0, 0),
            Source::Unknown => (0, self.count(of_network, active, network).await?),
            Source::Internet { .. } => {
                (self.count(of_subscriber, active, subscriber).await?, self.count(of_network, active, network).await?)
            }
        };
        let total: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM node").fetch_one(self.connection()).await?;
        Ok(Counts { of_subscriber, of_network, total: total.cast_unsigned() })
    }

    async fn count(&mut self, query: &'static str, active: i64, group: &str) -> sqlx::Result<u64> {
        let count: i64 = sqlx::query_scalar(query).bind(active).bind(group).fetch_one(self.connection()).await?;
        Ok(count.cast_unsigned())
    }

    /// Networks with their numbers of unproved entries. Reads all entries.
    pub(crate) async fn unproved_by_network(&mut self, active: i64) -> sqlx::Result<Vec<(String, i64)>> {
        let query = sqlx::query_as(unproved!("SELECT network, COUNT(*)", "TRUE GROUP BY network"));
        query.bind(active).fetch_all(self.connection()).await
    }

    /// Removes the unproved entry of this network with the oldest renewal, if there is one.
    pub(crate) async fn evict_from(&mut self, network: &str, active: i64) -> sqlx::Result<bool> {
        let oldest = unproved!(
            "DELETE FROM node WHERE identity = (SELECT identity",
            "network = $2 ORDER BY renewed_at, identity LIMIT 1)"
        );
        let evicted = sqlx::query(oldest).bind(active).bind(network).execute(self.connection()).await?;
        Ok(evicted.rows_affected() > 0)
    }
}

/// Private networks and unknown callers form one group each.
pub(crate) fn columns(source: &Source) -> (&str, &str) {
    match source {
        Source::Internet { subscriber, network } => (subscriber, network),
        Source::Private => ("private", "private"),
        Source::Unknown => ("unknown", "unknown"),
    }
}
