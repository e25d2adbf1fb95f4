//! Registered mixes and gateways.

use std::time::Duration;

use sqlx::FromRow;

use super::{Store, Transaction};
use crate::caps::{GATEWAY_LIFETIME, MIX_LIFETIME, PENDING_LIFETIME, nanoseconds};
use crate::proof::{Call, KnownEntry};

/// Role of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Mix,
    Gateway,
}

impl Role {
    fn name(self) -> &'static str {
        match self {
            Self::Mix => "mix",
            Self::Gateway => "gateway",
        }
    }
}

/// Entry to store.
#[derive(Debug)]
pub(crate) struct NodeRow<'a> {
    pub(crate) identity: &'a str,
    pub(crate) role: Role,
    /// Layer of a mix; 0 for a gateway.
    pub(crate) layer: u64,
    /// Registration as listed, in JSON.
    pub(crate) registration: String,
    pub(crate) expires_at: Option<i64>,
}

/// Listed entry.
#[derive(Debug)]
pub(crate) struct ListedNode {
    pub(crate) identity: String,
    pub(crate) role: Role,
    /// Registration as listed, in JSON.
    pub(crate) registration: String,
    pub(crate) registered_at: i64,
    /// When the entry ends by itself, as those of probers.
    pub(crate) expires_at: Option<i64>,
    pub(crate) reputation: i64,
    /// Proven addresses, in canonical form.
    pub(crate) proven: Vec<String>,
    /// Whether there are other addresses.
    pub(crate) is_partly_pending: bool,
    /// Counter and signature of the registry, if the identity was released after its last signed call.
    pub(crate) release: Option<(u64, String)>,
}

/// Row of the list.
#[derive(Debug, FromRow)]
struct Row {
    identity: String,
    role: String,
    registration: String,
    registered_at: i64,
    expires_at: Option<i64>,
    reputation: i64,
    /// Proven addresses, separated by spaces; `None` if there are none.
    proven: Option<String>,
    /// Number of other addresses.
    pending: i64,
    release: Option<String>,
    counter: Option<i64>,
}

impl Store {
    /// Nodes with at least this reputation and a proven address, oldest registration first.
    pub(crate) async fn listed(&self, reputation_min: i64, now: i64) -> sqlx::Result<Vec<ListedNode>> {
        let query = sqlx::query_as(
            "SELECT identity, role, registration, registered_at, expires_at, COALESCE(score, 0) AS reputation, proven,
                    pending, release, counter
             FROM node JOIN (
                     SELECT identity, string_agg(address, ' ') FILTER (WHERE proved_at IS NOT NULL) AS proven,
                         COUNT(*) - COUNT(proved_at) AS pending
                     FROM claim GROUP BY identity) AS addresses USING (identity)
                 LEFT JOIN reputation USING (identity) LEFT JOIN signer USING (identity)
             WHERE (expires_at IS NULL OR expires_at > $1) AND COALESCE(score, 0) >= $2",
        )
        .bind(now)
        .bind(reputation_min);
        let rows: Vec<Row> = self.fetch_all(query).await?;
        let mut nodes: Vec<ListedNode> = rows.into_iter().filter_map(ListedNode::of).collect();
        // The database would sort copies of all registrations.
        nodes.sort_by(|one, other| (one.registered_at, &one.identity).cmp(&(other.registered_at, &other.identity)));
        Ok(nodes)
    }

    /// Earliest expiry among the entries that are listed now.
    pub(crate) async fn next_expiry(&self, now: i64) -> sqlx::Result<Option<i64>> {
        let mut connection = self.read().await?;
        let query = sqlx::query_scalar("SELECT MIN(expires_at) FROM node WHERE expires_at > $1").bind(now);
        let next = query.fetch_one(&mut *connection).await?;
        connection.done();
        Ok(next)
    }

    /// Number of registered nodes.
    pub(crate) async fn node_count(&self) -> sqlx::Result<u64> {
        let mut connection = self.read().await?;
        let count: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM node").fetch_one(&mut *connection).await?;
        connection.done();
        Ok(count.cast_unsigned())
    }
}

