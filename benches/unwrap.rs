//! The unwrap engines against the sphinx-packet crate's `process()`, on the same packets, on one core.
//!
//! All alternate on small batches, so that changes of the CPU frequency affect them alike. The results are the medians
//! of the ratios. Run with `cargo bench --bench unwrap`; with `-- check` it fails below the bars.

#![allow(
    clippy::print_stdout,
    clippy::expect_used,
    clippy::panic,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a benchmark prints figures, and stops at the first thing that goes wrong"
)]

mod support;

use std::hint::black_box;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use nym_mixnode_mix::{ReplayFilter, ReplayWindow};
use nym_mixnode_sphinx::{Engine, EngineChoice, EngineKind, Outcome, PacketSize, Stage, UnwrapError};
use rand::RngExt;
use rustix::time::{ClockId, clock_gettime};
use sphinx_packet::crypto::PrivateKey;
use sphinx_packet::{ProcessedPacketData, SphinxPacket};

use support::{TestNode, build_packet, cpu_name, median, pin_to_core};

/// Packets of a batch under load.
const BATCH: usize = 32;
const BATCHES: [usize; 7] = [1, 2, 4, 8, 16, BATCH, 64];
/// Packets that each engine unwraps for each size of batch.
const PACKETS: usize = 4000;

/// Least ratios to `process()` in batches of [`BATCH`].
const BARS: [(EngineChoice, f64); 3] =
    [(EngineChoice::Avx512, 11.0), (EngineChoice::Avx2, 4.5), (EngineChoice::Portable, 1.9)];
/// What batches of eight must reach of that.
const SMALL_BATCH_BAR: f64 = 0.85;

fn main() -> ExitCode {
    pin_to_core(0..1);
    println!("CPU: {}", cpu_name());
    let node = TestNode::random();
    let packets: Vec<Vec<u8>> = (0..64).map(|_| build_packet(&node, PacketSize::Regular)).collect();
    let mut engines = Vec::new();
    for (choice, bar) in BARS {
        match choice.resolve() {
            Ok(kind) => engines.push(Measured { kind, bar, ratios: Vec::new() }),
            Err(error) => println!("not measured: {error}"),
        }
    }
    compare(&node, &packets, &mut engines);
    if std::env::args().any(|argument| argument == "check") {
        return check(&engines);
    }
    for engine in &engines {
        shares(&node, &packets[..BATCH], engine.kind);
    }
    replay_filter();
    ExitCode::SUCCESS
}

/// An engine and its ratios to `process()`, in the order of [`BATCHES`].
struct Measured {
    kind: EngineKind,
    bar: f64,
    ratios: Vec<f64>,
}

impl Measured {
    fn ratio(&self, batch: usize) -> f64 {
        BATCHES.iter().zip(&self.ratios).find(|(size, _)| **size == batch).map_or(0.0, |(_, ratio)| *ratio)
    }
}

fn compare(node: &TestNode, packets: &[Vec<u8>], engines: &mut [Measured]) {
    println!(
        "regular packets, one core, µs of CPU time per packet and ratio to `process()` of sphinx-packet 0.8 (medians):"
    );
    print!("{:>8} {:>10}", "batch", "process()");
    for engine in &*engines {
        print!(" {:>10} {:>8}", engine.kind.name(), "ratio");
    }
    println!();
    for batch in BATCHES {
        // At least a full batch for each reading of the clock: it costs every size of batch the same then, and so does
        // what caches have lost to other programs.
        let (theirs, ours) = compare_batch(node, &packets[..batch.max(BATCH)], batch, engines);
        print!("{batch:>8} {theirs:10.2}");
        for (engine, (micros, ratio)) in engines.iter_mut().zip(ours) {
            print!(" {micros:10.2} {ratio:6.2} ×");
            engine.ratios.push(ratio);
        }
        println!();
    }
}

/// µs per packet of `process()`, and of each engine with the ratio.
fn compare_batch(node: &TestNode, packets: &[Vec<u8>], batch: usize, engines: &[Measured]) -> (f64, Vec<(f64, f64)>) {
    let oracle = PrivateKey::from(node.private);
    let mut running: Vec<_> = engines.iter().map(|engine| engine_of(node, engine.kind)).collect();
    let mut theirs = Vec::new();
    let mut ours = vec![(Vec::new(), Vec::new()); engines.len()];
    for _ in 0..PACKETS / packets.len() {
        let their_time = time_process(&oracle, packets);
        theirs.push(micros_each(their_time, packets.len()));
        for (engine, (micros, ratios)) in running.iter_mut().zip(&mut ours) {
            let our_time = time_engine(engine, packets, batch);
            micros.push(micros_each(our_time, packets.len()));
            ratios.push(their_time.as_secs_f64() / our_time.as_secs_f64());
        }
    }
    (median(&mut theirs), ours.iter_mut().map(|(micros, ratios)| (median(micros), median(ratios))).collect())
}

