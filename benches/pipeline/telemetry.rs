//! What telemetry costs: the same load through nodes that export nothing, that export everything, and that export to a
//! collector which never answers, in turns. The counting itself goes on in all of them.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::thread;

use crate::load::{self, Load, SINK_PORTS};
use crate::node::{self, NodeUsage};
use crate::sink::Arrivals;
use crate::support::{TestNode, median};
use crate::{finish, spawn};

const PACKETS: usize = 100_000;
const ROUNDS: usize = 5;

/// What is measured of one run.
struct Run {
    rate: f64,
    cpu_micros: f64,
    resident_mib: f64,
}

pub(crate) fn compare() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let key = TestNode::random();
    let ports = load::free_ports(SINK_PORTS + 1);
    Load::build(&key, &ports[1..], PACKETS, 50.0).save(dir.path());
    let path = dir.path().to_str().expect("UTF-8");
    let endpoints = [None, Some(collector(true)), Some(collector(false))];
    let mut runs: [Vec<Run>; 3] = Default::default();
    for round in 0..ROUNDS {
        // Who comes first changes, for a machine that gets warmer or busier.
        for turn in 0..3 {
            let kind = (round + turn) % 3;
            runs[kind].push(run(path, &key, ports[0], endpoints[kind].as_deref()));
        }
    }
    print(&runs);
}

fn print(runs: &[Vec<Run>; 3]) {
    for (name, runs) in ["off", "exported", "exported into a black hole"].iter().zip(runs) {
        let of = |get: fn(&Run) -> f64| median(&mut runs.iter().map(get).collect::<Vec<_>>());
        println!(
            "telemetry {name:26} {:9.0} packets/s  {:6.2} µs CPU per packet  {:6.1} MiB resident at the most",
            of(|run| run.rate),
            of(|run| run.cpu_micros),
            of(|run| run.resident_mib),
        );
    }
    for (name, with) in [("exported", &runs[1]), ("black hole", &runs[2])] {
        let ratio = |get: fn(&Run) -> f64| {
            let pairs = runs[0].iter().zip(with);
            median(&mut pairs.map(|(off, on)| get(on) / get(off)).collect::<Vec<_>>())
        };
        let more = runs[0].iter().zip(with).map(|(off, on)| on.resident_mib - off.resident_mib);
        println!(
            "{name:10} against off, median of the pairs: throughput {:.4}, CPU per packet {:.4}, {:+.1} MiB",
            ratio(|run| run.rate),
            ratio(|run| run.cpu_micros),
            median(&mut more.collect::<Vec<_>>()),
        );
    }
}

fn run(dir: &str, key: &TestNode, port: u16, endpoint: Option<&str>) -> Run {
    let sink = spawn(&["sink", dir]);
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.args(["node", &bs58::encode(key.private).into_string(), &port.to_string()]);
    if let Some(endpoint) = endpoint {
        command.env("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint);
    }
    let mut node = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("a node");
    node::wait_until_listening(port);
    let before = NodeUsage::of(node.id());
    finish(spawn(&["generator", dir, &format!("127.0.0.1:{port}"), "mix", "0", "8"]));
    finish(sink);
    let usage = NodeUsage::of(node.id()).since(&before);
    drop(node.stdin.take());
    assert!(node.wait().expect("the node ends").success(), "the node failed");
    let arrivals = Arrivals::read(std::path::Path::new(dir));
    Run {
        rate: arrivals.steady_rate(),
        cpu_micros: usage.cpu_micros / arrivals.count() as f64,
        resident_mib: usage.resident_peak_kib as f64 / 1024.0,
    }
}

/// Where a collector takes everything, or accepts connections and never says a word.
fn collector(answers: bool) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
    thread::spawn(move || {
        let mut silent = Vec::new();
        for connection in listener.incoming().flatten() {
            if answers {
                thread::spawn(move || answer(connection));
            } else {
                silent.push(connection);
            }
        }
    });
    endpoint
}

/// Answers each request of a client that waits for the answer before it sends the next.
fn answer(mut connection: TcpStream) {
    let mut bytes = vec![0; 1 << 16];
    let mut text = Vec::new();
    while let Ok(count @ 1..) = connection.read(&mut bytes) {
        text.extend_from_slice(&bytes[..count]);
        let Some(end) = text.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&text[..end]).to_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
        if text.len() >= end + 4 + length.unwrap_or(0) {
            text.clear();
            if connection.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").is_err() {
                return;
            }
        }
    }
}
