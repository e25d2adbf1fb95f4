//! Measurements of network monitors, and reputation.

use std::collections::HashMap;

use nym_mixnode_api::{IpVersion, MixStatus, PersistedMixStatus};
use sqlx::{AssertSqlSafe, FromRow};

use super::{Store, Transaction};

/// Maximum number of rows per statement. The time for binding grows with the square of the number of parameters: SQLite
/// walks a list of their names for each.
pub(super) const ROWS_MAX: usize = 50;

/// Query for [`Measured`]; `$1` to `$3` are the beginnings of the windows.
macro_rules! measured {
    ($condition:literal) => {
        concat!(
            "SELECT status.identity, status.ip_version, up, at, minutes_passed, minutes, hour_passed, hour, day_passed,
                    day
             FROM status JOIN (
                 SELECT MAX(id) AS latest,
                     COUNT(CASE WHEN up = 1 AND at > $1 THEN 1 END) AS minutes_passed,
                     COUNT(CASE WHEN at > $1 THEN 1 END) AS minutes,
                     COUNT(CASE WHEN up = 1 AND at > $2 THEN 1 END) AS hour_passed,
                     COUNT(CASE WHEN at > $2 THEN 1 END) AS hour,
                     COUNT(CASE WHEN up = 1 AND at > $3 THEN 1 END) AS day_passed,
                     COUNT(CASE WHEN at > $3 THEN 1 END) AS day
                 FROM status WHERE ",
            $condition,
            " GROUP BY identity, ip_version) AS windows ON status.id = windows.latest
             ORDER BY status.identity, status.ip_version"
        )
    };
}

/// Beginnings of the windows for [`Measured`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Windows {
    pub(crate) minutes: i64,
    pub(crate) hour: i64,
    pub(crate) day: i64,
}

/// Measurements of one node over one IP version: the latest one, and numbers of passed ones and of all in each window.
#[derive(Debug, Default, PartialEq, Eq, FromRow)]
pub(crate) struct Measured {
    pub(crate) identity: String,
    /// 4 or 6.
    pub(crate) ip_version: i64,
    /// 1 if the latest one succeeded, otherwise 0.
    pub(crate) up: i64,
    /// Arrival time of the latest one.
    pub(crate) at: i64,
    pub(crate) minutes_passed: i64,
    pub(crate) minutes: i64,
    pub(crate) hour_passed: i64,
    pub(crate) hour: i64,
    pub(crate) day_passed: i64,
    pub(crate) day: i64,
}

/// Reputation and layer of a node; the layer of gateways is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) reputation: i64,
    pub(crate) layer: i64,
}

impl Store {
    /// Measurements of these hours, by identity: those that passed and all, over IPv4 and then over IPv6.
    pub(crate) async fn uptimes(
        &self,
        since_hour: i64,
        until_hour: i64,
    ) -> sqlx::Result<HashMap<String, [(i64, i64); 2]>> {
        let query = sqlx::query_as(
            "SELECT identity, ip_version, CAST(SUM(up) AS BIGINT), CAST(SUM(total) AS BIGINT) FROM uptime
             WHERE hour BETWEEN $1 AND $2 GROUP BY identity, ip_version",
        );
        let rows: Vec<(String, i64, i64, i64)> = self.fetch_report(query.bind(since_hour).bind(until_hour)).await?;
        let mut uptimes: HashMap<String, [(i64, i64); 2]> = HashMap::new();
        for (identity, ip_version, passed, all) in rows {
            let [ipv4, ipv6] = uptimes.entry(identity).or_default();
            *(if ip_version == 4 { ipv4 } else { ipv6 }) = (passed, all);
        }
        Ok(uptimes)
    }

    /// The node's newest measurements, newest first.
    pub(crate) async fn statuses(&self, identity: &str, count: i64) -> sqlx::Result<Vec<PersistedMixStatus>> {
        let query = sqlx::query_as(
            "SELECT identity, ip_version, up, at FROM status WHERE identity = $1 ORDER BY id DESC LIMIT $2",
        )
        .bind(identity)
        .bind(count);
        let rows: Vec<(String, i64, i64, i64)> = self.fetch_report(query).await?;
        let status = |(pub_key, ip_version, up, timestamp)| PersistedMixStatus {
            status: MixStatus { pub_key, ip_version: version(ip_version), up: up != 0 },
            timestamp,
        };
        Ok(rows.into_iter().map(status).collect())
    }

    /// Measurements of one node.
    pub(crate) async fn measured_of(&self, identity: &str, windows: Windows) -> sqlx::Result<Vec<Measured>> {
        let query = sqlx::query_as(measured!("identity = $4"));
        self.fetch_report(query.bind(windows.minutes).bind(windows.hour).bind(windows.day).bind(identity)).await
    }

    /// Measurements of all nodes in the longest window.
    pub(crate) async fn measured(&self, windows: Windows) -> sqlx::Result<Vec<Measured>> {
        let query = sqlx::query_as(measured!("at > $3"));
        self.fetch_report(query.bind(windows.minutes).bind(windows.hour).bind(windows.day)).await
    }

