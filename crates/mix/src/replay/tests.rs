//! Windows that become full, age and rotate.

use super::*;
use sha2::{Digest, Sha256};

const SECOND: Duration = Duration::from_secs(1);

pub(super) fn key(n: u64) -> [u8; 32] {
    Sha256::digest(n.to_le_bytes()).into()
}

/// A filter with this capacity per generation.
fn filter(keys_per_generation: u64) -> ReplayFilter {
    ReplayFilter::new(ReplayWindow { length: 2 * SECOND, expected_rate: keys_per_generation }).unwrap()
}

#[test]
fn a_million_replays_are_detected_with_few_false_positives() {
    let filter = filter(1_000_001);
    let false_positives = (0..1_000_000).filter(|n| !filter.insert(&key(*n))).count();
    assert!(false_positives <= 10, "{false_positives} of a million");
    assert_eq!((0..1_000_000).filter(|n| filter.insert(&key(*n))).count(), 0);
}

#[test]
fn at_the_expected_rate_copies_are_detected_for_a_whole_window() {
    const PER_GENERATION: u64 = 50_000;
    let filter = filter(PER_GENERATION);
    let mut false_positives = 0;
    for n in 0..6 * PER_GENERATION {
        false_positives += u64::from(!filter.insert(&key(n)));
        // A window ago, which is two generations.
        if n % 997 == 0
            && let Some(old) = n.checked_sub(2 * PER_GENERATION)
        {
            assert!(!filter.insert(&key(old)), "{old} is forgotten at {n}");
        }
    }
    // 1.8e-6 in each of two full generations makes one expected; eleven are beyond chance.
    assert!(false_positives <= 10, "{false_positives} false positives");
    assert!(filter.insert(&key(0)), "the oldest is forgotten");
}

#[test]
fn the_default_window_uses_about_thirty_five_mebibytes() {
    let mebibytes = |length, expected_rate| ReplayWindow { length, expected_rate }.memory_bytes() >> 20;
    assert_eq!(mebibytes(600 * SECOND, 9_000), 34);
    assert_eq!(mebibytes(600 * SECOND, 80_000), 308);
    assert!(mebibytes(Duration::MAX, u64::MAX) > 1 << 40, "no overflow");
}

#[test]
fn a_window_beyond_all_memory_is_an_error() {
    let window = ReplayWindow { length: Duration::MAX, expected_rate: u64::MAX };
    let error = ReplayFilter::new(window).unwrap_err();
    assert!(error.to_string().contains("replay.expected_rate"), "{error}");
}

#[test]
fn foreseen_keys_are_not_added() {
    let filter = filter(1000);
    let keys: Vec<_> = (0..100).map(key).collect();
    filter.foresee(&keys);
    filter.foresee([]);
    assert!(keys.iter().all(|key| filter.insert(key)));
    filter.foresee(&keys);
    assert!(!keys.iter().any(|key| filter.insert(key)));
}

#[test]
fn a_rotation_keeps_two_generations() {
    let filter = filter(1000);
    assert!(filter.insert(&key(1)));
    for _ in 0..2 {
        filter.rotate(filter.generation());
        assert!(!filter.insert(&key(1)));
    }
    filter.rotate(filter.generation());
    assert!(filter.insert(&key(1)), "three rotations on it is forgotten");
}

#[test]
fn a_generation_that_has_ended_does_not_end_its_successor() {
    let filter = filter(1000);
    assert!(filter.insert(&key(1)));
    filter.rotate(0);
    filter.rotate(0);
    assert_eq!(filter.generation(), 1);
    assert!(!filter.insert(&key(1)));
}

#[test]
fn concurrent_threads_end_a_full_generation_once_and_lose_no_key() {
    const PER_GENERATION: u64 = 10_000;
    let filter = filter(PER_GENERATION);
    let share = PER_GENERATION * 19 / 40;
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let filter = &filter;
            scope.spawn(move || (0..share).for_each(|n| _ = filter.insert(&key(4 * n + thread))));
        }
    });
    assert_eq!(filter.generation(), 1);
    assert!((0..4 * share).all(|n| !filter.insert(&key(n))));
}

