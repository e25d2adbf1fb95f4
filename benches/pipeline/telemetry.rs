//! What telemetry costs, and what a collector that does wrong costs: the same load through nodes that export nothing,
//! that export everything, and whose collector is of one of the bad kinds, in turns. All of them count.
//!
//! Windows end twice a second, and all is exported as often: a hundred and twenty times as often as by a node that is
//! told nothing else, so that what little an export costs is seen at all. A node that is meant to export is held to it:
//! the collector counts.

use std::fmt;
use std::path::Path;
use std::process::{Command, Stdio};

use tokio::runtime::Runtime;

use crate::collector::{Collector, Manner};
use crate::load::{self, Load, SINK_PORTS};
use crate::node::{self, NodeUsage};
use crate::sink::Arrivals;
use crate::support::{TestNode, cpu_name, median};
use crate::{finish, leave_the_node_alone, spawn};

const PACKETS: usize = 100_000;
const ROUNDS: usize = 5;
/// Of each signal that must have reached a working collector while packets passed.
const EXPORTS_MIN: usize = 3;

/// For the exporters: as often as windows end.
const TWICE_A_SECOND: [(&str, &str); 4] = [
    (node::WINDOW_MS, "500"),
    ("OTEL_BSP_SCHEDULE_DELAY", "500"),
    ("OTEL_METRIC_EXPORT_INTERVAL", "500"),
    ("OTEL_EXPORTER_OTLP_TIMEOUT", "2000"),
];

/// Where a node exports to.
enum Target {
    Nowhere,
    /// Nobody listens there.
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

/// What is measured of one run.
struct Run {
    rate: f64,
    cpu_micros: f64,
    resident_mib: f64,
}

pub(crate) fn compare() {
    println!("CPU: {}; windows and exports of half a second", cpu_name());
    let dir = tempfile::tempdir().expect("a temporary directory");
    let key = TestNode::random();
    let ports = load::free_ports(SINK_PORTS + 1);
    Load::build(&key, &ports[1..], PACKETS, 50.0).save(dir.path());
    let bench = Bench { dir: dir.path(), key: &key, port: ports[0], runtime: runtime() };
    let mut runs: [Vec<Run>; TARGETS.len()] = Default::default();
    for round in 0..ROUNDS {
        // Who comes first changes, for a machine that gets warmer or busier.
        for turn in 0..TARGETS.len() {
            let target = (round + turn) % TARGETS.len();
            runs[target].push(bench.run(&TARGETS[target]));
        }
    }
    print(&runs);
}

/// For the collectors, which stay off the node's core.
fn runtime() -> Runtime {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(1).enable_all().on_thread_start(leave_the_node_alone).build().expect("a runtime")
}

fn print(runs: &[Vec<Run>; TARGETS.len()]) {
    println!("medians of {ROUNDS} runs; after the slash what it is, run by run, against a node that exports nothing");
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
        command.args(["node", &bs58::encode(self.key.private).into_string(), &self.port.to_string()]);
        command.envs(TWICE_A_SECOND).envs(variables(target, collector.as_ref()));
        let mut node = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("a node");
        node::wait_until_listening(self.port);
        let before = NodeUsage::of(node.id());
        finish(spawn(&["generator", dir, &format!("127.0.0.1:{}", self.port), "0", "8"]));
        finish(sink);
        let usage = NodeUsage::of(node.id()).since(&before);
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
            resident_mib: usage.resident_peak_kib as f64 / 1024.0,
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

/// A collector that works has windows, and every other one that reads has been asked.
fn assert_asked(target: &Target, collector: &mut Collector) {
    let (mut windows, mut metrics, mut all) = (0, 0, 0);
    while let Ok(request) = collector.requests.try_recv() {
        let head = request.head.to_lowercase();
        // Of gRPC only the head is kept.
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
