//! Gateways that never sign and register only once: the registry itself finds out whether they are still there.

use super::Service;
use super::addresses::RENEW_EVERY;
use crate::caps::{DIALLED_BEFORE, GATEWAY_LIFETIME, nanoseconds};
use crate::store::SilentGateway;

/// Interval between two attempts to reach a gateway.
const DIAL_EVERY: i64 = 3_600 * 1_000_000_000;

impl Service {
    /// Unsigned gateways not renewed for most of their lifetime. Returns each at most once per hour, least recently
    /// returned first.
    pub(crate) async fn silent_gateways(&self, count: i64, now: i64) -> sqlx::Result<Vec<SilentGateway>> {
        let renewed_before = now.saturating_sub(nanoseconds(GATEWAY_LIFETIME - DIALLED_BEFORE));
        let mut transaction = self.store().begin().await?;
        let dialled_before = now.saturating_sub(DIAL_EVERY);
        let silent = transaction.silent_gateways(count, renewed_before, dialled_before, now).await?;
        if silent.is_empty() {
            transaction.rollback().await?;
        } else {
            transaction.commit_unlisted().await?;
        }
        Ok(silent)
    }

    /// Renews nodes that have proved that they are there.
    pub(crate) async fn renew_tested(&self, identities: &[String], now: i64) -> sqlx::Result<()> {
        let identities: Vec<&str> = identities.iter().map(String::as_str).collect();
        let mut transaction = self.store().begin().await?;
        transaction.renew_all(&identities, now.saturating_sub(RENEW_EVERY), now).await?;
        transaction.commit_unlisted().await
    }
}
