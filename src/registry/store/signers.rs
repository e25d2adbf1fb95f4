//! The registry's own key, and the identities that have signed a call.

use sqlx::{SqliteConnection, SqlitePool};
use zeroize::Zeroizing;

use super::Store;
use crate::keys::{IdentityKeyPair, KeyGenerationError, SecretKey};
use crate::registry::proof::{Call, Known, KnownEntry, LastSigned};

/// The registry's key of this store, made when it is asked for the first time.
pub(super) async fn load_key(pool: &SqlitePool) -> sqlx::Result<IdentityKeyPair> {
    let fails = |error: KeyGenerationError| sqlx::Error::Decode(error.into());
    let made = IdentityKeyPair::generate().map_err(fails)?;
    sqlx::query("INSERT INTO registry_key (id, seed) VALUES (1, ?) ON CONFLICT DO NOTHING")
        .bind(&made.seed()[..])
        .execute(pool)
        .await?;
    let seed: Vec<u8> = sqlx::query_scalar("SELECT seed FROM registry_key").fetch_one(pool).await?;
    let seed: Zeroizing<Vec<u8>> = Zeroizing::new(seed);
    let write = |bytes: &mut [u8; 32]| {
        let seed = seed.as_slice().try_into().map_err(|_| KeyGenerationError)?;
        *bytes = seed;
        Ok(())
    };
    SecretKey::written_by(write).and_then(IdentityKeyPair::from_seed).map_err(fails)
}

impl Store {
    /// The counter of the identity's last signed call; 0 before the first one.
    pub(in crate::registry) async fn counter(&self, identity: &str) -> sqlx::Result<u64> {
        let mut connection = self.read().await?;
        let counter: Option<i64> = sqlx::query_scalar("SELECT counter FROM signer WHERE identity = ?")
            .bind(identity)
            .fetch_optional(&mut *connection)
            .await?;
        connection.done();
        Ok(counter.map_or(0, i64::cast_unsigned))
    }
}

/// What is known of an identity.
pub(super) async fn known(connection: &mut SqliteConnection, identity: &str) -> sqlx::Result<Known> {
    let signed: Option<(i64, bool)> = sqlx::query_as("SELECT counter, unregistered FROM signer WHERE identity = ?")
        .bind(identity)
        .fetch_optional(&mut *connection)
        .await?;
    let entry: Option<(Option<String>, i64)> =
        sqlx::query_as("SELECT registered_from, renewed_at FROM node WHERE identity = ?")
            .bind(identity)
            .fetch_optional(&mut *connection)
            .await?;
    Ok(Known {
        signed: signed.map(|(counter, unregistered)| LastSigned { counter: counter.cast_unsigned(), unregistered }),
        entry: entry.map(|(from, renewed_at)| KnownEntry {
            registered_from: from.and_then(|from| from.parse().ok()),
            renewed_at,
        }),
    })
}

/// Remembers the counter of a signed call that was accepted.
pub(super) async fn remember(
    connection: &mut SqliteConnection,
    identity: &str,
    call: &Call,
    unregistered: bool,
) -> sqlx::Result<()> {
    let Some(counter) = call.signed else { return Ok(()) };
    sqlx::query(
        "INSERT INTO signer (identity, counter, unregistered, signed_at) VALUES (?, ?, ?, ?)
         ON CONFLICT (identity) DO UPDATE SET counter = excluded.counter, unregistered = excluded.unregistered,
             signed_at = excluded.signed_at",
    )
    .bind(identity)
    .bind(i64::try_from(counter).unwrap_or(i64::MAX))
    .bind(unregistered)
    .bind(call.now)
    .execute(connection)
    .await
    .map(|_| ())
}