    /// Measurements of the nodes that are registered now.
    pub(crate) async fn measured_nodes(&self, windows: Windows) -> sqlx::Result<Vec<Measured>> {
        let query = sqlx::query_as(measured!("at > $3 AND identity IN (SELECT identity FROM node)"));
        self.fetch_report(query.bind(windows.minutes).bind(windows.hour).bind(windows.day)).await
    }
}

impl Transaction {
    /// Stores measurements.
    pub(crate) async fn add_statuses(&mut self, statuses: &[MixStatus], now: i64) -> sqlx::Result<()> {
        for statuses in statuses.chunks(ROWS_MAX) {
            let sql = format!("INSERT INTO status (identity, ip_version, up, at) VALUES {}", rows(statuses.len(), 4));
            let mut query = sqlx::query(AssertSqlSafe(sql));
            for MixStatus { pub_key, ip_version, up } in statuses {
                query = query.bind(pub_key).bind(number(*ip_version)).bind(i64::from(*up)).bind(now);
            }
            query.execute(self.connection()).await?;
        }
        Ok(())
    }

    /// Reputation and layer of those identities that have an entry.
    pub(crate) async fn standings(&mut self, identities: &[&str]) -> sqlx::Result<HashMap<String, Standing>> {
        let mut standings = HashMap::with_capacity(identities.len());
        for identities in identities.chunks(ROWS_MAX) {
            let sql = format!(
                "SELECT identity, score, layer FROM reputation JOIN node USING (identity) WHERE identity IN {}",
                rows(1, identities.len())
            );
            let mut query = sqlx::query_as(AssertSqlSafe(sql));
            for identity in identities {
                query = query.bind(*identity);
            }
            let found: Vec<(String, i64, i64)> = query.fetch_all(self.connection()).await?;
            let standing = |(identity, reputation, layer)| (identity, Standing { reputation, layer });
            standings.extend(found.into_iter().map(standing));
        }
        Ok(standings)
    }

    /// Sets the reputation of identities.
    pub(crate) async fn put_reputations(&mut self, reputations: &[(String, i64)]) -> sqlx::Result<()> {
        for reputations in reputations.chunks(ROWS_MAX) {
            let sql = format!(
                "INSERT INTO reputation (identity, score) VALUES {}
                 ON CONFLICT (identity) DO UPDATE SET score = excluded.score",
                rows(reputations.len(), 2)
            );
            let mut query = sqlx::query(AssertSqlSafe(sql));
            for (identity, score) in reputations {
                query = query.bind(identity).bind(*score);
            }
            query.execute(self.connection()).await?;
        }
        Ok(())
    }

    /// Sets the reputation of a node that is or was registered; returns whether it exists.
    pub(crate) async fn set_reputation(&mut self, identity: &str, reputation: i64) -> sqlx::Result<bool> {
        let result = sqlx::query("UPDATE reputation SET score = $1 WHERE identity = $2")
            .bind(reputation)
            .bind(identity)
            .execute(self.connection())
            .await?;
        Ok(result.rows_affected() > 0)
    }

    /// Renews those entries that were last renewed at `before` or earlier.
    pub(crate) async fn renew_all(&mut self, identities: &[&str], before: i64, now: i64) -> sqlx::Result<()> {
        for identities in identities.chunks(ROWS_MAX) {
            let sql = format!(
                "UPDATE node SET renewed_at = $1 WHERE renewed_at <= $2 AND identity IN {}",
                row(3, identities.len())
            );
            let mut query = sqlx::query(AssertSqlSafe(sql)).bind(now).bind(before);
            for identity in identities {
                query = query.bind(*identity);
            }
            query.execute(self.connection()).await?;
        }
        Ok(())
    }

    /// Deletes measurements that arrived at `before` or earlier.
    pub(crate) async fn delete_statuses(&mut self, before: i64) -> sqlx::Result<()> {
        sqlx::query("DELETE FROM status WHERE at <= $1").bind(before).execute(self.connection()).await.map(|_| ())
    }
}

/// Parameters of so many rows, from `$1`.
pub(super) fn rows(count: usize, columns: usize) -> String {
    let rows: Vec<String> = (0..count).map(|index| row(1 + index * columns, columns)).collect();
    rows.join(", ")
}

/// Parameters of one row.
pub(super) fn row(first: usize, columns: usize) -> String {
    let parameters: Vec<String> = (first..first + columns).map(|number| format!("${number}")).collect();
    format!("({})", parameters.join(", "))
}

pub(crate) fn number(ip_version: IpVersion) -> i64 {
    match ip_version {
        IpVersion::V4 => 4,
        IpVersion::V6 => 6,
    }
}

fn version(number: i64) -> IpVersion {
    if number == 4 { IpVersion::V4 } else { IpVersion::V6 }
}
