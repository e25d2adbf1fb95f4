//! Measurements of network monitors, and the reputation derived from them.

use nym_mixnode_api::{IpVersion, MixStatus, MixStatusReport, PersistedMixStatus};
use sqlx::FromRow;
use sqlx::sqlite::SqliteRow;

use super::{Store, claims};

const REPUTATION_UP: i64 = 3;
const REPUTATION_DOWN: i64 = -2;

/// Far above any earned reputation, far below an overflow.
pub(crate) const REPUTATION_MAX: i64 = 1_000_000_000;

/// Maximum number of measurements in a history, newest first.
const HISTORY_MAX: i64 = 1000;

const MINUTE: i64 = 60 * 1_000_000_000;
const DAY: i64 = 24 * 60 * MINUTE;

/// Reports cover one day; the history needs another.
const KEPT: i64 = 2 * DAY;

/// Parameters: `?1` five minutes ago, `?2` an hour ago, `?3` a day ago; `?4` belongs to the condition.
///
/// `up` outside an aggregate is that of the row with the greatest id: `SQLite` guarantees this beside a single `max()`.
macro_rules! uptimes {
    ($condition:literal) => {
        concat!(
            "SELECT identity, ip_version, up AS most_recent, MAX(id) AS latest,
                 COALESCE(100 * SUM(up) FILTER (WHERE at > ?1) / COUNT(*) FILTER (WHERE at > ?1), 0) AS minutes,
                 COALESCE(100 * SUM(up) FILTER (WHERE at > ?2) / COUNT(*) FILTER (WHERE at > ?2), 0) AS hour,
                 COALESCE(100 * SUM(up) FILTER (WHERE at > ?3) / COUNT(*) FILTER (WHERE at > ?3), 0) AS day
             FROM status WHERE ",
            $condition,
            " GROUP BY identity, ip_version ORDER BY identity, ip_version"
        )
    };
}

/// Uptime of one node over one IP version, in whole per cent.
#[derive(Debug, FromRow)]
struct Uptime {
    identity: String,
    ip_version: i64,
    most_recent: bool,
    minutes: u8,
    hour: u8,
    day: u8,
}

/// Summary of the last day's measurements of one node over one IP version.
#[derive(Debug, PartialEq, FromRow)]
pub(crate) struct Measured {
    pub(crate) identity: String,
    /// 4 or 6.
    pub(crate) ip_version: i64,
    /// Whether the latest one succeeded.
    pub(crate) up: bool,
    /// Arrival time of the latest one.
    pub(crate) at: i64,
    /// Share of successful ones, from 0 to 1.
    pub(crate) uptime: f64,
}

impl Store {
    /// Stores the measurements, updates the reputation of registered nodes, and renews those that passed, in one
    /// transaction.
    pub(crate) async fn add_statuses(&self, statuses: &[MixStatus], now: i64) -> sqlx::Result<()> {
        let mut transaction = self.begin_write().await?;
        for status in statuses {
            sqlx::query("INSERT INTO status (identity, ip_version, up, at) VALUES (?, ?, ?, ?)")
                .bind(&status.pub_key)
                .bind(number(status.ip_version))
                .bind(status.up)
                .bind(now)
                .execute(&mut *transaction)
                .await?;
            sqlx::query(
                "UPDATE reputation SET score = MIN(MAX(score + ?, 0), ?)
                 WHERE identity = ? AND EXISTS (SELECT 1 FROM node WHERE node.identity = reputation.identity)",
            )
            .bind(if status.up { REPUTATION_UP } else { REPUTATION_DOWN })
            .bind(REPUTATION_MAX)
            .bind(&status.pub_key)
            .execute(&mut *transaction)
            .await?;
            if status.up {
                claims::renew_tested(&mut transaction, &status.pub_key, now).await?;
            }
        }
        transaction.commit().await
    }

    /// Sets the reputation of a node that is or was registered; returns whether it exists.
    pub(crate) async fn set_reputation(&self, identity: &str, reputation: i64) -> sqlx::Result<bool> {
        let mut transaction = self.begin_write().await?;
        let result = sqlx::query("UPDATE reputation SET score = ? WHERE identity = ?")
            .bind(reputation)
            .bind(identity)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(result.rows_affected() > 0)
    }

