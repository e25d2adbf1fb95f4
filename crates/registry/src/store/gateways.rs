//! Gateways that never sign and register only once.

use std::net::SocketAddr;

use nym_mixnode_api::GatewayRegistration;

use super::{Store, claims, from_json};
use crate::caps::{self, GATEWAY_LIFETIME};

/// Interval between two attempts to reach a gateway.
const DIAL_EVERY: i64 = 3_600 * 1_000_000_000;

/// Gateway whose entry expires soon.
#[derive(Debug)]
pub(crate) struct SilentGateway {
    pub(crate) identity: String,
    /// Proven addresses for packets.
    pub(crate) mix_hosts: Vec<SocketAddr>,
    pub(crate) clients_host: String,
}

impl Store {
    /// Unsigned gateways not renewed for most of their lifetime. Returns each at most once per hour, least recently
    /// returned first.
    pub(crate) async fn silent_gateways(&self, count: i64, now: i64) -> sqlx::Result<Vec<SilentGateway>> {
        let silent = sqlx::query_as(
            "SELECT identity, registration FROM node
             WHERE role = 'gateway' AND renewed_at <= ? AND dialled_at <= ?
                 AND json_extract(registration, '$.proof') IS NULL
                 AND EXISTS (SELECT 1 FROM claim WHERE claim.identity = node.identity AND proved_at IS NOT NULL)
             ORDER BY dialled_at, renewed_at LIMIT ?",
        )
        .bind(now.saturating_sub(caps::nanoseconds(GATEWAY_LIFETIME - caps::DIALLED_BEFORE)))
        .bind(now.saturating_sub(DIAL_EVERY))
        .bind(count);
        let rows: Vec<(String, String)> = self.fetch_all(silent).await?;
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let mut gateways = Vec::with_capacity(rows.len());
        let mut transaction = self.begin_write().await?;
        for (identity, registration) in rows {
            sqlx::query("UPDATE node SET dialled_at = ? WHERE identity = ?")
                .bind(now)
                .bind(&identity)
                .execute(&mut *transaction)
                .await?;
            let mix_hosts = claims::proven(&mut transaction, &identity).await?;
            let GatewayRegistration { clients_host, .. } = from_json(&registration)?;
            gateways.push(SilentGateway { identity, mix_hosts, clients_host });
        }
        transaction.commit_unlisted().await?;
        Ok(gateways)
    }

    /// Renews these nodes.
    pub(crate) async fn renew_all(&self, identities: &[String], now: i64) -> sqlx::Result<()> {
        let mut transaction = self.begin_write().await?;
        for identity in identities {
            claims::renew_tested(&mut transaction, identity, now).await?;
        }
        transaction.commit_unlisted().await
    }
}
