//! Which packets were seen before: two generations of a Bloom filter over replay tags.
//!
//! A generation lasts until it is full or old, then the older one is forgotten, so a replay is caught for at least one
//! generation and at most two. The age is each generation's own: what has just begun does not end by somebody's clock.
//! Tags are outputs of HKDF and thus uniform: their bytes serve as hashes. Nothing is kept across a restart. Closing
//! the window for good takes key rotation (docs/architecture.md, "Replays").

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::time::Instant;

/// Bits set per tag. With 24 bits of memory per tag the false positive rate is about 1e-5.
const PROBES: usize = 16;
const BITS_PER_TAG: usize = 24;

/// A test-and-set of replay tags in bounded memory, shared by all workers without a lock.
pub struct ReplayFilter {
    generations: ArcSwap<Generations>,
    tags_max: usize,
    is_rotating: AtomicBool,
}

struct Generations {
    /// Of the current one.
    number: u64,
    current: Arc<BloomFilter>,
    previous: Arc<BloomFilter>,
}

impl ReplayFilter {
    /// How long a generation lasts when traffic does not fill it sooner.
    pub const GENERATION_AGE: Duration = Duration::from_secs(3600);

    /// A filter of two generations that together take `memory_bytes`, rounded down to a power of two.
    #[must_use]
    pub fn new(memory_bytes: usize) -> Self {
        let words = 1 << (memory_bytes / 2 / size_of::<u64>()).max(1).ilog2();
        let fresh = || Arc::new(BloomFilter::new(words));
        Self {
            generations: ArcSwap::from_pointee(Generations { number: 0, current: fresh(), previous: fresh() }),
            tags_max: words * 64 / BITS_PER_TAG,
            is_rotating: AtomicBool::new(false),
        }
    }

    /// Notes a tag; `false` when it was there already, or (in about one of 100 000 cases) seems to have been.
    pub fn insert(&self, tag: &[u8; 32]) -> bool {
        let generations = self.generations.load();
        let is_new = !generations.previous.contains(tag) && generations.current.insert(tag);
        if is_new && generations.current.tags.load(Ordering::Relaxed) >= self.tags_max {
            self.rotate(generations.number);
        }
        is_new
    }

    /// Which generation is the current one.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generations.load().number
    }

    /// Ends this generation, because it is full or [`ReplayFilter::GENERATION_AGE`] old, unless it has ended already.
    ///
    /// One thread clears memory for the next one; the others go on with this one meanwhile.
    pub fn rotate(&self, generation: u64) {
        if self.is_rotating.swap(true, Ordering::Acquire) {
            return;
        }
        let now = self.generations.load();
        if now.number == generation {
            let current = Arc::new(BloomFilter::new(now.current.words.len()));
            let previous = Arc::clone(&now.current);
            self.generations.store(Arc::new(Generations { number: generation + 1, current, previous }));
        }
        self.is_rotating.store(false, Ordering::Release);
    }
}

/// Ends generations by their age. The time is passed in, often.
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

    /// Ends the current generation if it was the current one [`ReplayFilter::GENERATION_AGE`] ago.
    pub fn look(&mut self, filter: &ReplayFilter, now: Instant) {
        if filter.generation() == self.generation {
            if now.saturating_duration_since(self.since) < ReplayFilter::GENERATION_AGE {
                return;
            }
            filter.rotate(self.generation);
        }
        *self = Self::new(filter, now);
    }
}

impl fmt::Debug for ReplayFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplayFilter").field("tags_max", &self.tags_max).finish_non_exhaustive()
    }
}

/// A Bloom filter of a power of two of 64-bit words.
struct BloomFilter {
    words: Box<[AtomicU64]>,
    tags: AtomicUsize,
}

impl BloomFilter {
    fn new(words: usize) -> Self {
        debug_assert!(words.is_power_of_two());
        Self { words: (0..words).map(|_| AtomicU64::new(0)).collect(), tags: AtomicUsize::new(0) }
    }

    /// Sets the tag's bits; whether any was clear before. Of two workers with the same tag one sees the last bit.
    fn insert(&self, tag: &[u8; 32]) -> bool {
        let mut was_clear = false;
        for (word, mask) in self.probes(tag) {
            was_clear |= self.words[word].fetch_or(mask, Ordering::Relaxed) & mask == 0;
        }
        if was_clear {
            self.tags.fetch_add(1, Ordering::Relaxed);
        }
        was_clear
    }