    /// The node's newest measurements, newest first.
    pub(crate) async fn history(&self, identity: &str) -> sqlx::Result<Vec<PersistedMixStatus>> {
        let query = sqlx::query_as(
            "SELECT identity, ip_version, up, at FROM status WHERE identity = ? ORDER BY id DESC LIMIT ?",
        )
        .bind(identity)
        .bind(HISTORY_MAX);
        let rows = self.fetch_report(query).await?;
        Ok(rows.into_iter().map(|StatusRow(status)| status).collect())
    }

    /// The node's uptime, if it was ever measured.
    pub(crate) async fn report(&self, identity: &str, now: i64) -> sqlx::Result<Option<MixStatusReport>> {
        let query = sqlx::query_as(uptimes!("identity = ?4"))
            .bind(now - 5 * MINUTE)
            .bind(now - 60 * MINUTE)
            .bind(now - DAY)
            .bind(identity);
        Ok(reports(self.fetch_report(query).await?).pop())
    }

    /// The uptime of every node that was measured in the last day.
    pub(crate) async fn full_report(&self, now: i64) -> sqlx::Result<Vec<MixStatusReport>> {
        let query = sqlx::query_as(uptimes!("at > ?3")).bind(now - 5 * MINUTE).bind(now - 60 * MINUTE).bind(now - DAY);
        Ok(reports(self.fetch_report(query).await?))
    }

    /// The measurements of the nodes that are registered now and were measured in the last day.
    pub(crate) async fn measured(&self, now: i64) -> sqlx::Result<Vec<Measured>> {
        // As above, `up` and `at` are those of the row with the greatest id.
        let query = sqlx::query_as(
            "SELECT identity, ip_version, up, at, MAX(id), AVG(up) AS uptime
             FROM status JOIN node USING (identity) WHERE at > ?
             GROUP BY identity, ip_version ORDER BY identity, ip_version",
        )
        .bind(now - DAY);
        self.fetch_report(query).await
    }

    pub(super) async fn purge_statuses(&self, now: i64) -> sqlx::Result<()> {
        let mut transaction = self.begin_write().await?;
        sqlx::query("DELETE FROM status WHERE at <= ?").bind(now - KEPT).execute(&mut *transaction).await?;
        transaction.commit_unlisted().await
    }
}

/// A row of the table `status`.
struct StatusRow(PersistedMixStatus);

impl FromRow<'_, SqliteRow> for StatusRow {
    fn from_row(row: &SqliteRow) -> sqlx::Result<Self> {
        use sqlx::Row;
        let status = MixStatus {
            pub_key: row.try_get("identity")?,
            ip_version: if row.try_get::<i64, _>("ip_version")? == 4 { IpVersion::V4 } else { IpVersion::V6 },
            up: row.try_get("up")?,
        };
        Ok(Self(PersistedMixStatus { status, timestamp: row.try_get("at")? }))
    }
}

fn number(ip_version: IpVersion) -> i64 {
    match ip_version {
        IpVersion::V4 => 4,
        IpVersion::V6 => 6,
    }
}

/// One report for each node, from uptimes in the order of identities.
fn reports(uptimes: Vec<Uptime>) -> Vec<MixStatusReport> {
    let mut reports: Vec<MixStatusReport> = Vec::new();
    for uptime in uptimes {
        let mut report = match reports.pop() {
            Some(last) if last.pub_key == uptime.identity => last,
            other => {
                reports.extend(other);
                MixStatusReport { pub_key: uptime.identity, ..MixStatusReport::default() }
            }
        };
        if uptime.ip_version == number(IpVersion::V4) {
            report.most_recent_ipv4 = uptime.most_recent;
            report.last_5_minutes_ipv4 = uptime.minutes;
            report.last_hour_ipv4 = uptime.hour;
            report.last_day_ipv4 = uptime.day;
        } else {
            report.most_recent_ipv6 = uptime.most_recent;
            report.last_5_minutes_ipv6 = uptime.minutes;
            report.last_hour_ipv6 = uptime.hour;
            report.last_day_ipv6 = uptime.day;
        }
        reports.push(report);
    }
    reports
}