impl ListedNode {
    /// The entry of this row, if one of its addresses is proven.
    fn of(row: Row) -> Option<Self> {
        Some(Self {
            proven: row.proven?.split(' ').map(str::to_owned).collect(),
            identity: row.identity,
            expires_at: row.expires_at,
            role: if row.role == Role::Mix.name() { Role::Mix } else { Role::Gateway },
            registration: row.registration,
            registered_at: row.registered_at,
            reputation: row.reputation,
            is_partly_pending: row.pending > 0,
            release: row.counter.map(i64::cast_unsigned).zip(row.release),
        })
    }
}

impl Transaction {
    /// Entry of an identity.
    pub(crate) async fn entry(&mut self, identity: &str) -> sqlx::Result<Option<KnownEntry>> {
        let entry: Option<(Option<String>, i64)> =
            sqlx::query_as("SELECT registered_from, renewed_at FROM node WHERE identity = $1")
                .bind(identity)
                .fetch_optional(self.connection())
                .await?;
        Ok(entry.map(|(from, renewed_at)| KnownEntry {
            registered_from: from.and_then(|from| from.parse().ok()),
            renewed_at,
        }))
    }

    /// Layer of an entry; 0 for a gateway.
    pub(crate) async fn layer(&mut self, identity: &str) -> sqlx::Result<Option<i64>> {
        sqlx::query_scalar("SELECT layer FROM node WHERE identity = $1")
            .bind(identity)
            .fetch_optional(self.connection())
            .await
    }

    /// Stores an entry in place of the identity's earlier one; keeps its reputation.
    pub(crate) async fn put_node(&mut self, node: &NodeRow<'_>, call: &Call) -> sqlx::Result<()> {
        sqlx::query(
            "INSERT INTO node (identity, role, registration, registered_from, registered_at, expires_at, renewed_at,
                 layer)
             VALUES ($1, $2, $3, $4, $5, $6, $5, $7)
             ON CONFLICT (identity) DO UPDATE SET role = excluded.role, registration = excluded.registration,
                 layer = excluded.layer,
                 registered_from = excluded.registered_from, registered_at = excluded.registered_at,
                 expires_at = excluded.expires_at, renewed_at = excluded.renewed_at",
        )
        .bind(node.identity)
        .bind(node.role.name())
        .bind(&node.registration)
        .bind(call.from.map(|ip| ip.to_string()))
        .bind(call.now)
        .bind(node.expires_at)
        .bind(i64::try_from(node.layer).unwrap_or(i64::MAX))
        .execute(self.connection())
        .await?;
        sqlx::query("INSERT INTO reputation (identity, score) VALUES ($1, 0) ON CONFLICT DO NOTHING")
            .bind(node.identity)
            .execute(self.connection())
            .await
            .map(|_| ())
    }

    /// Removes an entry with its addresses and counts.
    pub(crate) async fn remove_node(&mut self, identity: &str) -> sqlx::Result<()> {
        sqlx::query("DELETE FROM node WHERE identity = $1").bind(identity).execute(self.connection()).await.map(|_| ())
    }

    /// Records that a test packet or an admission has proved an address of the entry.
    pub(crate) async fn note_packet_proof(&mut self, identity: &str, now: i64) -> sqlx::Result<()> {
        sqlx::query("UPDATE node SET packet_proved_at = COALESCE(packet_proved_at, $1) WHERE identity = $2")
            .bind(now)
            .bind(identity)
            .execute(self.connection())
            .await
            .map(|_| ())
    }

    /// Deletes the entries whose own time is over.
    pub(crate) async fn delete_expired(&mut self, now: i64) -> sqlx::Result<()> {
        sqlx::query("DELETE FROM node WHERE expires_at <= $1").bind(now).execute(self.connection()).await.map(|_| ())
    }

    /// Deletes the entries whose lifetime without renewal is over; returns their number.
    pub(crate) async fn delete_unrenewed(&mut self, now: i64) -> sqlx::Result<u64> {
        let before = |lifetime: Duration| now.saturating_sub(nanoseconds(lifetime));
        let deleted = sqlx::query(
            "DELETE FROM node WHERE renewed_at <= CASE
                 WHEN NOT EXISTS (SELECT 1 FROM claim WHERE claim.identity = node.identity AND proved_at IS NOT NULL)
                     THEN $1
                 WHEN role = 'gateway' THEN $2
                 ELSE $3 END",
        )
        .bind(before(PENDING_LIFETIME))
        .bind(before(GATEWAY_LIFETIME))
        .bind(before(MIX_LIFETIME))
        .execute(self.connection())
        .await?;
        Ok(deleted.rows_affected())
    }
}