/// Compares the ratios with the bars.
fn check(engines: &[Measured]) -> ExitCode {
    let mut failed = false;
    let mut require = |what: String, found: f64, bar: f64| {
        // As it is printed.
        let found = (100.0 * found).round() / 100.0;
        let verdict = if found >= bar { "ok" } else { "FAILED" };
        println!("{verdict}: {what}: {found:.2}, at least {bar:.2}");
        failed |= found < bar;
    };
    for engine in engines {
        let full = engine.ratio(BATCH);
        require(format!("{}, ratio to `process()` in batches of {BATCH}", engine.kind), full, engine.bar);
        let small = engine.ratio(8) / full;
        require(format!("{}, speed in batches of 8 relative to {BATCH}", engine.kind), small, SMALL_BATCH_BAR);
    }
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn engine_of(node: &TestNode, kind: EngineKind) -> Engine {
    Engine::of_kind(kind, Box::new(node.private))
}

fn time_engine(engine: &mut Engine, packets: &[Vec<u8>], batch: usize) -> Duration {
    let mut packets = packets.to_vec();
    let mut outcomes = Vec::with_capacity(batch);
    let start = cpu_time();
    for packets in packets.chunks_mut(batch) {
        engine.unwrap_batch(packets, &mut outcomes, |_| Ok::<_, UnwrapError>(()));
        assert!(outcomes.iter().all(|outcome| matches!(outcome, Outcome::Forward { .. })));
    }
    let elapsed = cpu_time() - start;
    black_box(packets);
    elapsed
}

fn time_process(key: &PrivateKey, packets: &[Vec<u8>]) -> Duration {
    let parsed: Vec<_> = packets.iter().map(|packet| SphinxPacket::from_bytes(packet).expect("a packet")).collect();
    let start = cpu_time();
    for packet in parsed {
        let processed = packet.process(key).expect("a packet for this key");
        assert!(matches!(black_box(processed).data, ProcessedPacketData::ForwardHop { .. }));
    }
    cpu_time() - start
}

/// CPU time of this thread: other processes on the core do not count.
fn cpu_time() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or_default())
}

/// The share of each stage in the time of a batch: medians of rounds.
fn shares(node: &TestNode, packets: &[Vec<u8>], kind: EngineKind) {
    const STAGES: [Stage; 7] = [
        Stage::SharedSecrets,
        Stage::KeySchedule,
        Stage::Mac,
        Stage::Header,
        Stage::Admission,
        Stage::Blinding,
        Stage::Payload,
    ];
    let mut engine = engine_of(node, kind);
    let mut samples = STAGES.map(|_| Vec::new());
    for _ in 0..PACKETS / packets.len() {
        let (mut batch, mut outcomes) = (packets.to_vec(), Vec::with_capacity(packets.len()));
        let mut before = Instant::now();
        engine.unwrap_observed(
            &mut batch,
            &mut outcomes,
            |_| Ok::<_, UnwrapError>(()),
            |stage| {
                let now = Instant::now();
                samples[stage as usize].push(micros_each(now - before, packets.len()));
                before = now;
            },
        );
    }
    let medians = samples.each_mut().map(|samples| median(samples));
    let sum: f64 = medians.iter().sum();
    println!("where the time of the engine {kind} goes, in batches of {}:", packets.len());
    for (stage, micros) in STAGES.iter().zip(medians) {
        println!("  {:<26} {micros:7.2} µs  {:5.1} %", format!("{stage:?}"), 100.0 * micros / sum);
    }
}

/// Measures the replay filter of the default window, from empty to full, with uncached keys.
fn replay_filter() {
    const KEYS: usize = 2_000_000;
    const PIECE: usize = 20_000;
    let window = ReplayWindow { length: Duration::from_secs(600), expected_rate: 9000 };
    let filter = ReplayFilter::new(window).expect("memory");
    let keys: Vec<[u8; 32]> = (0..KEYS).map(|_| rand::rng().random()).collect();
    let time = |piece: &[[u8; 32]]| {
        let start = Instant::now();
        // As an engine does: a batch at a time.
        for batch in piece.chunks(BATCH) {
            filter.foresee(batch);
            for key in batch {
                black_box(filter.insert(key));
            }
        }
        start.elapsed().as_secs_f64() * 1e9 / piece.len() as f64
    };
    let mut new: Vec<f64> = keys.chunks(PIECE).map(time).collect();
    let mut copies: Vec<f64> = keys.chunks(PIECE).map(time).collect();
    println!(
        "replay filter, {} MiB: {:.0} ns per new packet, {:.0} ns per copy (medians)",
        window.memory_bytes() >> 20,
        median(&mut new),
        median(&mut copies)
    );
}

fn micros_each(batch: Duration, packets: usize) -> f64 {
    batch.as_secs_f64() * 1e6 / packets as f64
}
