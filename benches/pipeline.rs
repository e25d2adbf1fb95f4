//! A node under load: generator → node → sink over loopback, in separate processes, with the node on its own core.
//!
//! The results are ratios within one run: throughput relative to the unwrap engine alone on the same core in the same
//! minute, and to a node with the portable engine. `cargo bench --bench pipeline` takes about one minute and uses only
//! loopback.
//! `cargo bench --bench pipeline -- wide` has 512 incoming connections and 512 next hops instead of 8 and 10.
//! `cargo bench --bench pipeline -- cores` compares two workers on two cores with one worker, in half a minute.
//! `cargo bench --bench pipeline -- low` measures a node with little to do, in two minutes.
//! `cargo bench --bench pipeline -- plots FILE` draws throughput, lag and CPU time over the offered load, in three minutes.
//! `cargo bench --bench pipeline -- profile FILE` records where a node under full load spends its time; `make profile`
//! draws it.
//! `cargo bench --bench pipeline -- calls` counts the node's system calls for each packet, with perf, as root.
//! `cargo bench --bench pipeline -- telemetry` takes ten minutes. It compares nodes that export to working and faulty
//! collectors with one that exports nothing.

#![allow(
    clippy::print_stdout,
    clippy::expect_used,
    clippy::panic,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a benchmark prints figures, and stops at the first thing that goes wrong"
)]

mod pipeline {
    pub(crate) mod calls;
    pub(crate) mod cores;
    pub(crate) mod generator;
    pub(crate) mod load;
    pub(crate) mod low;
    pub(crate) mod node;
    pub(crate) mod plots;
    pub(crate) mod sink;
    pub(crate) mod telemetry;
}
mod support;

use std::env;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nym_mixnode_sphinx::EngineKind;
use pipeline::load::Load;
use pipeline::plots::{Point, Series};
use pipeline::sink::Arrivals;
use pipeline::{calls, cores, generator, load, low, node, plots, sink, telemetry};
use support::usage::Usage;
use support::{TestNode, cpu_name, median, quantile};
use tempfile::TempDir;

const PACKETS: usize = 60_000;
const MEAN_DELAY_MS: f64 = 50.0;
const NODE_CORE: usize = 0;

/// Connections and next hops of the node.
struct Shape {
    connections: usize,
    next_hops: usize,
}

const NARROW: Shape = Shape { connections: 8, next_hops: 10 };
/// As many connections as it takes to offer more than the node can bear.
const FEW_HOPS: Shape = Shape { connections: 64, next_hops: 10 };
const WIDE: Shape = Shape { connections: 512, next_hops: 512 };

fn main() {
    let args: Vec<String> = env::args().collect();
    match args.get(1).map(String::as_str) {
        Some("generator") => generator::main(&args[2..]),
        Some("node") => node::main(&args[2..]),
        Some("sink") => sink::main(&args[2..]),
        Some("plots") => plot(args.get(2).expect("a file for the plots")),
        Some("profile") => profile(args.get(2).expect("a file for the recording")),
        _ if args.iter().any(|arg| arg == "cores") => cores::compare(),
        _ if args.iter().any(|arg| arg == "low") => low::measure(),
        _ if args.iter().any(|arg| arg == "calls") => count_calls(),
        _ if args.iter().any(|arg| arg == "telemetry") => telemetry::compare(),
        _ if args.iter().any(|arg| arg == "wide") => measure(&WIDE),
        _ => measure(&NARROW),
    }
}

/// Records the stacks of a node under full load.
fn profile(recording: &str) {
    let setting = Setting::new(&NARROW);
    let bench = Bench { recording: Some(recording), ..setting.bench() };
    bench.run("50 ms mean delay, as fast as TCP takes it", 0.0, NARROW.connections);
}

/// Counts the system calls of a node at full load, half load and a tenth of it.
fn count_calls() {
    for shape in [&NARROW, &WIDE] {
        println!("{} connections, {} next hops:", shape.connections, shape.next_hops);
        let setting = Setting::new(shape);
        let bench = Bench { counts_calls: true, ..setting.bench() };
        let capacity = bench.run("50 ms mean delay, as fast as TCP takes it", 0.0, shape.connections).rate;
        bench.run("50 ms mean delay, half load", capacity / 2.0, shape.connections);
        bench.run("50 ms mean delay, a tenth of the load", capacity / 10.0, shape.connections);
    }
}

