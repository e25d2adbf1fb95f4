//! Cost of telemetry and of faulty collectors: the same load through nodes that export nothing, that export everything,
//! and whose collector is faulty in several ways, in turns.
//!
//! Windows end twice a second, and everything is exported as often: 120 times as often as by default, to make the small
//! cost of an export measurable. The collector counts requests, to verify that the node exports.

use std::fmt;
use std::path::Path;
use std::process::{Command, Stdio};

use nym_mixnode_testing::collector::{Collector, Manner};
use tokio::runtime::Runtime;

use crate::load::{self, Load};
use crate::node;
use crate::sink::Arrivals;
use crate::support::usage::Usage;
use crate::support::{TestNode, cpu_name, leave_the_first_core_alone, median};
use crate::{finish, spawn};

/// Some seconds for the fastest engine: the node exports several times meanwhile.
const PACKETS: usize = 300_000;
const NEXT_HOPS: usize = 10;
const ROUNDS: usize = 5;
/// Minimum number of exports per signal to a working collector during the load.
const EXPORTS_MIN: usize = 3;

/// Export interval, equal to the length of a window.
const TWICE_A_SECOND: [(&str, &str); 4] = [
    (node::WINDOW_MS, "500"),
    ("OTEL_BSP_SCHEDULE_DELAY", "500"),
    ("OTEL_METRIC_EXPORT_INTERVAL", "500"),
    ("OTEL_EXPORTER_OTLP_TIMEOUT", "2000"),
];

/// Where a node exports to.
enum Target {
    Nowhere,
    /// No process listens there.
    Absent,
    Http(Manner),
    Grpc(Manner),
}

const TARGETS: [Target; 14] = [
    Target::Nowhere,
    Target::Http(Manner::Works),
    Target::Grpc(Manner::Works),
    Target::Absent,
    Target::Http(Manner::BlackHole),
    Target::Http(Manner::Unavailable),
    Target::Http(Manner::Slow),
    Target::Http(Manner::Garbage),
    Target::Http(Manner::Huge),
    Target::Grpc(Manner::BlackHole),
    Target::Grpc(Manner::Unavailable),
    Target::Grpc(Manner::Slow),
    Target::Grpc(Manner::Garbage),
    Target::Grpc(Manner::Huge),
];

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (protocol, manner) = match self {
            Self::Nowhere => return f.pad("exports nothing"),
            Self::Absent => return f.pad("HTTP, absent"),
            Self::Http(manner) => ("HTTP", manner),
            Self::Grpc(manner) => ("gRPC", manner),
        };
        f.pad(&format!("{protocol}, {manner:?}"))
    }
}

/// Measurements of one run.
struct Run {
    rate: f64,
    cpu_micros: f64,
    resident_mib: f64,
}

pub(crate) fn compare() {
    println!("CPU: {}; windows and exports of half a second", cpu_name());
    let dir = tempfile::tempdir().expect("a temporary directory");
    let key = TestNode::random();
    let ports = load::free_ports(NEXT_HOPS + 1);
    Load::build(&key, &ports[1..], PACKETS, 50.0).save(dir.path());
    let bench = Bench { dir: dir.path(), key: &key, port: ports[0], runtime: runtime() };
    let mut runs: [Vec<Run>; TARGETS.len()] = Default::default();
    for round in 0..ROUNDS {
        // The order alternates, in case the machine gets warmer or busier.
        for turn in 0..TARGETS.len() {
            let target = (round + turn) % TARGETS.len();
            runs[target].push(bench.run(&TARGETS[target]));
        }
    }
    print(&runs);
}

/// Runtime of the collectors, not on the node's core.
fn runtime() -> Runtime {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(1).enable_all().on_thread_start(leave_the_first_core_alone).build().expect("a runtime")
}

