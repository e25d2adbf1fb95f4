//! Startup time of the program with a local registry: until it mixes and until it is registered, with a configured and
//! with a detected address.
//!
//! `cargo bench --bench startup`. Optional arguments after `--`: the number of starts, and the path of another program.

#![allow(
    clippy::print_stdout,
    clippy::expect_used,
    clippy::panic,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a benchmark reports to the terminal and stops at the first trouble"
)]

mod support;

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nym_mixnode_directory::{Client, Directory};
use url::Url;

use support::median;

const STARTS: usize = 20;
/// Target for the time from the start to the first event.
const TARGET_MS: f64 = 100.0;
/// Target for the additional time of address detection on a machine without a metadata service.
const DETECTION_TARGET_MS: f64 = 50.0;
const POLL: Duration = Duration::from_micros(500);

fn main() {
    let starts = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(STARTS);
    let home = tempfile::tempdir().expect("a directory");
    let (registry, directory) = start_registry(home.path());
    let port = TcpListener::bind("0.0.0.0:0").and_then(|listener| listener.local_addr()).expect("a port").port();
    init(home.path(), port, &directory);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let client = Client::new(&directory, &directory).expect("a client");
    let is_listed = || runtime.block_on(client.topology()).is_ok_and(|topology| !topology.mix_nodes.is_empty());

    let (mut version, mut ready, mut registered, mut detected) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let announce = format!("127.0.0.1:{port}");
    for _ in 0..starts {
        version.push(time_version());
        // Alternate, so that other load on the machine affects both.
        let (to_ready, to_registered) = time_start(home.path(), &["--announce-host", &announce], is_listed);
        ready.push(to_ready);
        registered.push(to_registered);
        detected.push(time_start(home.path(), &[], is_listed).0);
    }
    end(registry);

    println!("{starts} starts, milliseconds              min   median");
    let baseline = line("--version, for comparison", &mut version);
    let to_ready = line("start to ready", &mut ready);
    line("start to registered", &mut registered);
    let added = line("start to ready, with detection", &mut detected) - to_ready;
    println!("ready / --version: {:.1}; ready within {TARGET_MS} ms: {}", to_ready / baseline, to_ready < TARGET_MS);
    println!("detection adds {added:.1} ms; within {DETECTION_TARGET_MS} ms: {}", added < DETECTION_TARGET_MS);
}

/// Prints one line and returns the median.
fn line(what: &str, samples: &mut [f64]) -> f64 {
    let (min, median) = (samples.iter().copied().fold(f64::INFINITY, f64::min), median(samples));
    println!("  {what:<35} {min:>6.1}   {median:>6.1}");
    median
}

fn program(arguments: &[&str]) -> Command {
    let other = std::env::args().skip(1).find(|argument| argument.contains('/'));
    let mut command = Command::new(other.as_deref().unwrap_or(env!("CARGO_BIN_EXE_nym-mixnode")));
    command.args(arguments).env("RUST_LOG", "warn").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    command
}

fn time_version() -> f64 {
    let start = Instant::now();
    assert!(program(&["--version"]).status().expect("the program runs").success());
    milliseconds(start)
}

/// Times from the start to the first event and to `is_listed`. Then stops the node.
fn time_start(home: &Path, announce: &[&str], is_listed: impl Fn() -> bool) -> (f64, f64) {
    let home = home.to_str().expect("a path");
    let run = ["run", "--home", home, "--id", "mix", "--supervised", "--shutdown-linger", "0s"];
    let start = Instant::now();
    let mut node = program(&[&run[..], &["--http-listen", "127.0.0.1:0"], announce].concat())
        .stdin(Stdio::piped())
        .spawn()
        .expect("the program runs");
    first_line(&mut node);
    let ready = milliseconds(start);
    while !is_listed() {
        wait();
    }
    let registered = milliseconds(start);
    end(node);
    (ready, registered)
}

/// Stops a supervised process by closing its standard input.
fn end(mut child: Child) {
    drop(child.stdin.take());
    assert!(child.wait().expect("it ends").success());
}

fn first_line(child: &mut Child) -> String {
    let mut reader = BufReader::new(child.stdout.take().expect("a pipe"));
    let mut line = String::new();
    assert_ne!(reader.read_line(&mut line).expect("a line"), 0, "the process ended at once");
    // Keep reading, because a closed pipe would affect the measurement.
    std::thread::spawn(move || std::io::copy(&mut reader, &mut std::io::sink()));
    line
}

fn start_registry(home: &Path) -> (Child, Url) {
    let store = home.join("registry.sqlite");
    let arguments = ["registry", "--listen", "127.0.0.1:0", "--supervised", "--data", store.to_str().expect("a path")];
    let mut registry = program(&arguments).stdin(Stdio::piped()).spawn().expect("the program runs");
    let event: serde_json::Value = serde_json::from_str(&first_line(&mut registry)).expect("an event");
    let address = event["addresses"][0].as_str().expect("an address");
    (registry, format!("http://{address}/").parse().expect("a URL"))
}

/// Creates a node without an address in its files: it is passed as a flag or detected.
fn init(home: &Path, port: u16, directory: &Url) {
    let (home, host) = (home.to_str().expect("a path"), format!("0.0.0.0:{port}"));
    let init = ["init", "--home", home, "--id", "mix", "--host", &host, "--layer", "1", "--allow-private"];
    let made = program(&[&init[..], &["--validator", directory.as_str()]].concat()).status();
    assert!(made.expect("the program runs").success());
}

#[expect(clippy::disallowed_methods, reason = "a program without a runtime of its own")]
fn wait() {
    std::thread::sleep(POLL);
}

fn milliseconds(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e3
}