#[test]
fn at_most_one_of_many_threads_gets_a_key_as_new() {
    const THREADS: usize = 4;
    const STEP: usize = 500;
    const KEYS: usize = 40_000;
    let filter = filter(2 * STEP as u64);
    let seen_as_new: Vec<_> = (0..KEYS).map(|_| AtomicU64::new(0)).collect();
    let together = std::sync::Barrier::new(THREADS);
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for (step, counts) in seen_as_new.chunks(STEP).enumerate() {
                    // No thread falls so far behind that a key is forgotten before the thread reaches it.
                    together.wait();
                    for (key_number, count) in (STEP * step..).zip(counts) {
                        count.fetch_add(filter.insert(&key(key_number as u64)).into(), Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let with_count = |wanted| seen_as_new.iter().filter(|count| count.load(Ordering::Relaxed) == wanted).count();
    assert!(filter.generation() >= (KEYS / (2 * STEP) - 1) as u64, "{}", filter.generation());
    // A false positive: 1.8e-6 in each of two full generations makes 0.15 expected; six are beyond chance.
    assert!(with_count(0) <= 5, "{} keys were new to no thread", with_count(0));
    assert_eq!(with_count(0) + with_count(1), KEYS, "a key was new to two threads");
}

#[test]
fn each_generation_ends_by_its_own_age() {
    const MINUTE: Duration = Duration::from_mins(1);
    let filter = filter(1000);
    let start = Instant::now();
    let mut aging = Aging::new(&filter, start);
    let mut look = |minute: u32| {
        aging.look(&filter, start + MINUTE * minute);
        filter.generation()
    };
    assert_eq!(look(15), 0);
    // It is full after 29 minutes, so the next one lasts until half an hour after that.
    assert_eq!(look(28), 0);
    filter.rotate(0);
    let filled: Vec<_> = (29..=58).map(&mut look).collect();
    assert!(filled.iter().all(|generation| *generation == 1), "{filled:?}");
    assert_eq!(look(59), 2);
    assert_eq!((look(88), look(89)), (2, 3));
    assert_eq!(filter.early_ends(), 0, "29 minutes are more than half a window of two seconds");
}

#[test]
fn generations_that_are_full_early_are_counted() {
    let window = ReplayWindow { length: 600 * SECOND, expected_rate: 10 };
    let filter = ReplayFilter::new(window).unwrap();
    let start = Instant::now();
    let mut aging = Aging::new(&filter, start);
    let mut keys = 0..;
    let mut fill = |generations: usize| {
        for _ in 0..generations * filter.keys_max {
            while !filter.insert(&key(keys.next().unwrap())) {}
        }
    };
    fill(1);
    aging.look(&filter, start + 300 * SECOND);
    assert_eq!(filter.early_ends(), 0, "as fast as expected");
    fill(1);
    aging.look(&filter, start + 599 * SECOND);
    assert_eq!(filter.early_ends(), 1, "a second before its time");
    fill(3);
    aging.look(&filter, start + 600 * SECOND);
    assert_eq!(filter.early_ends(), 4, "three in a second");
    aging.look(&filter, start + 601 * SECOND);
    assert_eq!(filter.early_ends(), 4);
    fill(3);
    aging.look(&filter, start + 2000 * SECOND);
    assert_eq!(filter.early_ends(), 6, "the first of three lasted long");
}

#[test]
fn the_block_of_a_key_differs_between_filters() {
    let [one, other] = [filter(1000), filter(1000)];
    let places = |filter: &ReplayFilter| (0..8).map(|n| filter.hasher.hash_one(key(n))).collect::<Vec<_>>();
    assert_ne!(places(&one), places(&other));
}
