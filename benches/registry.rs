//! A registry of 10 000 nodes under load. The registry is a process on its own core, the load comes from the others.
//!
//! `cargo bench --bench registry` takes about five minutes and uses only loopback. An optional argument after `--` is the
//! path of another program. Latencies count from the time at which a request was due, so a registry that falls behind
//! cannot hide it.

#![allow(
    clippy::print_stdout,
    clippy::expect_used,
    clippy::panic,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a benchmark prints figures, and stops at the first thing that goes wrong"
)]

#[path = "registry/api.rs"]
mod api;
#[path = "registry/network.rs"]
mod network;
#[path = "registry/server.rs"]
mod server;
#[path = "registry/stand_in.rs"]
mod stand_in;
mod support;

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};
use std::{env, iter};

use tokio::time::sleep;

use api::{Api, at_rate};
use network::SimulatedNetwork;
use server::Server;
use support::{cpu_name, median, pin_to_core, quantile};

const NODES: usize = 10_000;
/// The last nodes register at the rate that is measured; the others before, as fast as possible.
const MEASURED_NODES: usize = 500;
const REGISTRATIONS_PER_SECOND: f64 = 20.0;
const BATCHES: usize = 10;
/// Interval of the measured rounds. A shorter one than usual costs more, not less.
const ROUND: Duration = Duration::from_mins(1);
const ROUNDS: u32 = 2;
/// Interval that the target for the monitor refers to.
const TARGET_ROUND_S: f64 = 300.0;
const MIB: f64 = 1024.0 * 1024.0;
const REGISTRY_CORE: usize = 0;

fn main() {
    let args: Vec<String> = env::args().collect();
    match args.get(1).map(String::as_str) {
        Some("serve") => server::serve(&args[2..]),
        Some("nodes") => stand_in::main(&args[2..]),
        _ => measure(),
    }
}

fn measure() {
    println!("CPU: {}; registry on core {REGISTRY_CORE}, load on the others; {NODES} nodes", cpu_name());
    leave_the_registry_alone();
    let home = tempfile::tempdir().expect("a directory");
    println!("one write of 4 KiB and fdatasync on this disk: median {:.2} ms", sync_ms(home.path()));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let network = SimulatedNetwork::new(NODES);
    runtime.block_on(measure_api(home.path(), &network));
    runtime.block_on(measure_monitor(home.path(), &network));
}

async fn measure_api(home: &Path, network: &SimulatedNetwork) {
    let server = Server::start(home, &[]);
    let api = Api::new(&server.url, home).await;
    let start = Instant::now();
    api.register_all(network, 0..NODES - MEASURED_NODES).await;
    println!("{} nodes registered in {:.1} s", NODES - MEASURED_NODES, start.elapsed().as_secs_f64());
    let count = MEASURED_NODES;
    let new = at_rate(REGISTRATIONS_PER_SECOND, count, |at| api.register(network, NODES - count + at, 1)).await;
    latency("register a new node, 20/s", new, 10.0);
    let known = at_rate(REGISTRATIONS_PER_SECOND, count, |at| api.register(network, at * (NODES / count), 2)).await;
    latency("register a known node, 20/s", known, 10.0);

    api.measurements(network).await;
    let mut batches = Vec::new();
    for _ in 0..BATCHES {
        let start = Instant::now();
        api.measurements(network).await;
        batches.push(start.elapsed().as_secs_f64() * 1e3);
    }
    latency("batch of measurements, 10 000 nodes over both IP versions", batches, 10_000.0);

    let (tag, bytes) = api.topology().await;
    println!("the topology has {:.1} MiB; {:.0} MiB resident", bytes as f64 / MIB, server.resident_mib());
    latency("topology, unchanged (304), 1 000/s", at_rate(1000.0, 20_000, |_| api.unchanged(&tag)).await, 5.0);
    latency("topology, whole body, 20/s", at_rate(20.0, 400, |_| api.whole_topology()).await, 50.0);
    latency("page of nodes, 20/s", at_rate(20.0, 400, |at| api.page(&format!("?page={}", 1 + at % 200))).await, 50.0);
    let node = |at: usize| api.page(&format!("nodes/{}", network.identity(at * 7 % NODES)));
    latency("page of one node, 20/s", at_rate(20.0, 400, node).await, 50.0);

    // What readers wait while the list changes once per second.
    let changes = at_rate(1.0, 20, |at| api.register(network, at, 3));
    let reads = at_rate(100.0, 2_000, |_| api.latest_topology(&tag));
    let (_, reads) = tokio::join!(changes, reads);
    latency("topology, 100/s, while a node registers every second", reads, 1000.0);
    bounded("resident memory at the most", server.peak_mib(), "MiB", 150.0);
    server.stop();
}

async fn measure_monitor(home: &Path, network: &SimulatedNetwork) {
    let nodes = stand_in::StandIn::start(network);
    let every = format!("{}s", ROUND.as_secs());
    let server = Server::start(home, &["--with-monitor", "--monitor-every", &every]);
    let api = Api::new(&server.url, home).await;
    // Until the first round has begun, the monitor reads the list and opens its connections.
    sleep(Duration::from_secs(10)).await;
    let (cpu, reputation) = (server.cpu_seconds(), api.reputation().await);
    sleep(ROUND * ROUNDS).await;
    let (cpu, gained) = (server.cpu_seconds() - cpu, api.reputation().await - reputation);
    // Each passed test earns 3 points.
    let passed = gained / 3.0 / (NODES as f64 * f64::from(ROUNDS));
    println!("monitor: {:.1} % of the tests passed, {ROUNDS} rounds of {every} over IPv4", 100.0 * passed);
    assert!(passed > 0.9, "the monitor does not reach the nodes");
    let both_versions = 2.0 * cpu / f64::from(ROUNDS);
    bounded("monitor, rounds of 5 min over both IP versions", 100.0 * both_versions / TARGET_ROUND_S, "% CPU", 30.0);
    bounded("resident memory with the monitor at the most", server.peak_mib(), "MiB", 150.0);
    server.stop();
    nodes.stop();
}

/// Prints percentiles in milliseconds, and the 99th as a ratio to its target.
fn latency(what: &str, mut samples: Vec<f64>, target: f64) {
    let (p50, p99, max) = (median(&mut samples), quantile(&mut samples, 0.99), quantile(&mut samples, 1.0));
    println!("{what:<58} p50 {p50:7.2} ms  p99 {p99:7.2} ms  max {max:7.2} ms  {:.2} of {target} ms", p99 / target);
}

fn bounded(what: &str, value: f64, unit: &str, target: f64) {
    println!("{what:<58} {value:7.1} {unit}  {:.2} of {target} {unit}", value / target);
}

/// Median time of a small durable write: a registration needs at least one.
fn sync_ms(folder: &Path) -> f64 {
    let mut file = File::create(folder.join("probe")).expect("a file");
    let mut sync = || {
        let start = Instant::now();
        file.write_all(&[7; 4096]).and_then(|()| file.sync_data()).expect("a durable write");
        start.elapsed().as_secs_f64() * 1e3
    };
    let mut samples: Vec<f64> = iter::repeat_with(&mut sync).take(100).collect();
    median(&mut samples)
}

/// Pins the load to the other cores.
fn leave_the_registry_alone() {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    if cores > 1 {
        pin_to_core(1..cores);
    }
}
