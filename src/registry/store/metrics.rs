//! The latest packet counts of each node.

use super::{Store, from_json, to_json};
use crate::api::{MixMetric, PersistedMixMetric};

impl Store {
    /// Keeps the report in place of the node's earlier one; whether the node is registered.
    pub(in crate::registry) async fn put_metric(&self, metric: &MixMetric, now: i64) -> sqlx::Result<bool> {
        let result = sqlx::query(
            "INSERT INTO metric (identity, received, sent, at)
             SELECT identity, ?, ?, ? FROM node WHERE identity = ?
             ON CONFLICT (identity) DO UPDATE SET received = excluded.received, sent = excluded.sent, at = excluded.at",
        )
        .bind(i64::try_from(metric.received).unwrap_or(i64::MAX))
        .bind(to_json(&metric.sent)?)
        .bind(now)
        .bind(&metric.pub_key)
        .execute(&self.pool)
        .await?;
        Ok(result.rows_affected() > 0)
    }

    /// The latest report of each registered node.
    pub(in crate::registry) async fn metrics(&self) -> sqlx::Result<Vec<PersistedMixMetric>> {
        let rows: Vec<(String, i64, String, i64)> =
            sqlx::query_as("SELECT identity, received, sent, at FROM metric ORDER BY identity")
                .fetch_all(&self.pool)
                .await?;
        rows.into_iter()
            .map(|(pub_key, received, sent, timestamp)| {
                let received = u64::try_from(received).unwrap_or_default();
                Ok(PersistedMixMetric { metric: MixMetric { pub_key, received, sent: from_json(&sent)? }, timestamp })
            })
            .collect()
    }

    /// Registered nodes, for the pace of their reports.
    pub(in crate::registry) async fn node_count(&self) -> sqlx::Result<u64> {
        let count: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM node").fetch_one(&self.pool).await?;
        Ok(u64::try_from(count).unwrap_or_default())
    }
}
