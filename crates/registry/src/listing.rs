//! Cached topology: serialised once per change and shared by all responses.

use std::time::Duration;

use axum::body::Bytes;
use axum::http::HeaderValue;
use nym_mixnode_api::{ACTIVE_REPUTATION, Topology};
use sha2::{Digest, Sha256};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep};

use super::now_ns;
use super::store::Store;

/// Share of time for building lists while nodes constantly change: at most a tenth of one core.
const PAUSE_FACTOR: u32 = 10;

/// Maximum delay of a response because of this limit.
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// Cached lists of nodes.
#[derive(Debug)]
pub(super) struct Listings {
    store: Store,
    layers: u64,
    all: Listing,
    active: Listing,
}

/// One list: JSON, and a tag that changes with it.
#[derive(Debug, Clone)]
pub(super) struct Listed {
    pub(super) json: Bytes,
    pub(super) tag: HeaderValue,
}

#[derive(Debug)]
struct Listing {
    reputation_min: i64,
    latest: Mutex<Option<Latest>>,
}

#[derive(Debug)]
struct Latest {
    listed: Listed,
    generation: u64,
    /// When the list changes without a write, because an entry expires.
    valid_until: Option<i64>,
    made_at: Instant,
    took: Duration,
}

impl Listings {
    /// Lists of a network with this many layers.
    pub(super) fn new(store: Store, layers: u64) -> Self {
        let listing = |reputation_min| Listing { reputation_min, latest: Mutex::default() };
        Self { store, layers, all: listing(0), active: listing(ACTIVE_REPUTATION) }
    }

    /// All nodes.
    pub(super) async fn all(&self) -> sqlx::Result<Listed> {
        self.all.now(&self.store, self.layers).await
    }

    /// The active set.
    pub(super) async fn active(&self) -> sqlx::Result<Listed> {
        self.active.now(&self.store, self.layers).await
    }
}

impl Listing {
    /// Returns the current list; concurrent callers share one query.
    async fn now(&self, store: &Store, layers: u64) -> sqlx::Result<Listed> {
        let mut latest = self.latest.lock().await;
        if let Some(latest) = &*latest {
            let is_valid = latest.valid_until.is_none_or(|until| now_ns() < until);
            if is_valid && latest.generation == store.generation() {
                return Ok(latest.listed.clone());
            }
            let pause = (latest.took * PAUSE_FACTOR).min(PAUSE_MAX);
            sleep(pause.saturating_sub(latest.made_at.elapsed())).await;
        }
        let made = self.make(store, layers).await?;
        let listed = made.listed.clone();
        *latest = Some(made);
        Ok(listed)
    }

    async fn make(&self, store: &Store, layers: u64) -> sqlx::Result<Latest> {
        let started = Instant::now();
        // Read before the query: a change during the query must cause another one.
        let generation = store.generation();
        let now = now_ns();
        let topology = Topology { layers: Some(layers), ..store.topology(self.reputation_min, now).await? };
        let valid_until = store.next_expiry(now).await?;
        let json = serde_json::to_vec(&topology).map_err(|error| sqlx::Error::Encode(error.into()))?;
        let listed = Listed { tag: tag_of(&json)?, json: json.into() };
        Ok(Latest { listed, generation, valid_until, made_at: Instant::now(), took: started.elapsed() })
    }
}

fn tag_of(json: &[u8]) -> sqlx::Result<HeaderValue> {
    let digest = Sha256::digest(json);
    let tag = format!("\"{}\"", bs58::encode(&digest[..16]).into_string());
    HeaderValue::from_str(&tag).map_err(|error| sqlx::Error::Encode(error.into()))
}
