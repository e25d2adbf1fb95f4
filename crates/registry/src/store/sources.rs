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

    /// Counts the entries of a source and in total; `active` is the reputation of the active set.
    pub(crate) async fn counts(&mut self, source: &Source, active: i64) -> sqlx::Result<Counts> {
        let (subscriber, network) = columns(source);
        let of_subscriber = sqlx::query_scalar(unproved!("SELECT COUNT(*)", "subscriber = $2"));
        let of_network = sqlx::query_scalar(unproved!("SELECT COUNT(*)", "network = $2"));
        let total = sqlx::query_scalar("SELECT COUNT(*) FROM node");
        let of_subscriber = of_subscriber.bind(active).bind(subscriber);
        let of_network = of_network.bind(active).bind(network);
        Ok(Counts {
            of_subscriber: i64::cast_unsigned(of_subscriber.fetch_one(self.connection()).await?),
            of_network: i64::cast_unsigned(of_network.fetch_one(self.connection()).await?),
            total: i64::cast_unsigned(total.fetch_one(self.connection()).await?),
        })
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
