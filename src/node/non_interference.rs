//! Tests that the output of a node does not depend on the matching of outgoing with incoming packets.
//!
//! The rule: telemetry T is a function of arrivals, departures, and data that is independent of the matching π between
//! them, so I(π; T | wire) = 0. The test compares worlds with the same wire, down to the millisecond and the byte. They
//! differ only in which arrival has which delay and next hop, or in which of two arrivals in a window ends here or is
//! dropped as damaged, rejected or a replay. Frame headers differ in everything but their size. The output of the node
//! must be the same, byte for byte and at the same times. There are 200 worlds, each 50 swaps away from the first one.
//!
//! The test runs the real code for: frame decoding, arrival times and counters, the unwrap engine on real Sphinx
//! packets with its replay filter, the forwarding policy from the directory, the hand-over between workers, the pools,
//! the windows, the HTTP endpoints (through their router; `/metrics` in both formats), the heartbeat with its posts to
//! the directory, the OTLP traces and metrics, and the log from INFO up. It runs as
//! [`Worker`](super::worker::Worker)s and tasks of the node, on a virtual clock.
//!
//! The test does not cover the following, for these reasons:
//!
//! - *Sockets.* Bytes arrive and leave at the times of the wire, which are the same in all worlds by the premise. The
//!   counters of the peers' tasks (connections, failures, lag, full queues) depend only on when packets are due for a
//!   next hop, which is visible on the wire: the queue of a next hop has no information on arrivals.
//! - *Threads.* All workers share one thread here, so there is no count of wake-ups, by worker or in total. The node
//!   must not export one: a worker is woken when a packet *arrives* whose next hop it owns.
//! - *The machine.* CPU time, memory and descriptors are those of the whole test process. CPU time does depend on the
//!   matching: a packet that moves between two workers costs one more wake-up. The exported value is too coarse to show
//!   this (per window, 5 % of the workers' time), and no test here can measure it; with one worker there is no such
//!   effect. `exported::MACHINE` lists the metrics, and docs/telemetry.md describes what remains.
//! - *Keys, ids, dates.* One node has one identity, and the clock is virtual. Random ids of spans and of the run, and
//!   values of the real clock (start, registration, directory calls, exports) are removed.
//! - *The stop.* A world ends in the middle of a run. The last window of a stop, with the packets that its drain drops,
//!   is not tested; it is a window like the others.
//!
//! The exact counts at the ends of windows, which are not exported, are compared as well, so that rounding cannot be
//! the reason that worlds are equal.

mod directory;
mod exported;
mod gateway;
mod recorded;
mod schema;
mod stage;
mod world;

use rand::SeedableRng;
use rand::rngs::StdRng;

use recorded::Output;
use stage::{Leak, Seen, Stage};
use world::{PACKETS, World};

const SEED: u64 = 6;
/// Number of swaps between the first world and each of the others.
const SWAPS: usize = 50;
const WORLDS: usize = 200;
/// Worlds whose byte budget is short.
const CROWDED_WORLDS: usize = 20;

/// Differences between the outputs of two worlds.
#[derive(Debug, Default)]
struct Difference {
    bytes: usize,
    /// The first outputs that differ.
    first: Option<(Option<Output>, Option<Output>)>,
}

impl Difference {
    fn add(&mut self, one: &[Output], other: &[Output]) {
        for place in 0..one.len().max(other.len()) {
            let (one, other) = (one.get(place), other.get(place));
            if one != other {
                self.bytes += differing_bytes(one, other);
                self.first.get_or_insert_with(|| {
                    let what = |output: Option<&Output>| output.map(|output| output.what.clone()).unwrap_or_default();
                    let from = same_bytes(&what(one), &what(other)).saturating_sub(100);
                    (one.map(|output| output.cut(from)), other.map(|output| output.cut(from)))
                });
            }
        }
    }
}

/// Length of the common prefix of two texts.
fn same_bytes(one: &str, other: &str) -> usize {
    one.bytes().zip(other.bytes()).take_while(|(one, other)| one == other).count()
}