    fn contains(&self, tag: &[u8; 32]) -> bool {
        self.probes(tag).all(|(word, mask)| self.words[word].load(Ordering::Relaxed) & mask != 0)
    }

    /// Double hashing (Kirsch and Mitzenmacher, 2006) from the tag's first 16 bytes.
    fn probes(&self, tag: &[u8; 32]) -> impl Iterator<Item = (usize, u64)> {
        let half = |at: usize| tag[at..at + 8].iter().fold(0u64, |value, byte| value << 8 | u64::from(*byte));
        let (start, step) = (half(0), half(8) | 1);
        let bits_mask = self.words.len() as u64 * 64 - 1;
        (0..PROBES as u64).map(move |i| {
            let bit = start.wrapping_add(i.wrapping_mul(step)) & bits_mask;
            (usize::try_from(bit / 64).unwrap_or_default(), 1 << (bit % 64))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sha2::{Digest, Sha256};

    fn tag(n: u64) -> [u8; 32] {
        Sha256::digest(n.to_le_bytes()).into()
    }

    #[test]
    fn a_million_replays_are_all_caught_and_few_others() {
        let filter = ReplayFilter::new(64 << 20);
        let false_positives = (0..1_000_000).filter(|n| !filter.insert(&tag(*n))).count();
        assert!(false_positives <= 10, "{false_positives} of a million");
        assert_eq!((0..1_000_000).filter(|n| filter.insert(&tag(*n))).count(), 0);
    }

    #[test]
    fn a_full_filter_stays_below_its_false_positive_rate_and_rotates() {
        let filter = ReplayFilter::new(1 << 20);
        let per_generation = filter.tags_max as u64;
        let seen = (0..3 * per_generation).filter(|n| !filter.insert(&tag(*n))).count();
        assert!(seen as u64 <= 1 + 3 * per_generation / 25_000, "{seen} false positives");
        let newest = 3 * per_generation - per_generation / 2;
        assert!(!filter.insert(&tag(newest)), "the newest generations are remembered");
        assert!(filter.insert(&tag(0)), "the oldest is forgotten");
    }

    #[test]
    fn a_rotation_keeps_one_generation() {
        let filter = ReplayFilter::new(1 << 16);
        assert!(filter.insert(&tag(1)));
        filter.rotate(filter.generation());
        assert!(!filter.insert(&tag(1)));
        filter.rotate(filter.generation());
        assert!(filter.insert(&tag(1)), "two rotations on it is forgotten");
    }

    #[test]
    fn a_generation_that_has_ended_does_not_end_its_successor() {
        let filter = ReplayFilter::new(1 << 16);
        assert!(filter.insert(&tag(1)));
        filter.rotate(0);
        filter.rotate(0);
        assert_eq!(filter.generation(), 1);
        assert!(!filter.insert(&tag(1)));
    }

    #[test]
    fn threads_that_fill_a_generation_together_end_it_once_and_lose_no_tag() {
        let filter = ReplayFilter::new(1 << 18);
        let share = filter.tags_max as u64 * 19 / 40;
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let filter = &filter;
                scope.spawn(move || (0..share).for_each(|n| _ = filter.insert(&tag(4 * n + thread))));
            }
        });
        assert_eq!(filter.generation(), 1);
        assert!((0..4 * share).all(|n| !filter.insert(&tag(n))));
    }

    #[test]
    fn each_generation_ends_by_its_own_age() {
        const MINUTE: Duration = Duration::from_mins(1);
        let filter = ReplayFilter::new(1 << 16);
        let start = Instant::now();
        let mut aging = Aging::new(&filter, start);
        let mut look = |minute: u32| {
            aging.look(&filter, start + MINUTE * minute);
            filter.generation()
        };
        assert_eq!(look(30), 0);
        // It is full after 59 minutes, so the next one lasts until an hour after that.
        assert_eq!(look(58), 0);
        filter.rotate(0);
        let filled: Vec<_> = (59..=118).map(&mut look).collect();
        assert!(filled.iter().all(|generation| *generation == 1), "{filled:?}");
        assert_eq!(look(119), 2);
        assert_eq!((look(178), look(179)), (2, 3));
    }
}
