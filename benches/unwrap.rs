//! The unwrap engine against the sphinx-packet crate's `process()`, on the same packets, on one core.
//!
//! Both alternate on small batches, so that changes of the CPU frequency affect both alike. The result is the median of
//! the ratios. Run with `cargo bench --bench unwrap`.

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
use std::time::{Duration, Instant};

use nym_mixnode_mix::{ReplayFilter, ReplayWindow};
use nym_mixnode_sphinx::{Engine, Outcome, PacketSize, Stage, UnwrapError};
use rand::RngExt;
use sphinx_packet::crypto::PrivateKey;
use sphinx_packet::{ProcessedPacketData, SphinxPacket};

use support::{TestNode, build_packet, cpu_name, median, pin_to_core};

const BATCH: usize = 32;
const ROUNDS: usize = 150;

fn main() {
    pin_to_core(0..1);
    println!("CPU: {}", cpu_name());
    let node = TestNode::random();
    let packets: Vec<Vec<u8>> = (0..BATCH).map(|_| build_packet(&node, PacketSize::Regular)).collect();
    compare(&node, &packets);
    shares(&node, &packets);
    replay_filter();
}

fn compare(node: &TestNode, packets: &[Vec<u8>]) {
    let mut engine = Engine::new(node.private);
    let oracle = PrivateKey::from(node.private);
    let (mut ours, mut theirs, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let our_time = time_engine(&mut engine, packets);
        let their_time = time_process(&oracle, packets);
        ours.push(micros_each(our_time));
        theirs.push(micros_each(their_time));
        ratios.push(their_time.as_secs_f64() / our_time.as_secs_f64());
    }
    let (ours, theirs) = (median(&mut ours), median(&mut theirs));
    println!("regular packets, batches of {BATCH}, {ROUNDS} rounds in turn, one core:");
    println!("  engine                     {ours:7.2} µs per packet  {:8.0} packets/s", 1e6 / ours);
    println!("  sphinx-packet 0.8 process  {theirs:7.2} µs per packet  {:8.0} packets/s", 1e6 / theirs);
    println!("  ratio (median of rounds)   {:7.2} ×", median(&mut ratios));
}

fn time_engine(engine: &mut Engine, packets: &[Vec<u8>]) -> Duration {
    let mut batch = packets.to_vec();
    let mut outcomes = Vec::with_capacity(BATCH);
    let start = Instant::now();
    engine.unwrap_batch(&mut batch, &mut outcomes, |_| Ok::<_, UnwrapError>(()));
    let elapsed = start.elapsed();
    assert!(outcomes.iter().all(|outcome| matches!(outcome, Outcome::Forward { .. })));
    black_box(batch);
    elapsed
}

fn time_process(key: &PrivateKey, packets: &[Vec<u8>]) -> Duration {
    let parsed: Vec<_> = packets.iter().map(|packet| SphinxPacket::from_bytes(packet).expect("a packet")).collect();
    let start = Instant::now();
    for packet in parsed {
        let processed = packet.process(key).expect("a packet for this key");
        assert!(matches!(black_box(processed).data, ProcessedPacketData::ForwardHop { .. }));
    }
    start.elapsed()
}

/// The share of each stage in the time of a batch: medians of rounds.
fn shares(node: &TestNode, packets: &[Vec<u8>]) {
    const STAGES: [Stage; 7] = [
        Stage::SharedSecrets,
        Stage::KeySchedule,
        Stage::Mac,
        Stage::Header,
        Stage::Admission,
        Stage::Blinding,
        Stage::Payload,
    ];
    let mut engine = Engine::new(node.private);
    let mut samples = STAGES.map(|_| Vec::with_capacity(ROUNDS));
    for _ in 0..ROUNDS {
        let (mut batch, mut outcomes) = (packets.to_vec(), Vec::with_capacity(BATCH));
        let mut before = Instant::now();
        engine.unwrap_observed(
            &mut batch,
            &mut outcomes,
            |_| Ok::<_, UnwrapError>(()),
            |stage| {
                let now = Instant::now();
                samples[stage as usize].push(micros_each(now - before));
                before = now;
            },
        );
    }
    let medians = samples.each_mut().map(|samples| median(samples));
    let sum: f64 = medians.iter().sum();
    println!("where the time goes, in batches of {BATCH}:");
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
        for key in piece {
            black_box(filter.insert(key));
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

fn micros_each(batch: Duration) -> f64 {
    batch.as_secs_f64() * 1e6 / BATCH as f64
}
