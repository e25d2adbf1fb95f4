//! Latest verdicts of the monitors.

use std::collections::HashMap;

use sqlx::AssertSqlSafe;

use super::Transaction;
use super::measurements::{ROWS_MAX, row, rows};
use crate::majority::{Verdict, Verdicts};

/// Verdicts by identity and IP version (4 or 6).
pub(crate) type VerdictsByNode = HashMap<(String, i64), Verdicts>;

impl Transaction {
    /// Verdicts on these identities that arrived between two times.
    pub(crate) async fn verdicts(
        &mut self,
        identities: &[&str],
        after: i64,
        until: i64,
    ) -> sqlx::Result<VerdictsByNode> {
        let mut verdicts = VerdictsByNode::new();
        for identities in identities.chunks(ROWS_MAX) {
            let sql = format!(
                "SELECT identity, ip_version, monitor, up, repeated, counted, at FROM verdict
                 WHERE at > $1 AND at <= $2 AND identity IN {} ORDER BY monitor",
                row(3, identities.len())
            );
            let mut query = sqlx::query_as(AssertSqlSafe(sql)).bind(after).bind(until);
            for identity in identities {
                query = query.bind(*identity);
            }
            let found: Vec<(String, i64, String, i64, i64, i64, i64)> = query.fetch_all(self.connection()).await?;
            for (identity, ip_version, monitor, up, repeated, counted, at) in found {
                let (is_up, is_repeated, is_counted) = (up != 0, repeated != 0, counted != 0);
                let verdict = Verdict { monitor, is_up, is_repeated, is_counted, at };
                verdicts.entry((identity, ip_version)).or_default().push(verdict);
            }
        }
        Ok(verdicts)
    }

    /// Stores verdicts in place of earlier ones.
    pub(crate) async fn put_verdicts(&mut self, verdicts: &VerdictsByNode) -> sqlx::Result<()> {
        let all: Vec<_> =
            verdicts.iter().flat_map(|(node, of_node)| of_node.iter().map(move |one| (node, one))).collect();
        for verdicts in all.chunks(ROWS_MAX) {
            let sql = format!(
                "INSERT INTO verdict (identity, ip_version, monitor, up, repeated, counted, at) VALUES {}
                 ON CONFLICT (identity, ip_version, monitor) DO UPDATE SET up = excluded.up, repeated = excluded.repeated,
                     counted = excluded.counted, at = excluded.at",
                rows(verdicts.len(), 7)
            );
            let mut query = sqlx::query(AssertSqlSafe(sql));
            for ((identity, ip_version), Verdict { monitor, is_up, is_repeated, is_counted, at }) in verdicts {
                query = query.bind(identity).bind(*ip_version).bind(monitor);
                query = query.bind(i64::from(*is_up)).bind(i64::from(*is_repeated));
                query = query.bind(i64::from(*is_counted)).bind(*at);
            }
            query.execute(self.connection()).await?;
        }
        Ok(())
    }

    /// Deletes verdicts that arrived at `before` or earlier.
    pub(crate) async fn delete_verdicts(&mut self, before: i64) -> sqlx::Result<()> {
        sqlx::query("DELETE FROM verdict WHERE at <= $1").bind(before).execute(self.connection()).await.map(|_| ())
    }
}