/// Number of differing bytes; all bytes if the time or channel differs, or if one output is missing.
fn differing_bytes(one: Option<&Output>, other: Option<&Output>) -> usize {
    let bytes = |output: Option<&Output>| output.map_or(0, |output| output.what.len());
    let longer = bytes(one).max(bytes(other));
    match (one, other) {
        (Some(one), Some(other)) if (one.at_ms, one.by) == (other.at_ms, other.by) => {
            let same = one.what.bytes().zip(other.what.bytes()).filter(|(one, other)| one == other).count();
            longer - same
        }
        _ => longer.max(1),
    }
}

/// Compares `worlds` worlds with the first one.
fn play(first: &World, worlds: usize, leak: Leak) -> (Seen, Difference) {
    let mut stage = Stage::new();
    let mut rng = StdRng::seed_from_u64(SEED);
    let expected = stage.play(first, leak);
    let mut difference = Difference::default();
    for _ in 0..worlds {
        let world = first.swapped(SWAPS, &mut rng);
        assert!(world.differences(first) >= 2, "nothing was swapped");
        let seen = stage.play(&world, leak);
        assert_eq!(seen.wire, expected.wire, "the premise: the wire is the same");
        difference.add(&expected.output, &seen.output);
    }
    (expected, difference)
}

#[test]
fn the_output_is_independent_of_the_matching() {
    let (seen, difference) = play(&World::random(SEED, PACKETS), WORLDS, Leak::None);
    assert_eq!(difference.bytes, 0, "bytes differ in {WORLDS} worlds of {SWAPS} swaps: {:#?}", difference.first);

    // The world had traffic, and the output shows it.
    assert!(seen.wire.len() > 50, "{}", seen.wire.len());
    let has_output =
        |by: &str, words: &str| seen.output.iter().any(|output| output.by == by && output.what.contains(words));
    assert!(has_output("/status", "\"received\":64"), "{:#?}", seen.output);
    let reasons =
        ["bad_mac", "delay_too_long", "next_hop_refused", "replay", "size_refused", "size_unknown_to_next_hop"];
    for reason in reasons {
        assert!(has_output("/status", &format!("\"{reason}\":8")), "{reason}");
    }
    assert!(has_output("/status", "\"final\":64"));
    assert!(
        has_output("/status", "\"pool\":64") && has_output("/readyz", "ready") && has_output("exact counts", "pool: ")
    );
    assert!(has_output("directory post", "received: 64") && has_output("log", "registered with the directory"));
    assert!(has_output("/metrics", "mix_packets_total{stage=\"received\"} 64"));
    assert!(has_output("/metrics, OpenMetrics", "# EOF"));
    assert!(has_output("traces", "mix.window") && has_output("traces", "mix.dropped.bad_mac"));
    assert!(has_output("traces", "directory.register") && has_output("metrics", "mix.pool.size"));
}

/// When a link may be read again shows on the wire: its sender's packets wait meanwhile.
#[test]
fn links_are_read_at_times_that_are_independent_of_the_matching() {
    let first = World::crowded(SEED);
    let (seen, difference) = play(&first, CROWDED_WORLDS, Leak::None);
    assert_eq!(difference.bytes, 0, "bytes differ in {CROWDED_WORLDS} crowded worlds: {:#?}", difference.first);

    // Links had to wait, for as long as packets stayed in the node.
    let late = seen.output.iter().filter(|output| output.by == "reads" && output.at_ms > 5_000).count();
    assert!(late > 20, "{late} late reads: {:#?}", seen.output);
    assert_eq!(seen.wire.len(), first.leaving(), "nothing was lost");
}

#[test]
fn the_test_detects_per_packet_spans_and_delay_histograms() {
    for leak in [Leak::PerPacket, Leak::DelayHistogram] {
        let (_, difference) = play(&World::random(SEED, PACKETS), 3, leak);
        assert!(difference.bytes > 0, "{leak:?} is not detected");
    }
}
