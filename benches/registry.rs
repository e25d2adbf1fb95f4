//! A registry of 10 000 nodes under load. The registry is a process on its own core, the load comes from the others.
//!
//! `cargo bench --bench registry` takes about three minutes and uses only loopback. An optional argument after `--` is the
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

mod registry {
    pub(crate) mod api;
    pub(crate) mod network;
    pub(crate) mod server;
    pub(crate) mod stand_in;
}
mod support;

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};
use std::{env, iter};

use nym_mixnode_api::Topology;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::time::sleep;

use registry::api::{Api, at_rate};
use registry::network::SimulatedNetwork;
use registry::server::Server;
use registry::{network, server, stand_in};
use support::{cpu_name, leave_the_first_core_alone, median, quantile};

const NODES: usize = 10_000;
/// The last nodes register at the rate that is measured; the others before, as fast as possible.
const MEASURED_NODES: usize = 200;
const REGISTRATIONS_PER_SECOND: f64 = 20.0;
const BATCHES: usize = 5;
/// Interval of the measured round, shorter than the one of the target. The packets of a round and its results cost the same
/// CPU time in both; what the monitor uses between packets is measured by itself.
const ROUND: Duration = Duration::from_mins(1);
/// How long a monitor without nodes is measured.
const IDLE: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(500);
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
    leave_the_first_core_alone();
    // A connection for each node.
    let files = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: files.maximum, ..files }).expect("up to the hard limit");
    let home = tempfile::tempdir().expect("a directory");
    println!("one write of 4 KiB and fdatasync on this disk: median {:.2} ms", sync_ms(home.path()));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let network = SimulatedNetwork::new(NODES);
    runtime.block_on(measure_api(home.path(), &network));
    runtime.block_on(measure_monitor(home.path(), &network));
    runtime.block_on(measure_batches(home.path(), &network));
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

    let (tag, bytes) = api.topology().await;
    println!("the topology has {:.1} MiB; {:.0} MiB resident", bytes as f64 / MIB, server.usage().resident_mib);
    latency("topology, unchanged (304), 1 000/s", at_rate(1000.0, 10_000, |_| api.unchanged(&tag)).await, 5.0);
    latency("topology, whole body, 20/s", at_rate(20.0, 200, |_| api.whole_topology()).await, 50.0);
    latency("page of nodes, 20/s", at_rate(20.0, 200, |at| api.page(&format!("?page={}", 1 + at % 200))).await, 50.0);
    let node = |at: usize| api.page(&format!("nodes/{}", network.identity(at * 7 % NODES)));
    latency("page of one node, 20/s", at_rate(20.0, 200, node).await, 50.0);

    // What readers wait while the list changes once per second.
    let changes = at_rate(1.0, 10, |at| api.register(network, at, 3));
    let reads = at_rate(100.0, 1_000, |_| api.latest_topology(&tag));
    let (_, reads) = tokio::join!(changes, reads);
    latency("topology, 100/s, while a node registers every second", reads, 1000.0);
    bounded("resident memory at the most", server.usage().resident_peak_mib, "MiB", 150.0);
    server.stop();
}

/// Measures the first round, from the start of the process until its results are listed: it reads the list, opens a
/// connection for each packet, and accepts one from each node, as if those of the round before were closed.
async fn measure_monitor(home: &Path, network: &SimulatedNetwork) {
    let idle = idle_share().await;
    let nodes = stand_in::StandIn::start(network);
    let server = Server::start(home, &["--with-monitor", "--monitor-every", &format!("{}s", ROUND.as_secs())]);
    let api = Api::new(&server.url, home).await;
    let before = api.listed().await;
    // The node that stands in for all returns all packets over one connection.
    let _connections = network.connect(&before).await;
    let (tag, _) = api.topology().await;
    let start = Instant::now();
    while start.elapsed() < 2 * ROUND && api.is_unchanged(&tag).await {
        sleep(POLL).await;
    }
    let usage = server.usage();
    let gained = reputation(&api.listed().await) - reputation(&before);
    // Each passed test earns 3 points.
    let passed = gained / 3.0 / NODES as f64;
    println!("monitor: {:.1} % of the tests passed, a round of {} s over IPv4", 100.0 * passed, ROUND.as_secs());
    assert!(passed > 0.99, "the monitor does not reach the nodes");
    let share = 2.0 * usage.cpu_micros / 1e6 / TARGET_ROUND_S + idle;
    bounded("monitor, rounds of 5 min over both IP versions", 100.0 * share, "% CPU", 30.0);
    bounded("resident memory with the monitor at the most", usage.resident_peak_mib, "MiB", 150.0);
    server.stop();
    nodes.stop();
}

/// After the monitor, whose results would not count alone within minutes of reports by another.
async fn measure_batches(home: &Path, network: &SimulatedNetwork) {
    let server = Server::start(home, &[]);
    let api = Api::new(&server.url, home).await;
    api.measurements(network).await;
    let mut batches = Vec::new();
    for _ in 0..BATCHES {
        let start = Instant::now();
        api.measurements(network).await;
        batches.push(start.elapsed().as_secs_f64() * 1e3);
    }
    latency("batch of measurements, 10 000 nodes over both IP versions", batches, 10_000.0);
    server.stop();
}

/// Share of a core that a monitor without nodes uses.
async fn idle_share() -> f64 {
    let home = tempfile::tempdir().expect("a directory");
    let server = Server::start(home.path(), &["--with-monitor"]);
    sleep(IDLE / 5).await;
    let before = server.usage();
    sleep(IDLE).await;
    let usage = server.usage().since(&before);
    server.stop();
    usage.cpu_micros / 1e6 / IDLE.as_secs_f64()
}

/// Sum of the reputation of all nodes.
fn reputation(topology: &Topology) -> f64 {
    topology.mix_nodes.iter().map(|mix| mix.reputation as f64).sum()
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
