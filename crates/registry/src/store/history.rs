//! Measurements, reputation, registrations and traffic over time, counted per hour.

use sqlx::{AssertSqlSafe, FromRow};

use super::measurements::{ROWS_MAX, rows};
use super::{Store, Transaction};

/// Measurements of one node over one IP version in an hour, or in a day that begins with it.
#[derive(Debug, Clone, Default, PartialEq, Eq, FromRow)]
pub(crate) struct Tests {
    pub(crate) identity: String,
    /// 4 or 6.
    pub(crate) ip_version: i64,
    /// Hours since the epoch.
    pub(crate) hour: i64,
    /// Number of successful ones.
    pub(crate) up: i64,
    pub(crate) total: i64,
    /// Reputation at the end of the hour; the greatest of a day.
    pub(crate) reputation: i64,
}

/// Totals of a layer in an hour.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, FromRow)]
pub(crate) struct LayerHour {
    /// Hours since the epoch.
    pub(crate) hour: i64,
    /// 0 for gateways.
    pub(crate) layer: i64,
    /// Registered nodes at the end of the hour.
    pub(crate) nodes: i64,
    /// Packets that the nodes have reported.
    pub(crate) received: i64,
    /// Number of measurements.
    pub(crate) total: i64,
    /// Number of successful ones.
    pub(crate) up: i64,
}

impl Store {
    /// History of a node from this hour on, oldest first.
    pub(crate) async fn tests(&self, identity: &str, since_hour: i64) -> sqlx::Result<Vec<Tests>> {
        let query = sqlx::query_as(
            "SELECT identity, ip_version, hour, up, total, reputation FROM uptime
             WHERE identity = $1 AND hour >= $2 ORDER BY hour, ip_version",
        );
        self.fetch_all(query.bind(identity).bind(since_hour)).await
    }

    /// History of the network from this hour on, oldest first.
    pub(crate) async fn layer_hours(&self, since_hour: i64) -> sqlx::Result<Vec<LayerHour>> {
        let query = sqlx::query_as(
            "SELECT hour, layer, nodes, received, total, up FROM layer_hour WHERE hour >= $1 ORDER BY hour, layer",
        );
        self.fetch_all(query.bind(since_hour)).await
    }
}

impl Transaction {
    /// Adds counts of measurements, at most one for each node, IP version and hour; replaces the reputation.
    pub(crate) async fn count_tests(&mut self, tests: &[Tests]) -> sqlx::Result<()> {
        for tests in tests.chunks(ROWS_MAX) {
            let sql = format!(
                "INSERT INTO uptime (identity, ip_version, hour, up, total, reputation) VALUES {}
                 ON CONFLICT (identity, ip_version, hour) DO UPDATE SET up = uptime.up + excluded.up,
                     total = uptime.total + excluded.total, reputation = excluded.reputation",
                rows(tests.len(), 6)
            );
            let mut query = sqlx::query(AssertSqlSafe(sql));
            for test in tests {
                query = query.bind(&test.identity).bind(test.ip_version).bind(test.hour);
                query = query.bind(test.up).bind(test.total).bind(test.reputation);
            }
            query.execute(self.connection()).await?;
        }
        Ok(())
    }

    /// Adds reported packets and measurements to the totals of a layer.
    pub(crate) async fn count_in_layer(&mut self, counts: &LayerHour) -> sqlx::Result<()> {
        sqlx::query(
            "INSERT INTO layer_hour (hour, layer, received, total, up) VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (hour, layer) DO UPDATE SET received = layer_hour.received + excluded.received,
                 total = layer_hour.total + excluded.total, up = layer_hour.up + excluded.up",
        )
        .bind(counts.hour)
        .bind(counts.layer)
        .bind(counts.received)
        .bind(counts.total)
        .bind(counts.up)
        .execute(self.connection())
        .await
        .map(|_| ())
    }

    /// Records the number of nodes of each layer.
    pub(crate) async fn count_nodes(&mut self, hour: i64) -> sqlx::Result<()> {
        sqlx::query(
            "INSERT INTO layer_hour (hour, layer, nodes)
             SELECT $1, layer, COUNT(*) FROM node WHERE TRUE GROUP BY layer
             ON CONFLICT (hour, layer) DO UPDATE SET nodes = excluded.nodes",
        )
        .bind(hour)
        .execute(self.connection())
        .await
        .map(|_| ())
    }

    /// Joins the hours before this one to days, and deletes what is older than the other hour. Both begin a day.
    pub(crate) async fn shorten_history(&mut self, daily_before: i64, deleted_before: i64) -> sqlx::Result<()> {
        sqlx::query(
            "INSERT INTO uptime (identity, ip_version, hour, up, total, reputation)
             SELECT identity, ip_version, hour - hour % 24, CAST(SUM(up) AS BIGINT), CAST(SUM(total) AS BIGINT),
                 MAX(reputation)
             FROM uptime WHERE hour < $1 AND hour % 24 <> 0 GROUP BY identity, ip_version, hour - hour % 24
             ON CONFLICT (identity, ip_version, hour) DO UPDATE SET up = uptime.up + excluded.up,
                 total = uptime.total + excluded.total, reputation = CASE
                     WHEN excluded.reputation > uptime.reputation THEN excluded.reputation
                     ELSE uptime.reputation END",
        )
        .bind(daily_before)
        .execute(self.connection())
        .await?;
        sqlx::query("DELETE FROM uptime WHERE hour < $1 AND (hour % 24 <> 0 OR hour < $2)")
            .bind(daily_before)
            .bind(deleted_before)
            .execute(self.connection())
            .await?;
        sqlx::query("DELETE FROM layer_hour WHERE hour < $1")
            .bind(deleted_before)
            .execute(self.connection())
            .await
            .map(|_| ())
    }
}
