//! What the registry does for its callers, by the rules of the network, without HTTP and SQL.
//!
//! The time is a parameter, in nanoseconds since the epoch.

mod addresses;
mod explorer;
mod gateways;
mod history;
mod listing;
mod measurements;
mod monitor_lease;
mod registration;
mod room;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use nym_mixnode_keys::KeyGenerationError;
use thiserror::Error;

use super::admission::Gate;
use super::caps::{Caps, Full, nanoseconds};
use super::check::{Invalid, Rules};
use super::majority::PRESENT_FOR;
use super::proof::Refusal;
use super::reputation::ReputationRules;
use super::store::Store;
use addresses::TRY_LAST_AFTER;
use history::Shortened;
use listing::Listings;
use room::Crowds;

pub(super) use addresses::DueClaim;
pub(super) use history::{HISTORY_HOURS_MAX, LayerPoint, NodePoint};
pub(super) use listing::{Listed, Selection};
#[cfg(test)]
pub(super) use registration::NewNode;
pub(super) use registration::Removal;

/// Measurements older than this are deleted: reports cover one day, and the history needs another.
const STATUSES_KEPT: i64 = 2 * 24 * 3600 * 1_000_000_000;

/// How long a registry that has ended is listed as a place where test packets return to.
const TEST_ADDRESSES_KEPT: i64 = 5 * 60 * 1_000_000_000;

/// How far the clocks of registries that share a database may differ. Times further in the future are wrong.
const AHEAD_MAX: i64 = 60 * 1_000_000_000;

/// Why the registry does not do what a caller asks for.
#[derive(Debug, Error)]
pub(super) enum Rejection {
    #[error(transparent)]
    Invalid(#[from] Invalid),
    #[error(
        "the signature is not the identity's over this call and this registry's key; ask for the counter again, and \
         sign for the key that comes with it"
    )]
    BadSignature,
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error("{0}")]
    Full(Full),
    #[error("{0}")]
    Unknown(&'static str),
    #[error("{0}")]
    OutOfRange(String),
    #[error("the store failed: {0}")]
    Store(#[from] sqlx::Error),
    #[error("cannot sign a response: {0}")]
    Key(#[from] KeyGenerationError),
}

/// Whether a text can be an identity of the store: PostgreSQL has no texts with a NUL character.
pub(super) fn is_storable(text: &str) -> bool {
    !text.contains('\0')
}

/// The registry's service. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct Service(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: Store,
    rules: Rules,
    gate: Gate,
    caps: Caps,
    reputation: ReputationRules,
    /// Return addresses of test packets, which every topology lists.
    test_addresses: Vec<String>,
    listings: Listings,
    crowds: Crowds,
    shortened: Shortened,
}

impl Service {
    /// A service for entries that match the rules, from callers that the gate admits.
    pub(super) fn new(
        store: Store,
        rules: Rules,
        gate: Gate,
        caps: Caps,
        reputation: ReputationRules,
        test_addresses: &[SocketAddr],
    ) -> Self {
        Self(Arc::new(Inner {
            store,
            rules,
            gate,
            caps,
            reputation,
            test_addresses: test_addresses.iter().map(ToString::to_string).collect(),
            listings: Listings::default(),
            crowds: Crowds::default(),
            shortened: Shortened::default(),
        }))
    }

    pub(super) fn store(&self) -> &Store {
        &self.0.store
    }

    /// Records where test packets return to, for the other registries that share the database.
    async fn announce(&self, now: i64) -> sqlx::Result<()> {
        if !self.store().is_shared() {
            return Ok(());
        }
        let mut transaction = self.store().begin().await?;
        let mut is_changed = transaction.delete_test_addresses(now.saturating_sub(TEST_ADDRESSES_KEPT)).await? > 0;
        for address in &self.0.test_addresses {
            is_changed |= transaction.put_test_address(address, now).await?;
        }
        if is_changed { transaction.commit().await } else { transaction.commit_unlisted().await }
    }

    /// Notices the changes of other registries that share the database.
    pub(super) async fn follow_changes(&self) -> Infallible {
        self.store().follow_changes().await
    }

    /// Deletes data that no reply can contain any more.
    pub(super) async fn purge(&self, now: i64) -> sqlx::Result<()> {
        self.announce(now).await?;
        let mut nodes = self.store().begin().await?;
        let is_corrected = nodes.correct_future(now.saturating_add(AHEAD_MAX), now).await?;
        nodes.hasten_tests(now.saturating_add(AHEAD_MAX + TRY_LAST_AFTER), now).await?;
        nodes.delete_expired(now).await?;
        // Readers skip expired rows already, so deleting these frees space without changing the lists.
        if nodes.delete_unrenewed(now).await? > 0 || is_corrected {
            nodes.commit().await?;
        } else {
            nodes.commit_unlisted().await?;
        }
        let mut others = self.store().begin().await?;
        others.forget_identities(self.0.caps.gone_signers(), now).await?;
        others.delete_verdicts(now.saturating_sub(nanoseconds(PRESENT_FOR))).await?;
        others.delete_statuses(now.saturating_sub(STATUSES_KEPT)).await?;
        self.keep_history(&mut others, now).await?;
        others.commit_unlisted().await
    }

    /// Writes to the store, at most once per second; returns the error.
    pub(super) async fn check_writes(&self, now: i64) -> Result<(), String> {
        self.store().check_writes(now).await
    }

    /// Flushes all writes and closes the store.
    pub(super) async fn close(&self) {
        self.store().close().await;
    }
}

#[cfg(test)]
mod tests;
