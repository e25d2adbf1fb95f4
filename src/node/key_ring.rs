//! The Sphinx keys of a node, each with its own replay filter. There is one key; key rotation would add others here.

use std::sync::Arc;
use std::time::Instant;

use nym_mixnode_keys::SecretKey;
use nym_mixnode_mix::{Aging, DropReason, OutOfMemory, ReplayFilter, ReplayWindow};
use nym_mixnode_sphinx::{Engine, EngineKind, Onward, Outcome};

/// A Sphinx key, and the replay keys of the packets that were unwrapped with it.
#[derive(Debug)]
struct RingKey {
    secret: SecretKey,
    /// The key is valid from this time until the node ends.
    valid_from: Instant,
    replay: ReplayFilter,
}

/// The keys that a node unwraps packets with.
#[derive(Debug, Clone)]
pub(super) struct KeyRing {
    current: Arc<RingKey>,
    /// Of all engines.
    kind: EngineKind,
}

/// An engine for a key of the ring. Each worker has its own.
pub(super) struct KeyEngine {
    engine: Engine,
    key: Arc<RingKey>,
}

impl KeyRing {
    /// A ring with one key, which is valid from `now` on, and whose engines are of this kind.
    ///
    /// # Errors
    /// When there is not enough memory for the replay filter.
    pub(super) fn new(
        secret: SecretKey,
        kind: EngineKind,
        window: ReplayWindow,
        now: Instant,
    ) -> Result<Self, OutOfMemory> {
        let current = Arc::new(RingKey { secret, valid_from: now, replay: ReplayFilter::new(window)? });
        Ok(Self { current, kind })
    }

    /// The kind of all engines.
    pub(super) fn engine_kind(&self) -> EngineKind {
        self.kind
    }

    /// An engine for the current key.
    pub(super) fn engine(&self) -> KeyEngine {
        KeyEngine { engine: Engine::of_kind(self.kind, self.current.secret.clone()), key: Arc::clone(&self.current) }
    }

    /// The window of each key's replay filter.
    pub(super) fn replay_window(&self) -> ReplayWindow {
        self.current.replay.window()
    }

    /// Generations of replay filters that were full early.
    pub(super) fn replay_early_ends(&self) -> u64 {
        self.current.replay.early_ends()
    }

    /// A function that ends old generations of the replay filters. Call it at short intervals.
    pub(super) fn aging(&self) -> impl FnMut(Instant) {
        let key = Arc::clone(&self.current);
        let mut aging = Aging::new(&key.replay, key.valid_from);
        move |now| aging.look(&key.replay, now)
    }

    /// Makes the replay filter forget its oldest generation.
    #[cfg(test)]
    pub(super) fn rotate_replay_filter(&self) {
        self.current.replay.rotate(self.current.replay.generation());
    }
}

impl KeyEngine {
    /// Unwraps a batch; packets that `check` accepts are then tested for replays.
    pub(super) fn unwrap_batch<P: AsMut<[u8]>>(
        &mut self,
        packets: &mut [P],
        outcomes: &mut Vec<Outcome<DropReason>>,
        check: impl Fn(&Onward) -> Result<(), DropReason>,
    ) {
        let replay = &self.key.replay;
        let foresee = |keys: &mut dyn Iterator<Item = &[u8; 32]>| replay.foresee(keys);
        self.engine.unwrap_foreseen(packets, outcomes, foresee, |onward| {
            check(onward)?;
            // Last, so that only forwarded packets take space in the filter. Forged, final and rejected packets cost
            // their sender less, and must not displace the others.
            if replay.insert(&onward.replay_key) { Ok(()) } else { Err(DropReason::Replay) }
        });
    }
}

#[cfg(test)]
mod tests;
