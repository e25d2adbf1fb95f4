//! A Bloom filter whose bits for one key all lie in one cache line.

use std::hint::black_box;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use bytemuck::allocation::try_zeroed_slice_box;

/// Bits set per key.
const PROBES: usize = 16;
/// Bits of memory per key. With [`PROBES`] the false positive rate of a full filter is 1.8e-6.
const BITS_PER_KEY: usize = 36;
/// Words of a block: one cache line.
const BLOCK_WORDS: usize = 8;
const BLOCK_BITS: usize = BLOCK_WORDS * 64;
const CACHE_LINE_BYTES: usize = BLOCK_BITS / 8;
/// Bits of the key per probe.
const PROBE_BITS: usize = BLOCK_BITS.ilog2() as usize;

const _: () = assert!(PROBES * PROBE_BITS <= 256);

/// A set of keys in bounded memory, shared by all workers.
pub(super) struct BloomFilter {
    words: Box<[AtomicU64]>,
    /// Words before the first one that is aligned to a cache line.
    skipped: usize,
    blocks: usize,
    keys: AtomicUsize,
}

/// The bits of a key, in filters of any size: one mask for each word of its block.
pub(super) struct Masks([u64; BLOCK_WORDS]);

impl BloomFilter {
    /// Memory of a filter for this many keys, in bytes.
    pub(super) const fn memory_for(keys: usize) -> usize {
        blocks_for(keys).saturating_mul(CACHE_LINE_BYTES)
    }

    /// An empty filter for this many keys.
    ///
    /// The system provides zeroed pages on first use, so a new filter causes no pause. `None` when there is not enough
    /// memory.
    pub(super) fn new(keys: usize) -> Option<Self> {
        let blocks = blocks_for(keys);
        let len = blocks.checked_mul(BLOCK_WORDS)?.checked_add(BLOCK_WORDS - 1)?;
        let words: Box<[AtomicU64]> = try_zeroed_slice_box(len).ok()?;
        let skipped = words.as_ptr().align_offset(CACHE_LINE_BYTES).min(BLOCK_WORDS - 1);
        Some(Self { words, skipped, blocks, keys: AtomicUsize::new(0) })
    }

    /// Number of added keys.
    pub(super) fn len(&self) -> usize {
        self.keys.load(Ordering::Relaxed)
    }

    /// Adds a key and returns whether it was new. Threads that add the same key at the same time may all get `true`.
    ///
    /// `place` chooses the block, evenly over all its values.
    pub(super) fn insert(&self, place: u64, masks: &Masks) -> bool {
        let mut was_clear = false;
        for (word, &mask) in self.block(place).iter().zip(&masks.0) {
            if mask != 0 && word.load(Ordering::Relaxed) & mask != mask {
                was_clear |= word.fetch_or(mask, Ordering::Relaxed) & mask != mask;
            }
        }
        if was_clear {
            self.keys.fetch_add(1, Ordering::Relaxed);
        }
        was_clear
    }

    /// Whether the key was added. False positives are rare.
    pub(super) fn contains(&self, place: u64, masks: &Masks) -> bool {
        self.block(place).iter().zip(&masks.0).all(|(word, &mask)| word.load(Ordering::Relaxed) & mask == mask)
    }

    /// Loads the cache line of this place, without waiting for it.
    pub(super) fn touch(&self, place: u64) {
        black_box(self.block(place)[0].load(Ordering::Relaxed));
    }

    fn block(&self, place: u64) -> &[AtomicU64] {
        // The high half of the product is uniform over the blocks, without a division.
        let block = (u128::from(place) * self.blocks as u128) >> 64;
        let at = self.skipped + usize::try_from(block).unwrap_or_default() * BLOCK_WORDS;
        &self.words[at..at + BLOCK_WORDS]
    }
}

const fn blocks_for(keys: usize) -> usize {
    let blocks = keys.saturating_mul(BITS_PER_KEY).div_ceil(BLOCK_BITS);
    if blocks == 0 { 1 } else { blocks }
}

impl Masks {
    /// Bit positions are taken from the key itself, 9 bits each.
    pub(super) fn of(key: &[u8; 32]) -> Self {
        let mut masks = [0; BLOCK_WORDS];
        let (mut bits, mut count) = (0u64, 0);
        let mut words = key.as_chunks::<8>().0.iter();
        for _ in 0..PROBES {
            if count < PROBE_BITS {
                bits = words.next().map_or(0, |word| u64::from_le_bytes(*word));
                count = u64::BITS as usize;
            }
            let place = usize::try_from(bits).unwrap_or(usize::MAX) % BLOCK_BITS;
            masks[place / 64] |= 1 << (place % 64);
            bits >>= PROBE_BITS;
            count -= PROBE_BITS;
        }
        Self(masks)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::key;
    use super::*;

    fn place(key: &[u8; 32]) -> u64 {
        u64::from_be_bytes(*key.last_chunk().unwrap())
    }

    fn holds(filter: &BloomFilter, n: u64) -> bool {
        filter.contains(place(&key(n)), &Masks::of(&key(n)))
    }

    #[test]
    fn a_key_sets_up_to_sixteen_bits() {
        let bits = |n: u64| Masks::of(&key(n)).0.iter().map(|mask| mask.count_ones()).sum::<u32>();
        let counts: Vec<u32> = (0..1000).map(bits).collect();
        assert!(counts.iter().all(|count| (8..=16).contains(count)), "{counts:?}");
        let sum: u32 = counts.iter().sum();
        // 512 · (1 − (511/512)^16) = 15.77.
        assert!((15_600..15_900).contains(&sum), "{sum}");
    }

    #[test]
    fn blocks_begin_at_cache_lines_and_cover_the_memory() {
        let filter = BloomFilter::new(10_000).unwrap();
        assert_eq!(filter.blocks * CACHE_LINE_BYTES, BloomFilter::memory_for(10_000));
        for place in [0, 1, u64::MAX / 2, u64::MAX] {
            let block = filter.block(place);
            assert_eq!((block.len(), block.as_ptr().addr() % CACHE_LINE_BYTES), (BLOCK_WORDS, 0));
        }
        let last = filter.block(u64::MAX).as_ptr().addr() - filter.block(0).as_ptr().addr();
        assert_eq!(last, (filter.blocks - 1) * CACHE_LINE_BYTES);
    }

    #[test]
    fn a_full_filter_has_the_false_positive_rate_that_it_is_sized_for() {
        const KEYS: u64 = 200_000;
        const OTHERS: u64 = 4_000_000;
        let filter = BloomFilter::new(usize::try_from(KEYS).unwrap()).unwrap();
        for n in 0..KEYS {
            let key = key(n);
            filter.insert(place(&key), &Masks::of(&key));
        }
        assert!((0..KEYS).all(|n| holds(&filter, n)));
        let hits = (KEYS..KEYS + OTHERS).filter(|n| holds(&filter, *n)).count();
        // 1.8e-6 of four million are seven; thirteen are 3.3e-6, a third of what is allowed.
        assert!(hits <= 13, "{hits} false positives");
    }
}