/// Draws what becomes of offered loads from a tenth of the capacity to three times the capacity.
fn plot(file: &str) {
    let series = [("64 connections, 10 next hops", &FEW_HOPS), ("512 connections, 512 next hops", &WIDE)].map(
        |(name, shape)| {
            let setting = Setting::new(shape);
            let bench = setting.bench();
            println!("{name}:");
            let capacity = bench.run("50 ms mean delay, as fast as TCP takes it", 0.0, shape.connections).rate;
            let points = plots::LOADS.map(|share| {
                let offered = share * capacity;
                let name = format!("50 ms mean delay, {:.0} % of the capacity", 100.0 * share);
                let measured = bench.run(&name, offered, shape.connections);
                let lag_ms = measured.lag_ms.expect("offered at a rate");
                Point { offered, rate: measured.rate, cpu_micros: measured.cpu_micros, lag_ms }
            });
            Series { name, points: points.to_vec() }
        },
    );
    plots::draw(Path::new(file), &cpu_name(), &series);
    println!("drawn: {file}");
}

/// Packets with delays, in a directory for the other processes.
struct Setting {
    dir: TempDir,
    key: TestNode,
    node_port: u16,
    load: Load,
}

impl Setting {
    fn new(shape: &Shape) -> Self {
        Self::of_packets(shape, PACKETS)
    }

    fn of_packets(shape: &Shape, packets: usize) -> Self {
        let (dir, key) = (tempfile::tempdir().expect("a temporary directory"), TestNode::random());
        let ports = load::free_ports(shape.next_hops + 1);
        let load = Load::build(&key, &ports[1..], packets, MEAN_DELAY_MS);
        load.save(dir.path());
        Self { dir, key, node_port: ports[0], load }
    }

    fn bench(&self) -> Bench<'_> {
        let Self { dir, key, node_port, load } = self;
        let engine = EngineKind::fastest();
        let engine_micros = load.engine_micros_per_packet(engine, key, NODE_CORE);
        Bench::new(engine, dir.path(), key, *node_port, load, engine_micros)
    }
}

fn measure(shape: &Shape) {
    let Shape { connections, next_hops } = *shape;
    println!("CPU: {}; node on core {NODE_CORE}, generator and sink on the others", cpu_name());
    let dir = tempfile::tempdir().expect("a temporary directory");
    let key = TestNode::random();
    let ports = load::free_ports(next_hops + 1);
    let at_once = tempfile::tempdir().expect("a temporary directory");
    let undelayed = Load::build(&key, &ports[1..], PACKETS, 0.0);
    undelayed.save(at_once.path());
    let load = Load::build(&key, &ports[1..], PACKETS, MEAN_DELAY_MS);
    load.save(dir.path());
    println!(
        "{PACKETS} regular packets over {connections} connections to {next_hops} next hops, delays exponential with mean \
         {MEAN_DELAY_MS} ms"
    );

    let bench_of = |engine: EngineKind| {
        let engine_micros = load.engine_micros_per_packet(engine, &key, NODE_CORE);
        println!("unwrap engine {engine} alone, one core: {:.0} packets/s", 1e6 / engine_micros);
        Bench::new(engine, dir.path(), &key, ports[0], &load, engine_micros)
    };
    let portable =
        bench_of(EngineKind::PORTABLE).run("50 ms mean delay, as fast as TCP takes it", 0.0, connections).rate;
    let bench = bench_of(EngineKind::fastest());
    let without_delay = Bench { dir: at_once.path(), load: &undelayed, ..bench };
    let zero = without_delay.run("zero delay, as fast as TCP takes it", 0.0, connections).rate;
    let rate = bench.run("50 ms mean delay, as fast as TCP takes it", 0.0, connections).rate;
    println!("  {:.2} × the node with the portable engine", rate / portable);
    bench.run("50 ms mean delay, half load", zero / 2.0, connections);
    bench.run("50 ms mean delay, a tenth of the load", zero / 10.0, connections);
    let overload = bench.run("50 ms mean delay, three times the capacity", zero * 3.0, connections.max(64)).rate;
    println!("goodput at three times the capacity: {:.0} % of the peak", 100.0 * overload / zero);
}

struct Bench<'a> {
    engine: EngineKind,
    dir: &'a Path,
    key: &'a TestNode,
    node_port: u16,
    load: &'a Load,
    /// CPU time of the unwrap engine alone, for each packet of a full batch.
    engine_micros: f64,
    release_interval: &'a str,
    /// File for the stacks of the node.
    recording: Option<&'a str>,
    counts_calls: bool,
}

