//! Which packets were seen before: a window of three generations of a Bloom filter over replay keys.
//!
//! Each generation has room for the packets of half a window. When it is full, or old, a new one begins and the oldest
//! is forgotten, so two whole generations are always remembered: a copy is caught for at least the window, as long as
//! packets come no faster than expected. Nothing is kept across a restart.
//!
//! The block of a key is chosen by a hash that is keyed anew at each start. A sender knows its own replay keys, and
//! could otherwise fill single blocks with few packets, so that honest packets seem to be replays.

mod bloom;

use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use std::time::Instant;
use thiserror::Error;

use bloom::BloomFilter;

/// Generations that are remembered whole, besides the current one.
const PAST_GENERATIONS: u32 = 2;
/// Generations end by age, too, but not before this: with little traffic the window is longer, at no cost.
const GENERATION_AGE_MIN: Duration = Duration::from_mins(30);

/// Locks that keys share. Each is held for as long as 16 bits take, so that threads hardly ever meet.
const TURNS: usize = 256;

/// The system has not enough memory for the filter.
#[derive(Debug, Error)]
#[error(
    "cannot reserve {bytes} bytes for the replay filter: the system has not as much memory; lower replay.expected_rate \
     or replay.window"
)]
pub struct OutOfMemory {
    /// What the filter takes.
    pub bytes: usize,
}

/// How long copies are to be caught, and for how many packets memory is reserved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplayWindow {
    /// For how long a copy is caught at least.
    pub length: Duration,
    /// Forwarded packets per second up to which that holds.
    pub expected_rate: u64,
}

/// A test-and-set of replay keys in bounded memory, shared by all workers.
pub struct ReplayFilter {
    generations: ArcSwap<Generations>,
    window: ReplayWindow,
    keys_max: usize,
    hasher: RandomState,
    /// A key has several bits, and a copy may arrive on another thread while the first sets them, or while a generation
    /// ends in between. So all copies of one key take turns.
    turns: Box<[Turn]>,
    is_rotating: AtomicBool,
    early_ends: AtomicU64,
}

/// A lock in a cache line of its own.
#[derive(Default)]
#[repr(align(64))]
struct Turn(Mutex<()>);

struct Generations {
    /// Of the current one.
    number: u64,
    current: Arc<BloomFilter>,
    past: [Arc<BloomFilter>; PAST_GENERATIONS as usize],
}

impl ReplayWindow {
    /// Bytes that a filter for this window takes.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        BloomFilter::memory_for(self.keys_per_generation()).saturating_mul(1 + PAST_GENERATIONS as usize)
    }

    fn keys_per_generation(&self) -> usize {
        let keys = self.length.as_nanos().saturating_mul(self.expected_rate.into()) / 1_000_000_000;
        usize::try_from(keys.div_ceil(PAST_GENERATIONS.into())).unwrap_or(usize::MAX).max(1)
    }

    /// How long a generation lasts when packets come as fast as expected.
    fn generation(&self) -> Duration {
        self.length / PAST_GENERATIONS
    }
}

impl ReplayFilter {
    /// An empty filter for this window.
    ///
    /// # Errors
    /// When the system has not enough memory.
    pub fn new(window: ReplayWindow) -> Result<Self, OutOfMemory> {
        let keys_max = window.keys_per_generation();
        let fresh = || BloomFilter::new(keys_max).map(Arc::new).ok_or(OutOfMemory { bytes: window.memory_bytes() });
        Ok(Self {
            generations: ArcSwap::from_pointee(Generations {
                number: 0,
                current: fresh()?,
                past: [fresh()?, fresh()?],
            }),
            window,
            keys_max,
            hasher: RandomState::new(),
            turns: (0..TURNS).map(|_| Turn::default()).collect(),
            is_rotating: AtomicBool::new(false),
            early_ends: AtomicU64::new(0),
        })
    }

    /// What the filter was made for.
    #[must_use]
    pub fn window(&self) -> ReplayWindow {
        self.window
    }

    /// Adds a key; `false` when it was there already, or (in less than one of 100 000 cases) seems to have been.
    pub fn insert(&self, key: &[u8; 32]) -> bool {
        let place = self.hasher.hash_one(key);
        // Nothing that can panic runs in a turn.
        let turn =
            self.turns[usize::from(place.to_le_bytes()[0]) % TURNS].0.lock().unwrap_or_else(PoisonError::into_inner);
        let generations = self.generations.load();
        let is_new =
            !generations.past.iter().any(|past| past.contains(place, key)) && generations.current.insert(place, key);
        drop(turn);
        if is_new && generations.current.len() >= self.keys_max {
            self.rotate(generations.number);
        }
        is_new
    }

    /// Which generation is the current one.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generations.load().number
    }

    /// How many generations were full before their time, as far as [`Aging`] has looked.
    #[must_use]
    pub fn early_ends(&self) -> u64 {
        self.early_ends.load(Ordering::Relaxed)
    }

    /// Ends this generation, because it is full or old, unless it has ended already.
    ///
    /// One thread makes the next one; the others go on with this one meanwhile. Where memory is short, they go on for
    /// longer: the filter then forgets nothing, and takes more packets for copies.
    pub fn rotate(&self, generation: u64) {
        if self.is_rotating.swap(true, Ordering::Acquire) {
            return;
        }
        let now = self.generations.load();
        if now.number == generation
            && let Some(current) = BloomFilter::new(self.keys_max)
        {
            let past = [Arc::clone(&now.current), Arc::clone(&now.past[0])];
            self.generations.store(Arc::new(Generations { number: generation + 1, current: Arc::new(current), past }));
        }
        self.is_rotating.store(false, Ordering::Release);
    }
}

/// Ends generations by their age, and counts those that were full before their time. The time is passed in, often.
pub struct Aging {
    generation: u64,
    since: Instant,
}

impl Aging {
    /// The current generation has just begun.
    #[must_use]
    pub fn new(filter: &ReplayFilter, now: Instant) -> Self {
        Self { generation: filter.generation(), since: now }
    }

    /// Ends the current generation if it is old.
    pub fn look(&mut self, filter: &ReplayFilter, now: Instant) {
        let age = now.saturating_duration_since(self.since);
        let generation = filter.window.generation();
        match filter.generation() - self.generation {
            0 if age < generation.max(GENERATION_AGE_MIN) => return,
            0 => filter.rotate(self.generation),
            ended => {
                // All but the first began and ended since the last look, which is never half a window ago.
                let early = ended - u64::from(age >= generation);
                filter.early_ends.fetch_add(early, Ordering::Relaxed);
            }
        }
        *self = Self::new(filter, now);
    }
}

impl fmt::Debug for ReplayFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplayFilter").field("window", &self.window).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
