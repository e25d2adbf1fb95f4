//! The registry's own key, and the identities that have signed a call.

use std::time::Duration;

use nym_mixnode_api::signing;
use nym_mixnode_keys::{IdentityKeyPair, KeyGenerationError, SecretKey};
use sqlx::{SqliteConnection, SqlitePool};
use zeroize::Zeroizing;

use super::Store;
use crate::caps::{REPUTATION_LIFETIME, SIGNER_LIFETIME, nanoseconds};
use crate::proof::{self, Call, Known, KnownEntry, LastSigned};

/// Statement about identities without an entry.
macro_rules! gone {
    ($statement:literal, $condition:literal) => {
        concat!($statement, " WHERE identity NOT IN (SELECT identity FROM node) AND ", $condition)
    };
}

/// Loads the registry's key from the store; creates it on first use.
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
    /// Counter of the identity's last signed call; 0 before the first one.
    pub(crate) async fn counter(&self, identity: &str) -> sqlx::Result<u64> {
        let mut connection = self.read().await?;
        let counter: Option<i64> = sqlx::query_scalar("SELECT counter FROM signer WHERE identity = ?")
            .bind(identity)
            .fetch_optional(&mut *connection)
            .await?;
        connection.done();
        Ok(counter.map_or(0, i64::cast_unsigned))
    }

    /// Deletes the signatures and reputation of identities without an entry.
    pub(super) async fn purge_identities(&self, now: i64) -> sqlx::Result<()> {
        let before = |lifetime: Duration| now.saturating_sub(nanoseconds(lifetime));
        let mut transaction = self.begin_write().await?;
        // A reputation of 0 is the same as no row.
        sqlx::query(gone!("DELETE FROM reputation", "score = 0")).execute(&mut *transaction).await?;
        sqlx::query(gone!("DELETE FROM reputation", "identity IN (SELECT identity FROM signer WHERE signed_at <= ?)"))
            .bind(before(REPUTATION_LIFETIME))
            .execute(&mut *transaction)
            .await?;
        sqlx::query(gone!(
            "DELETE FROM signer",
            "signed_at <= ? AND identity NOT IN (SELECT identity FROM reputation)"
        ))
        .bind(before(SIGNER_LIFETIME))
        .execute(&mut *transaction)
        .await?;
        sqlx::query(concat!(
            "DELETE FROM signer WHERE identity IN (",
            gone!("SELECT identity FROM signer", "identity NOT IN (SELECT identity FROM reputation)"),
            " ORDER BY signed_at DESC, identity LIMIT -1 OFFSET ?)"
        ))
        .bind(i64::try_from(self.caps.gone_signers()).unwrap_or(i64::MAX))
        .execute(&mut *transaction)
        .await?;
        transaction.commit_unlisted().await
    }
}

/// Stored state of an identity.
pub(super) async fn known(connection: &mut SqliteConnection, identity: &str) -> sqlx::Result<Known> {
    let signed: Option<(i64, bool, bool)> =
        sqlx::query_as("SELECT counter, unregistered, release IS NOT NULL FROM signer WHERE identity = ?")
            .bind(identity)
            .fetch_optional(&mut *connection)
            .await?;
    let entry: Option<(Option<String>, i64)> =
        sqlx::query_as("SELECT registered_from, renewed_at FROM node WHERE identity = ?")
            .bind(identity)
            .fetch_optional(&mut *connection)
            .await?;
    Ok(Known {
        signed: signed.map(|(counter, unregistered, released)| LastSigned {
            counter: counter.cast_unsigned(),
            unregistered,
            released,
        }),
        entry: entry.map(|(from, renewed_at)| KnownEntry {
            registered_from: from.and_then(|from| from.parse().ok()),
            renewed_at,
        }),
    })
}

/// Stores the counter of an accepted signed call: from now on the identity must sign.
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
             signed_at = excluded.signed_at, release = NULL",
    )
    .bind(identity)
    .bind(i64::try_from(counter).unwrap_or(i64::MAX))
    .bind(unregistered)
    .bind(call.now)
    .execute(connection)
    .await
    .map(|_| ())
}

/// Accepts unsigned calls from an identity that has signed. A running start of the node has signed with lower counters:
/// as after an unregistration, it stops registering.
pub(super) async fn release(
    connection: &mut SqliteConnection,
    key: &IdentityKeyPair,
    identity: &str,
    call: &Call,
) -> sqlx::Result<()> {
    let Some(last) = known(connection, identity).await?.signed else { return Ok(()) };
    let next = proof::counter_of_start(last.counter, call.now).saturating_add(1).min(i64::MAX.cast_unsigned());
    let counter = call.signed.unwrap_or(next);
    let signature = key.sign(&signing::release(key.public(), identity, counter));
    let signature = signature.map_err(|error| sqlx::Error::Encode(error.into()))?;
    sqlx::query("UPDATE signer SET counter = ?, unregistered = TRUE, signed_at = ?, release = ? WHERE identity = ?")
        .bind(i64::try_from(counter).unwrap_or(i64::MAX))
        .bind(call.now)
        .bind(bs58::encode(signature).into_string())
        .bind(identity)
        .execute(connection)
        .await
        .map(|_| ())
}