fn print(runs: &[Vec<Run>; TARGETS.len()]) {
    println!("medians of {ROUNDS} runs; after the slash the ratio to a node that exports nothing in the same round");
    for (target, these) in TARGETS.iter().zip(runs) {
        let of = |get: fn(&Run) -> f64| median(&mut these.iter().map(get).collect::<Vec<_>>());
        let pairs = |compare: fn(&Run, &Run) -> f64| {
            median(&mut runs[0].iter().zip(these).map(|(off, on)| compare(off, on)).collect::<Vec<_>>())
        };
        println!(
            "{target:18} {:6.0} packets/s / {:.3}  {:6.2} µs CPU per packet / {:.3}  {:5.1} MiB at the most / {:+.1}",
            of(|run| run.rate),
            pairs(|off, on| on.rate / off.rate),
            of(|run| run.cpu_micros),
            pairs(|off, on| on.cpu_micros / off.cpu_micros),
            of(|run| run.resident_mib),
            pairs(|off, on| on.resident_mib - off.resident_mib),
        );
    }
}

struct Bench<'a> {
    dir: &'a Path,
    key: &'a TestNode,
    port: u16,
    runtime: Runtime,
}

impl Bench<'_> {
    fn run(&self, target: &Target) -> Run {
        let dir = self.dir.to_str().expect("UTF-8");
        let mut collector = self.collector(target);
        let sink = spawn(&["sink", dir]);
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.args([
            "node",
            &bs58::encode(self.key.private).into_string(),
            &self.port.to_string(),
            "auto",
            "1",
            node::DEFAULT_INTERVAL,
        ]);
        command.envs(TWICE_A_SECOND).envs(variables(target, collector.as_ref()));
        let mut node = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("a node");
        node::wait_until_listening(self.port);
        let before = Usage::of(node.id());
        finish(spawn(&["generator", dir, &format!("127.0.0.1:{}", self.port), "0", "8"]));
        finish(sink);
        let usage = Usage::of(node.id()).since(&before);
        if let Some(collector) = &mut collector {
            assert_asked(target, collector);
        }
        drop(node.stdin.take());
        assert!(node.wait().expect("the node ends").success(), "the node failed");
        let arrivals = Arrivals::read(self.dir);
        assert_eq!(arrivals.count(), PACKETS, "{target}: packets are lost");
        Run {
            rate: arrivals.steady_rate(),
            cpu_micros: usage.cpu_micros / arrivals.count() as f64,
            resident_mib: usage.resident_peak_mib,
        }
    }

    fn collector(&self, target: &Target) -> Option<Collector> {
        match target {
            Target::Nowhere | Target::Absent => None,
            Target::Http(manner) => Some(self.runtime.block_on(Collector::start(*manner))),
            Target::Grpc(manner) => Some(self.runtime.block_on(Collector::start_grpc(*manner))),
        }
    }
}

fn variables(target: &Target, collector: Option<&Collector>) -> Vec<(&'static str, String)> {
    let endpoint = match target {
        Target::Nowhere => return Vec::new(),
        _ => collector.map_or_else(|| "http://127.0.0.1:9".to_owned(), Collector::endpoint),
    };
    let protocol = if matches!(target, Target::Grpc(_)) { "grpc" } else { "http/protobuf" };
    vec![("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint), ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol.to_owned())]
}

/// Asserts that a working collector has received windows, and every other reading one has received requests.
fn assert_asked(target: &Target, collector: &mut Collector) {
    let (mut windows, mut metrics, mut all) = (0, 0, 0);
    while let Ok(request) = collector.requests.try_recv() {
        let head = request.head.to_lowercase();
        // Only the head of gRPC requests is kept.
        let has_window = request.body.is_empty() || request.body.windows(10).any(|part| part == b"mix.window");
        windows += usize::from(head.contains("trace") && has_window);
        metrics += usize::from(head.contains("metrics"));
        all += 1;
    }
    let enough = match target {
        Target::Nowhere | Target::Absent | Target::Http(Manner::BlackHole) | Target::Grpc(Manner::BlackHole) => true,
        Target::Http(Manner::Works) | Target::Grpc(Manner::Works) => windows.min(metrics) >= EXPORTS_MIN,
        Target::Http(_) | Target::Grpc(_) => all > 0,
    };
    assert!(enough, "{target}: {windows} exports of windows and {metrics} of metrics, {all} requests in all");
}
