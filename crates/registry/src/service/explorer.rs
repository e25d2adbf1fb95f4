//! What the explorer shows beyond the lists.

use nym_mixnode_api::PendingAddress;

use super::{Service, is_storable};
use crate::admission::Gate;
use crate::check::Rules;
use crate::reputation::ReputationRules;
use crate::store::{RecentTests, TestSlot};

impl Service {
    pub(crate) fn rules(&self) -> &Rules {
        &self.0.rules
    }

    pub(crate) fn reputation_rules(&self) -> &ReputationRules {
        &self.0.reputation
    }

    pub(crate) fn gate(&self) -> &Gate {
        &self.0.gate
    }

    /// Base58 of the registry's public key.
    pub(crate) fn registry_key(&self) -> String {
        self.store().key().public_base58()
    }

    /// Tests of all registered nodes after a time.
    pub(crate) async fn recent_tests(&self, after: i64) -> sqlx::Result<Vec<RecentTests>> {
        self.store().recent_tests(after).await
    }

    /// Tests of one node after a time, in intervals of this length from then on.
    pub(crate) async fn test_slots(&self, identity: &str, after: i64, interval: i64) -> sqlx::Result<Vec<TestSlot>> {
        self.store().test_slots(identity, after, interval).await
    }

    /// Addresses of one node that are not listed, with the reasons.
    pub(crate) async fn pending_of(&self, identity: &str) -> sqlx::Result<Vec<PendingAddress>> {
        if is_storable(identity) { self.store().pending_of(identity).await } else { Ok(Vec::new()) }
    }
}
