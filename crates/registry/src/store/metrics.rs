//! Latest packet counts of each node.

use std::collections::BTreeMap;

use nym_mixnode_api::{MixMetric, PersistedMixMetric};

use super::{Store, Transaction};

impl Transaction {
    /// Replaces the earlier count of a node that has an entry.
    pub(crate) async fn put_metric(&mut self, identity: &str, received: u64, now: i64) -> sqlx::Result<()> {
        sqlx::query(
            "INSERT INTO metric (identity, received, sent, at) VALUES ($1, $2, '{}', $3)
             ON CONFLICT (identity) DO UPDATE SET received = excluded.received, sent = excluded.sent, at = excluded.at",
        )
        .bind(identity)
        .bind(i64::try_from(received).unwrap_or(i64::MAX))
        .bind(now)
        .execute(self.connection())
        .await
        .map(|_| ())
    }
}

impl Store {
    /// The latest report of each registered node, without next hops.
    pub(crate) async fn metrics(&self) -> sqlx::Result<Vec<PersistedMixMetric>> {
        let query = sqlx::query_as("SELECT identity, received, at FROM metric ORDER BY identity");
        let rows: Vec<(String, i64, i64)> = self.fetch_all(query).await?;
        let report = |(pub_key, received, timestamp): (String, i64, i64)| {
            let received = received.cast_unsigned();
            PersistedMixMetric { metric: MixMetric { pub_key, received, sent: BTreeMap::new() }, timestamp }
        };
        Ok(rows.into_iter().map(report).collect())
    }
}
