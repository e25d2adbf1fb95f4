//! Gateways that never sign and register only once.

use std::net::SocketAddr;

use nym_mixnode_api::GatewayRegistration;

use super::{Transaction, from_json};

/// Gateway whose entry expires soon.
#[derive(Debug)]
pub(crate) struct SilentGateway {
    pub(crate) identity: String,
    /// Proven addresses for packets.
    pub(crate) mix_hosts: Vec<SocketAddr>,
    pub(crate) clients_host: String,
}

impl Transaction {
    /// Unsigned gateways with a proven address, renewed and dialled at these times or earlier, and marks them as dialled
    /// now. Least recently dialled first.
    pub(crate) async fn silent_gateways(
        &mut self,
        count: i64,
        renewed_before: i64,
        dialled_before: i64,
        now: i64,
    ) -> sqlx::Result<Vec<SilentGateway>> {
        // The entry of an identity that must sign is signed.
        let rows: Vec<(String, String)> = sqlx::query_as(
            "SELECT identity, registration FROM node
             WHERE role = 'gateway' AND renewed_at <= $1 AND dialled_at <= $2
                 AND NOT EXISTS (SELECT 1 FROM signer WHERE signer.identity = node.identity AND release IS NULL)
                 AND EXISTS (SELECT 1 FROM claim WHERE claim.identity = node.identity AND proved_at IS NOT NULL)
             ORDER BY dialled_at, renewed_at, identity LIMIT $3",
        )
        .bind(renewed_before)
        .bind(dialled_before)
        .bind(count)
        .fetch_all(self.connection())
        .await?;
        let mut gateways = Vec::with_capacity(rows.len());
        for (identity, registration) in rows {
            sqlx::query("UPDATE node SET dialled_at = $1 WHERE identity = $2")
                .bind(now)
                .bind(&identity)
                .execute(self.connection())
                .await?;
            let mix_hosts = self.proven(&identity).await?;
            let GatewayRegistration { clients_host, .. } = from_json(&registration)?;
            gateways.push(SilentGateway { identity, mix_hosts, clients_host });
        }
        Ok(gateways)
    }
}
