//! Announced addresses and their proofs.

use std::net::SocketAddr;

use nym_mixnode_api::{PendingAddress, PendingEntry};
use sqlx::FromRow;

use super::{Store, Transaction};
use crate::proof::{Holder, ProvedBy};

/// Announced address of an identity.
#[derive(Debug, Clone)]
pub(crate) struct Claim {
    pub(crate) address: SocketAddr,
    /// Time and kind of its proof.
    pub(crate) proved: Option<(i64, ProvedBy)>,
    /// Sphinx key of the registration, or the one that a test packet proved.
    pub(crate) sphinx_key: Option<String>,
    /// Last call of the identity from this IP.
    pub(crate) called_at: Option<i64>,
    /// Why it is not proven.
    pub(crate) reason: Option<String>,
    /// Number of test packets sent.
    pub(crate) tries: i64,
    /// When the next one is due.
    pub(crate) try_at: i64,
}

#[derive(Debug, FromRow)]
struct Row {
    identity: String,
    address: String,
    proved_at: Option<i64>,
    proved_by: Option<String>,
    proved_key: Option<String>,
    called_at: Option<i64>,
    reason: Option<String>,
    tries: i64,
    try_at: i64,
}

impl Row {
    fn claim(self) -> Option<Claim> {
        Some(Claim {
            address: self.address.parse().ok()?,
            proved: self.proved_at.zip(self.proved_by.as_deref().and_then(by_name)),
            sphinx_key: self.proved_key,
            called_at: self.called_at,
            reason: self.reason,
            tries: self.tries,
            try_at: self.try_at,
        })
    }
}

impl Store {
    /// All unproven claims, oldest registration first.
    pub(crate) async fn pending(&self) -> sqlx::Result<Vec<PendingEntry>> {
        let query = sqlx::query_as(
            "SELECT identity, address, COALESCE(reason, '') FROM claim JOIN node USING (identity)
             WHERE proved_at IS NULL ORDER BY registered_at, identity, address",
        );
        let rows: Vec<(String, String, String)> = self.fetch_all(query).await?;
        let entry = |(identity_key, address, reason)| PendingEntry {
            identity_key,
            pending: PendingAddress { address, reason },
        };
        Ok(rows.into_iter().map(entry).collect())
    }

    /// Whether an unproven claim is due for a test packet.
    pub(crate) async fn has_due_claims(&self, now: i64) -> sqlx::Result<bool> {
        let mut connection = self.read().await?;
        let due = sqlx::query("SELECT address FROM claim WHERE proved_at IS NULL AND try_at <= $1 LIMIT 1")
            .bind(now)
            .fetch_optional(&mut *connection)
            .await?;
        connection.done();
        Ok(due.is_some())
    }
}

impl Transaction {
    /// All claims of an identity.
    pub(crate) async fn claims(&mut self, identity: &str) -> sqlx::Result<Vec<Claim>> {
        let rows: Vec<Row> = sqlx::query_as(
            "SELECT identity, address, proved_at, proved_by, proved_key, called_at, reason, tries, try_at
             FROM claim WHERE identity = $1 ORDER BY address",
        )
        .bind(identity)
        .fetch_all(self.connection())
        .await?;
        Ok(rows.into_iter().filter_map(Row::claim).collect())
    }

    /// Proven addresses of an identity.
    pub(crate) async fn proven(&mut self, identity: &str) -> sqlx::Result<Vec<SocketAddr>> {
        let claims = self.claims(identity).await?;
        Ok(claims.into_iter().filter(|claim| claim.proved.is_some()).map(|claim| claim.address).collect())
    }

    /// Stores a claim of an identity that has an entry, in place of its earlier claim to this address.
    pub(crate) async fn put_claim(&mut self, identity: &str, claim: &Claim) -> sqlx::Result<()> {
        sqlx::query(
            "INSERT INTO claim (identity, address, proved_at, proved_by, proved_key, called_at, reason, tries, try_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
             ON CONFLICT (identity, address) DO UPDATE SET proved_at = excluded.proved_at,
                 proved_by = excluded.proved_by, proved_key = excluded.proved_key, called_at = excluded.called_at,
                 reason = excluded.reason, tries = excluded.tries, try_at = excluded.try_at",
        )
        .bind(identity)
        .bind(claim.address.to_string())
        .bind(claim.proved.map(|(at, _)| at))
        .bind(claim.proved.map(|(_, by)| name(by)))
        .bind(&claim.sphinx_key)
        .bind(claim.called_at)
        .bind(&claim.reason)
        .bind(claim.tries)
        .bind(claim.try_at)
        .execute(self.connection())
        .await
        .map(|_| ())
    }

    /// Removes all claims of an identity.
    pub(crate) async fn remove_claims(&mut self, identity: &str) -> sqlx::Result<()> {
        sqlx::query("DELETE FROM claim WHERE identity = $1").bind(identity).execute(self.connection()).await.map(|_| ())
    }

    /// Other identity with a proof for the address.
    pub(crate) async fn holder(&mut self, identity: &str, address: SocketAddr) -> sqlx::Result<Option<Holder>> {
        let row: Option<(String, Option<i64>, i64)> = sqlx::query_as(
            "SELECT proved_by, called_at, renewed_at FROM claim JOIN node USING (identity)
             WHERE address = $1 AND identity <> $2 AND proved_at IS NOT NULL",
        )
        .bind(address.to_string())
        .bind(identity)
        .fetch_optional(self.connection())
        .await?;
        Ok(row.map(|(proved_by, called_at, renewed_at)| Holder {
            proved_by: by_name(&proved_by).unwrap_or(ProvedBy::Earlier),
            called_at,
            renewed_at,
        }))
    }

    /// Takes the proof of the address from every other identity.
    pub(crate) async fn displace(&mut self, identity: &str, address: SocketAddr, reason: &str) -> sqlx::Result<()> {
        sqlx::query(
            "UPDATE claim SET proved_at = NULL, proved_by = NULL, reason = $1, tries = 0, try_at = 0
             WHERE address = $2 AND identity <> $3 AND proved_at IS NOT NULL",
        )
        .bind(reason)
        .bind(address.to_string())
        .bind(identity)
        .execute(self.connection())
        .await
        .map(|_| ())
    }

    /// Unproven claims that are due for a test packet with their identities, oldest first.
    pub(crate) async fn due_claims(&mut self, count: i64, now: i64) -> sqlx::Result<Vec<(String, Claim)>> {
        let rows: Vec<Row> = sqlx::query_as(
            "SELECT identity, address, proved_at, proved_by, proved_key, called_at, reason, tries, try_at
             FROM claim WHERE proved_at IS NULL AND try_at <= $1 ORDER BY try_at, identity, address LIMIT $2",
        )
        .bind(now)
        .bind(count)
        .fetch_all(self.connection())
        .await?;
        Ok(rows.into_iter().filter_map(|row| Some((row.identity.clone(), row.claim()?))).collect())
    }
}

fn name(by: ProvedBy) -> &'static str {
    match by {
        ProvedBy::Call => "call",
        ProvedBy::Packet => "packet",
        ProvedBy::Admission => "admission",
        ProvedBy::Earlier => "earlier",
    }
}

fn by_name(name: &str) -> Option<ProvedBy> {
    [ProvedBy::Call, ProvedBy::Packet, ProvedBy::Admission, ProvedBy::Earlier]
        .into_iter()
        .find(|by| self::name(*by) == name)
}
