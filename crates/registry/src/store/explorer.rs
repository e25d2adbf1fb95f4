//! What the explorer shows of tests and pending addresses.

use nym_mixnode_api::PendingAddress;
use sqlx::FromRow;

use super::Store;

/// Tests of one node over one IP version since a time.
#[derive(Debug, PartialEq, Eq, FromRow)]
pub(crate) struct RecentTests {
    pub(crate) identity: String,
    /// 4 or 6.
    pub(crate) ip_version: i64,
    /// 1 if the latest one passed, otherwise 0.
    pub(crate) up: i64,
    /// Arrival time of the latest one.
    pub(crate) at: i64,
    /// Arrival time of the first one.
    pub(crate) first_at: i64,
    pub(crate) count: i64,
}

/// Tests of one node over one IP version in one of several intervals.
#[derive(Debug, PartialEq, Eq, FromRow)]
pub(crate) struct TestSlot {
    /// 4 or 6.
    pub(crate) ip_version: i64,
    /// Number of the interval, from 0.
    pub(crate) slot: i64,
    pub(crate) passed: i64,
    pub(crate) total: i64,
}

impl Store {
    /// Tests of all registered nodes after a time.
    pub(crate) async fn recent_tests(&self, after: i64) -> sqlx::Result<Vec<RecentTests>> {
        let query = sqlx::query_as(
            "SELECT status.identity, status.ip_version, up, at, first_at, count
             FROM status JOIN (
                 SELECT MAX(id) AS latest, COUNT(*) AS count, MIN(at) AS first_at
                 FROM status WHERE at > $1 AND identity IN (SELECT identity FROM node)
                 GROUP BY identity, ip_version) AS recent ON status.id = recent.latest",
        )
        .bind(after);
        self.fetch_report(query).await
    }

    /// Tests of one node after a time, in intervals of this length from then on.
    pub(crate) async fn test_slots(&self, identity: &str, after: i64, interval: i64) -> sqlx::Result<Vec<TestSlot>> {
        let query = sqlx::query_as(
            "SELECT ip_version, (at - $2 - 1) / $3 AS slot, COUNT(CASE WHEN up = 1 THEN 1 END) AS passed,
                    COUNT(*) AS total
             FROM status WHERE identity = $1 AND at > $2 GROUP BY ip_version, slot ORDER BY ip_version, slot",
        )
        .bind(identity)
        .bind(after)
        .bind(interval.max(1));
        self.fetch_report(query).await
    }

    /// Addresses of one node that are not listed, with the reasons.
    pub(crate) async fn pending_of(&self, identity: &str) -> sqlx::Result<Vec<PendingAddress>> {
        let query = sqlx::query_as(
            "SELECT address, COALESCE(reason, '') FROM claim WHERE identity = $1 AND proved_at IS NULL ORDER BY address",
        )
        .bind(identity);
        let rows: Vec<(String, String)> = self.fetch_all(query).await?;
        Ok(rows.into_iter().map(|(address, reason)| PendingAddress { address, reason }).collect())
    }
}
