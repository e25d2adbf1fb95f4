//! Checks whether the store is writable, by writing to it.

use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use super::Store;

/// How long a result is reused: the check is public and each one costs a disk write.
const USED_FOR: Duration = Duration::from_secs(1);

/// More than one database page: a full disk may still take a few bytes.
const WRITTEN_BYTES: usize = 8 << 10;

/// Latest result.
#[derive(Debug, Default)]
pub(super) struct Health(Mutex<Option<(Instant, Result<(), String>)>>);

impl Store {
    /// Writes to the store, at most once per second; returns the error.
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
        let mut transaction = self.begin().await?;
        sqlx::query(
            "INSERT INTO health (id, written_at, filler) VALUES (1, $1, $2)
             ON CONFLICT (id) DO UPDATE SET written_at = excluded.written_at, filler = excluded.filler",
        )
        .bind(now)
        .bind(vec![0_u8; WRITTEN_BYTES])
        .execute(transaction.connection())
        .await?;
        transaction.commit_unlisted().await
    }
}