impl<'a> Bench<'a> {
    fn new(
        engine: EngineKind,
        dir: &'a Path,
        key: &'a TestNode,
        node_port: u16,
        load: &'a Load,
        engine_micros: f64,
    ) -> Self {
        let release_interval = node::DEFAULT_INTERVAL;
        Self {
            engine,
            dir,
            key,
            node_port,
            load,
            engine_micros,
            release_interval,
            recording: None,
            counts_calls: false,
        }
    }

    /// Offers so many packets per second, or as many as TCP takes for 0.
    fn run(&self, name: &str, rate: f64, connections: usize) -> Measured {
        let dir = self.dir.to_str().expect("UTF-8");
        let sink = spawn(&["sink", dir]);
        let (key, port) = (bs58::encode(self.key.private).into_string(), self.node_port.to_string());
        let mut node = spawn(&["node", &key, &port, self.engine.name(), "1", self.release_interval]);
        node::wait_until_listening(self.node_port);
        let recorder = self.recording.map(|file| record(&node, file));
        let counter = self.counts_calls.then(|| calls::count(&node));
        let before = Usage::of(node.id());
        let target = format!("127.0.0.1:{}", self.node_port);
        let start = Instant::now();
        let offered = finish(spawn(&["generator", dir, &target, &rate.to_string(), &connections.to_string()]));
        finish(sink);
        let arrivals = Arrivals::read(self.dir);
        let elapsed = start.elapsed();
        let usage = Usage::of(node.id());
        drop(node.stdin.take());
        let status = node.wait().expect("the node ends");
        assert!(status.success(), "the node failed: {status}");
        if let Some(recorder) = recorder {
            finish(recorder);
        }
        let measured = self.print(name, &arrivals, &usage.since(&before), offered.trim(), elapsed);
        if let Some(counter) = counter {
            calls::print(&finish(counter), arrivals.count());
        }
        measured
    }

    fn print(&self, name: &str, arrivals: &Arrivals, usage: &Usage, offered: &str, elapsed: Duration) -> Measured {
        let received = arrivals.count();
        let rate = arrivals.steady_rate();
        println!("{name}:");
        println!(
            "  {offered}; {received} came out, {} lost, {:.1} s",
            self.load.marks.len() - received,
            elapsed.as_secs_f64()
        );
        println!("  {rate:9.0} packets/s  {:5.1} % of the engine alone", 100.0 * rate * self.engine_micros / 1e6);
        let cpu_micros = usage.cpu_micros / received as f64;
        println!(
            "  {cpu_micros:9.2} µs CPU per packet, {:.2} beside full batches of the engine; {:.2} in the kernel",
            cpu_micros - self.engine_micros,
            usage.kernel_micros / received as f64,
        );
        println!("  {:9.1} MiB resident at the most (the packets in flight included)", usage.resident_peak_mib);
        let lag_ms = arrivals.lag_ms(self.dir, self.load).map(|mut all| {
            let mut lag = all.split_off(all.len() / 5);
            let (p50, p99) = (median(&mut lag), quantile(&mut lag, 0.99));
            println!(
                "  lag behind schedule, sending and receiving included: p50 {p50:.2} ms, p99 {p99:.2} ms, earliest {:.2} ms; \
                 p99 {:.2} ms in the first fifth, while the node dials",
                lag[0],
                quantile(&mut all, 0.99),
            );
            [p50, p99]
        });
        Measured { rate, cpu_micros, lag_ms }
    }
}

struct Measured {
    /// Packets per second at the sink.
    rate: f64,
    /// CPU time of the node per packet.
    cpu_micros: f64,
    /// Median and 99th percentile, if packets were offered at a rate.
    lag_ms: Option<[f64; 2]>,
}

/// Starts to record the stacks of a process, until it ends. The clock of the CPU works in virtual machines too.
fn record(process: &Child, file: &str) -> Child {
    let pid = process.id().to_string();
    let args =
        ["record", "--quiet", "-e", "cpu-clock", "-F", "1999", "--call-graph", "dwarf,16384", "-p", &pid, "-o", file];
    Command::new("perf").args(args).stdout(Stdio::piped()).spawn().expect("perf, of the package linux-perf")
}

fn spawn(args: &[&str]) -> Child {
    let program = env::current_exe().expect("this program");
    Command::new(program).args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("a child process")
}

fn finish(child: Child) -> String {
    let output = child.wait_with_output().expect("the child's output");
    assert!(output.status.success(), "a child failed: {}", output.status);
    String::from_utf8(output.stdout).expect("UTF-8")
}
