//! Latest packet counts of each node.

use std::collections::BTreeMap;

use nym_mixnode_api::{MixMetric, PersistedMixMetric};

use super::Store;

impl Store {
    /// Replaces the node's earlier count; returns whether the node is registered.
    pub(crate) async fn put_metric(&self, identity: &str, received: u64, now: i64) -> sqlx::Result<bool> {
        let mut transaction = self.begin_write().await?;
        let result = sqlx::query(
            "INSERT INTO metric (identity, received, sent, at)
             SELECT identity, ?, '{}', ? FROM node WHERE identity = ?
             ON CONFLICT (identity) DO UPDATE SET received = excluded.received, sent = excluded.sent, at = excluded.at",
        )
        .bind(i64::try_from(received).unwrap_or(i64::MAX))
        .bind(now)
        .bind(identity)
        .execute(&mut *transaction)
        .await?;
        transaction.commit_unlisted().await?;
        Ok(result.rows_affected() > 0)
    }

    /// The latest report of each registered node, without next hops.
    pub(crate) async fn metrics(&self) -> sqlx::Result<Vec<PersistedMixMetric>> {
        let query = sqlx::query_as("SELECT identity, received, at FROM metric ORDER BY identity");
        let rows: Vec<(String, i64, i64)> = self.fetch_all(query).await?;
        let report = |(pub_key, received, timestamp)| {
            let received = u64::try_from(received).unwrap_or_default();
            PersistedMixMetric { metric: MixMetric { pub_key, received, sent: BTreeMap::new() }, timestamp }
        };
        Ok(rows.into_iter().map(report).collect())
    }

    /// Number of registered nodes, which determines the report interval.
    pub(crate) async fn node_count(&self) -> sqlx::Result<u64> {
        let mut connection = self.read().await?;
        let count: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM node").fetch_one(&mut *connection).await?;
        connection.done();
        Ok(u64::try_from(count).unwrap_or_default())
    }
}
