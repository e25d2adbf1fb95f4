//! Whether the store can be written to, found out by writing.

use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use super::Store;

/// How long a result is used for: everybody may ask, and each answer costs a write to the disk.
const USED_FOR: Duration = Duration::from_secs(1);

/// More than one page of the database: a full disk may still take a few bytes.
const WRITTEN_BYTES: i64 = 8 << 10;

/// The latest result.
#[derive(Debug, Default)]
pub(super) struct Health(Mutex<Option<(Instant, Result<(), String>)>>);

impl Store {
    /// Writes to the store, unless that was done within the last second; why it failed.
    pub(crate) async fn check_writes(&self, now: i64) -> Result<(), String> {
        let mut latest = self.health.0.lock().await;
        match &*latest {
            Some((at, result)) if at.elapsed() < USED_FOR => result.clone(),
            _ => {
                let result = self.write_health(now).await.map_err(|error| error.to_string());
                *latest = Some((Instant::now(), result.clone()));
                result
            }
        }
    }

    async fn write_health(&self, now: i64) -> sqlx::Result<()> {
        let mut transaction = self.begin_write().await?;
        sqlx::query(
            "INSERT INTO health (id, written_at, filler) VALUES (1, ?1, zeroblob(?2))
             ON CONFLICT (id) DO UPDATE SET written_at = excluded.written_at, filler = excluded.filler",
        )
        .bind(now)
        .bind(WRITTEN_BYTES)
        .execute(&mut *transaction)
        .await?;
        transaction.commit_unlisted().await
    }
}
