//! The node of a run, on one core with one worker, and its resource usage.

use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;
use std::{env, fs};

use nym_mixnode::node::{self, RunOptions};
use nym_mixnode_config::{Config, Source, Values, settings};
use nym_mixnode_keys::{IdentityKeyPair, NodeKeys, SphinxKeyPair};
use nym_mixnode_telemetry::otel::{self, Telemetry};

use crate::NODE_CORE;
use crate::support::pin_to_core;

/// Kernel ticks per second, the unit of CPU time in /proc.
const TICKS_PER_SECOND: f64 = 100.0;

/// The variable that sets the length of windows in milliseconds, shorter than the configuration allows.
pub(crate) const WINDOW_MS: &str = "BENCH_WINDOW_MS";

pub(crate) fn main(args: &[String]) {
    let [key, port] = args else { panic!("node: two arguments") };
    pin_to_core(NODE_CORE..NODE_CORE + 1);
    let mut values = Values::default();
    let mut set = |about, text: &str| values.set(about, text, &Source::Program);
    set(&settings::NODE_ID.about, "bench");
    set(&settings::NODE_LAYER.about, "1");
    set(&settings::LISTEN_ADDRESSES.about, &format!("127.0.0.1:{port}"));
    // No process listens there: the node mixes without a directory.
    set(&settings::DIRECTORY_URL.about, "http://127.0.0.1:9");
    set(&settings::FORWARD_POLICY.about, "any");
    set(&settings::MIX_WORKERS.about, "1");
    set(&settings::HTTP_LISTEN.about, "off");
    let mut config = Config::from_values(&values).expect("a configuration");
    if let Ok(window) = env::var(WINDOW_MS) {
        config.telemetry.window = Duration::from_millis(window.parse().expect("a number"));
    }
    let mut private = [0; 32];
    bs58::decode(key).onto(&mut private).expect("32 bytes in base58");
    let identity = IdentityKeyPair::generate().expect("an identity");
    let sphinx = SphinxKeyPair::from_private(&private).expect("a key");
    let keys = NodeKeys { identity_public: identity.public_base58(), identity: Arc::new(identity), sphinx };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    // The end of standard input stops the node.
    let stop = async {
        let wait = || std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        drop(tokio::task::spawn_blocking(wait).await);
    };
    // Without an endpoint in the environment nothing is exported.
    let exports = otel::Settings::of_process(&config.telemetry).expect("allowed variables");
    let telemetry = exports.map(|exports| Telemetry::start(&exports, None).expect("exporters")).unwrap_or_default();
    let options = RunOptions { telemetry, ..RunOptions::default() };
    runtime.block_on(node::run(config, keys, options, stop, |_| {})).expect("the node runs");
}

#[expect(clippy::disallowed_methods, reason = "a program without a runtime")]
pub(crate) fn wait_until_listening(port: u16) {
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// CPU time and memory of a process, from /proc.
pub(crate) struct NodeUsage {
    pub(crate) cpu_micros: f64,
    pub(crate) resident_peak_kib: u64,
}

impl NodeUsage {
    pub(crate) fn of(pid: u32) -> Self {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("the node runs");
        let fields: Vec<&str> = stat.rsplit_once(')').expect("a name").1.split_whitespace().collect();
        let ticks: f64 = [11, 12].iter().map(|field| fields[*field].parse::<f64>().expect("ticks")).sum();
        let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the node runs");
        let peak = status.lines().find(|line| line.starts_with("VmHWM")).expect("a peak");
        Self {
            cpu_micros: ticks / TICKS_PER_SECOND * 1e6,
            resident_peak_kib: peak.split_whitespace().nth(1).expect("a number").parse().expect("a number"),
        }
    }

    pub(crate) fn since(self, before: &Self) -> Self {
        Self { cpu_micros: self.cpu_micros - before.cpu_micros, ..self }
    }
}
