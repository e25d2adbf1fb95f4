//! Replay detection: three generations of a Bloom filter over replay keys.
//!
//! Each generation has capacity for the packets of half a window. When it is full or old, a new one begins and the
//! oldest is discarded. Two complete generations always remain, so copies are detected for at least the window if
//! packets arrive no faster than expected. The filter is not kept across a restart.
//!
//! A keyed hash selects the block of a key; its key is random for each start. A sender knows its own replay keys, and
//! could otherwise fill single blocks with few packets, so that honest packets appear to be replays.

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

use bloom::{BloomFilter, Masks};

/// Complete generations kept besides the current one.
const PAST_GENERATIONS: u32 = 2;
/// Minimum age at which a generation ends by age. With little traffic, a longer window costs nothing.
const GENERATION_AGE_MIN: Duration = Duration::from_mins(30);

/// Number of locks that keys share. A lock is kept only while 16 bits are set, so contention is rare.
const TURNS: usize = 256;

/// Keys whose cache lines are loaded side by side: a full batch of an engine.
const FORESEEN: usize = 32;

/// Not enough memory for the filter.
#[derive(Debug, Error)]
#[error(
    "cannot reserve {bytes} bytes for the replay filter: the system has not as much memory; lower replay.expected_rate \
     or replay.window"
)]
pub struct OutOfMemory {
    /// Memory of the filter.
    pub bytes: usize,
}

/// Duration of replay detection, and the packet rate that memory is reserved for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplayWindow {
    /// Minimum time for which copies are detected.
    pub length: Duration,
    /// Maximum rate of forwarded packets per second for which `length` is guaranteed.
    pub expected_rate: u64,
}

/// A test-and-set of replay keys in bounded memory, shared by all workers.
pub struct ReplayFilter {
    generations: ArcSwap<Generations>,
    window: ReplayWindow,
    keys_max: usize,
    hasher: RandomState,
    /// A key has several bits. A copy may arrive on another thread while the first thread sets them, or while a
    /// generation ends in between. The lock serialises all copies of a key.
    turns: Box<[Turn]>,
    is_rotating: AtomicBool,
    early_ends: AtomicU64,
}

/// A lock in a cache line of its own.
#[derive(Default)]
#[repr(align(64))]
struct Turn(Mutex<()>);

struct Generations {
    number: u64,
    current: Arc<BloomFilter>,
    past: [Arc<BloomFilter>; PAST_GENERATIONS as usize],
}

impl ReplayWindow {
    /// Memory of a filter for this window, in bytes.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        BloomFilter::memory_for(self.keys_per_generation()).saturating_mul(1 + PAST_GENERATIONS as usize)
    }

    fn keys_per_generation(&self) -> usize {
        let keys = self.length.as_nanos().saturating_mul(self.expected_rate.into()) / 1_000_000_000;
        usize::try_from(keys.div_ceil(PAST_GENERATIONS.into())).unwrap_or(usize::MAX).max(1)
    }

    /// Duration of a generation at the expected rate.
    fn generation(&self) -> Duration {
        self.length / PAST_GENERATIONS
    }
}

impl ReplayFilter {
    /// An empty filter for this window.
    ///
    /// # Errors
    /// When there is not enough memory.
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

    /// The configured window.
    #[must_use]
    pub fn window(&self) -> ReplayWindow {
        self.window
    }

    /// Adds a key; `false` for a key that was added before. Fewer than 1 in 100 000 results are false positives.
    pub fn insert(&self, key: &[u8; 32]) -> bool {
        let (place, masks) = (self.hasher.hash_one(key), Masks::of(key));
        // No code that can panic runs under the lock.
        let turn =
            self.turns[usize::from(place.to_le_bytes()[0]) % TURNS].0.lock().unwrap_or_else(PoisonError::into_inner);
        let generations = self.generations.load();
        let is_new = !generations.past.iter().any(|past| past.contains(place, &masks))
            && generations.current.insert(place, &masks);
        drop(turn);
        if is_new && generations.current.len() >= self.keys_max {
            self.rotate(generations.number);
        }
        is_new
    }

    /// Loads the memory of keys that will be [inserted](Self::insert) next. All accesses run side by side, and an
    /// insert then need not wait for its own. Changes no result.
    pub fn foresee<'a>(&self, keys: impl IntoIterator<Item = &'a [u8; 32]>) {
        let generations = self.generations.load();
        let mut places = keys.into_iter().map(|key| self.hasher.hash_one(key)).fuse();
        loop {
            // Hash first: nothing between the accesses of a chunk keeps the CPU from making them at once.
            let chunk: [Option<u64>; FORESEEN] = std::array::from_fn(|_| places.next());
            for place in chunk.into_iter().flatten() {
                generations.current.touch(place);
                generations.past.iter().for_each(|past| past.touch(place));
            }
            if chunk[FORESEEN - 1].is_none() {
                return;
            }
        }
    }

    /// Number of the current generation.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generations.load().number
    }

    /// Generations that were full early, as counted by the last [`Aging::look`].
    #[must_use]
    pub fn early_ends(&self) -> u64 {
        self.early_ends.load(Ordering::Relaxed)
    }

    /// Ends this generation, unless it has ended already.
    ///
    /// One thread allocates the next generation while the others keep using this one. Without enough memory, all keep
    /// using it: the filter then forgets no key, and has more false positives.
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

/// Ends generations by age, and counts those that were full early. Callers pass the time at short intervals.
pub struct Aging {
    generation: u64,
    since: Instant,
}

impl Aging {
    /// Starts at `now`, when the current generation has just begun.
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
                // All but the first began and ended since the last call, which is less than half a window ago.
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
