//! The registry's own key, and the identities that have signed a call.

use std::time::Duration;

use nym_mixnode_keys::{IdentityKeyPair, KeyGenerationError, SecretKey};
use zeroize::Zeroizing;

use super::connection::Connections;
use super::{Store, Transaction};
use crate::caps::{REPUTATION_LIFETIME, SIGNER_LIFETIME, nanoseconds};
use crate::proof::{Call, Known, LastSigned};

/// Statement about identities without an entry.
macro_rules! gone {
    ($statement:literal, $condition:literal) => {
        concat!($statement, " WHERE identity NOT IN (SELECT identity FROM node) AND ", $condition)
    };
}

/// Loads the registry's key from the database; creates it on first use.
pub(super) async fn load_key(connections: &Connections) -> sqlx::Result<IdentityKeyPair> {
    let fails = |error: KeyGenerationError| sqlx::Error::Decode(error.into());
    let made = IdentityKeyPair::generate().map_err(fails)?;
    let mut transaction = connections.begin().await?;
    sqlx::query("INSERT INTO registry_key (id, seed) VALUES (1, $1) ON CONFLICT DO NOTHING")
        .bind(&made.seed()[..])
        .execute(transaction.connection())
        .await?;
    let seed: Vec<u8> = sqlx::query_scalar("SELECT seed FROM registry_key").fetch_one(transaction.connection()).await?;
    transaction.commit_unlisted().await?;
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
        let counter: Option<i64> = sqlx::query_scalar("SELECT counter FROM signer WHERE identity = $1")
            .bind(identity)
            .fetch_optional(&mut *connection)
            .await?;
        connection.done();
        Ok(counter.map_or(0, i64::cast_unsigned))
    }
}

impl Transaction {
    /// Stored state of an identity.
    pub(crate) async fn known(&mut self, identity: &str) -> sqlx::Result<Known> {
        let signed: Option<(i64, i64, Option<String>)> =
            sqlx::query_as("SELECT counter, unregistered, release FROM signer WHERE identity = $1")
                .bind(identity)
                .fetch_optional(self.connection())
                .await?;
        let signed = signed.map(|(counter, unregistered, release)| LastSigned {
            counter: counter.cast_unsigned(),
            unregistered: unregistered != 0,
            released: release.is_some(),
        });
        Ok(Known { signed, entry: self.entry(identity).await? })
    }

    /// Stores the counter of an accepted signed call: from now on the identity must sign.
    pub(crate) async fn remember(&mut self, identity: &str, call: &Call, unregistered: bool) -> sqlx::Result<()> {
        let Some(counter) = call.signed else { return Ok(()) };
        sqlx::query(
            "INSERT INTO signer (identity, counter, unregistered, signed_at) VALUES ($1, $2, $3, $4)
             ON CONFLICT (identity) DO UPDATE SET counter = excluded.counter, unregistered = excluded.unregistered,
                 signed_at = excluded.signed_at, release = NULL",
        )
        .bind(identity)
        .bind(i64::try_from(counter).unwrap_or(i64::MAX))
        .bind(i64::from(unregistered))
        .bind(call.now)
        .execute(self.connection())
        .await
        .map(|_| ())
    }

    /// Accepts unsigned calls from an identity that has signed, by this signature of the registry.
    pub(crate) async fn release(
        &mut self,
        identity: &str,
        counter: u64,
        signature: &str,
        now: i64,
    ) -> sqlx::Result<()> {
        sqlx::query(
            "UPDATE signer SET counter = $1, unregistered = 1, signed_at = $2, release = $3 WHERE identity = $4",
        )
        .bind(i64::try_from(counter).unwrap_or(i64::MAX))
        .bind(now)
        .bind(signature)
        .bind(identity)
        .execute(self.connection())
        .await
        .map(|_| ())
    }

    /// Deletes old signatures and reputation of identities without an entry; keeps at most `signers_max` signatures of
    /// those without reputation, the newest.
    pub(crate) async fn forget_identities(&mut self, signers_max: u64, now: i64) -> sqlx::Result<()> {
        let before = |lifetime: Duration| now.saturating_sub(nanoseconds(lifetime));
        // A reputation of 0 is the same as no row.
        sqlx::query(gone!("DELETE FROM reputation", "score = 0")).execute(self.connection()).await?;
        sqlx::query(gone!("DELETE FROM reputation", "identity IN (SELECT identity FROM signer WHERE signed_at <= $1)"))
            .bind(before(REPUTATION_LIFETIME))
            .execute(self.connection())
            .await?;
        sqlx::query(gone!(
            "DELETE FROM signer",
            "signed_at <= $1 AND identity NOT IN (SELECT identity FROM reputation)"
        ))
        .bind(before(SIGNER_LIFETIME))
        .execute(self.connection())
        .await?;
        sqlx::query(concat!(
            "DELETE FROM signer WHERE identity IN (",
            gone!("SELECT identity FROM signer", "identity NOT IN (SELECT identity FROM reputation)"),
            // Some databases accept an offset only after a limit.
            " ORDER BY signed_at DESC, identity LIMIT 9223372036854775807 OFFSET $1)"
        ))
        .bind(i64::try_from(signers_max).unwrap_or(i64::MAX))
        .execute(self.connection())
        .await
        .map(|_| ())
    }
}
