//! Lease of the network monitor among registries that share a database.

use std::time::Duration;

use super::Service;
use crate::caps::nanoseconds;

impl Service {
    /// Takes the lease for this long, or renews it; returns whether `owner` has it.
    pub(crate) async fn take_monitor_lease(&self, owner: &str, length: Duration) -> sqlx::Result<bool> {
        let mut transaction = self.store().begin().await?;
        let now = transaction.time().await?;
        let expires_at = now.saturating_add(nanoseconds(length));
        let is_taken = transaction.take_monitor_lease(owner, now, expires_at).await?;
        transaction.commit_unlisted().await?;
        Ok(is_taken)
    }

    /// Ends the lease of this owner, so that another registry can take it at once.
    pub(crate) async fn end_monitor_lease(&self, owner: &str) -> sqlx::Result<()> {
        let mut transaction = self.store().begin().await?;
        transaction.end_monitor_lease(owner).await?;
        transaction.commit_unlisted().await
    }

    /// Whether other registries may use the database.
    pub(crate) fn is_shared(&self) -> bool {
        self.store().is_shared()
    }
}
