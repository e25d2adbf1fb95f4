//! That nothing which a node tells depends on which packet that left is which packet that came.
//!
//! The rule: telemetry T is a function of arrivals, departures, and what is independent of the matching π between them,
//! so I(π; T | wire) = 0. Here it is put to the test. Worlds with the same wire, down to the millisecond and the byte,
//! differ only in which arrival has which delay and next hop, or in which of two arrivals of a window ends here or is
//! given up, as damaged, refused or a replay; frame headers differ in all but their size. All that the node tells has
//! to be the same, byte for byte and at the same times. There are 200 worlds, each 50 swaps away from the first one.
//!
//! What is real: frame decoding, arrival stamps and counters, the unwrap engine on real Sphinx packets with its replay
//! filter, the forwarding policy as the directory sets it, the hand-over between workers, the pools, the windows, the
//! answers of the operator's HTTP (through its router; `/metrics` in both formats), the heartbeat with its posts to the
//! directory, the traces and metrics that collectors would get by OTLP, and the log from INFO up.
//! They run as [`Worker`](super::worker::Worker)s and tasks of the node, on a virtual clock.
//!
//! What is left out, and why it cannot matter:
//!
//! - *Sockets.* Bytes come and leave at the times of the wire, which by the premise are the same in all worlds. What
//!   the peers' tasks count (connections, failures, lag, full queues) follows from what is due for a next hop and when,
//!   which is the wire's side of the matching: the queue of a next hop knows no arrivals.
//! - *Threads.* Here all workers share one thread, and so there is no count of wake-ups, by worker or in sum. There
//!   must be none: a worker is woken when a packet *arrives* whose next hop it owns.
//! - *The machine.* CPU time, memory and descriptors are those of the whole test process. Of these CPU time does depend
//!   on the matching: a packet that crosses between two workers costs a wake-up more than one that does not. It is told
//!   so coarsely (by the window, 5 % of the workers' time) that this drowns, and that no test here can show; with one
//!   worker there is none of it. `exported::MACHINE` names the metrics, docs/telemetry.md what remains.
//! - *Keys, ids, dates.* One node has one identity, and the clock is the test's; random ids of spans and of the run,
//!   and what the real clock gives (when the node registered, started, called the directory, exported) are taken out.
//!
//! - *The stop.* A world ends in the middle of a run: the last window of a stop, with what its drain drops, is not
//!   played. It is a window as the others are.
//!
//! Also compared are the exact counts where windows end, which nobody is told, so that it is not the rounding that
//! makes worlds equal.

mod exported;
mod schema;
mod stage;
mod world;

use rand::SeedableRng;
use rand::rngs::StdRng;

use stage::{Leak, Said, Seen, Stage};
use world::{PACKETS, World};

const SEED: u64 = 6;
/// Pairs that are swapped one after another on the way from the first world to each of the others.
const SWAPS: usize = 50;
const WORLDS: usize = 200;

/// What was told in two worlds and is not the same.
#[derive(Debug, Default)]
struct Difference {
    bytes: usize,
    /// Of the first place that differs.
    first: Option<(Option<Said>, Option<Said>)>,
}

impl Difference {
    fn add(&mut self, one: &[Said], other: &[Said]) {
        for place in 0..one.len().max(other.len()) {
            let (one, other) = (one.get(place), other.get(place));
            if one != other {
                self.bytes += differing_bytes(one, other);
                self.first.get_or_insert_with(|| {
                    let what = |said: Option<&Said>| said.map(|said| said.what.clone()).unwrap_or_default();
                    let from = same_bytes(&what(one), &what(other)).saturating_sub(100);
                    (one.map(|said| said.cut(from)), other.map(|said| said.cut(from)))
                });
            }
        }
    }
}

/// How long the beginning is that two texts share.
fn same_bytes(one: &str, other: &str) -> usize {
    one.bytes().zip(other.bytes()).take_while(|(one, other)| one == other).count()
}

/// How many bytes differ; all of them where something was told at another time, or by another means, or once only.
fn differing_bytes(one: Option<&Said>, other: Option<&Said>) -> usize {
    let bytes = |said: Option<&Said>| said.map_or(0, |said| said.what.len());
    let longer = bytes(one).max(bytes(other));
    match (one, other) {
        (Some(one), Some(other)) if (one.at_ms, one.by) == (other.at_ms, other.by) => {
            let same = one.what.bytes().zip(other.what.bytes()).filter(|(one, other)| one == other).count();
            longer - same
        }
        _ => longer.max(1),
    }
}

/// Plays `worlds` worlds against the first one.
fn play(worlds: usize, leak: Leak) -> (Seen, Difference) {
    let mut stage = Stage::new();
    let mut rng = StdRng::seed_from_u64(SEED);
    let first = World::random(SEED, PACKETS);
    let expected = stage.play(&first, leak);
    let mut difference = Difference::default();
    for _ in 0..worlds {
        let world = first.swapped(SWAPS, &mut rng);
        assert!(world.differences(&first) >= 2, "nothing was swapped");
        let seen = stage.play(&world, leak);
        assert_eq!(seen.wire, expected.wire, "the premise: the wire is the same");
        difference.add(&expected.said, &seen.said);
    }
    (expected, difference)
}

#[test]
fn whatever_belongs_together_all_that_is_told_is_the_same() {
    let (seen, difference) = play(WORLDS, Leak::None);
    assert_eq!(difference.bytes, 0, "bytes differ in {WORLDS} worlds of {SWAPS} swaps: {:#?}", difference.first);

    // It was a world in which something happened, and was told.
    assert!(seen.wire.len() > 50, "{}", seen.wire.len());
    let told = |by: &str, words: &str| seen.said.iter().any(|said| said.by == by && said.what.contains(words));
    assert!(told("/status", "\"received\":64"), "{:#?}", seen.said);
    let reasons =
        ["bad_mac", "delay_too_long", "next_hop_refused", "replay", "size_refused", "size_unknown_to_next_hop"];
    for reason in reasons {
        assert!(told("/status", &format!("\"{reason}\":8")), "{reason}");
    }
    assert!(told("/status", "\"final\":64"));
    assert!(told("/status", "\"pool\":64") && told("/readyz", "ready") && told("exact counts", "pool: "));
    assert!(told("directory post", "received: 64") && told("log", "registered with the directory"));
    assert!(told("/metrics", "mix_packets_total{stage=\"received\"} 64"));
    assert!(told("/metrics, OpenMetrics", "# EOF"));
    assert!(told("traces", "mix.window") && told("traces", "mix.dropped.bad_mac"));
    assert!(told("traces", "directory.register") && told("metrics", "mix.pool.size"));
}

#[test]
fn the_same_test_finds_per_packet_spans_and_histograms_of_delays() {
    for leak in [Leak::PerPacket, Leak::DelayHistogram] {
        let (_, difference) = play(3, leak);
        assert!(difference.bytes > 0, "{leak:?} goes unnoticed");
    }
}
