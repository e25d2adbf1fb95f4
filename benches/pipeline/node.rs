//! The node of a run, with one worker on each of its cores.

use std::env;
use std::net::TcpStream;
use std::time::Duration;

use nym_mixnode_config::settings;

use crate::NODE_CORE;
use crate::support::{node, pin_to_core};

/// The variable that sets the length of windows in milliseconds, shorter than the configuration allows.
pub(crate) const WINDOW_MS: &str = "BENCH_WINDOW_MS";

/// The release interval of a node that is not told another.
pub(crate) const DEFAULT_INTERVAL: &str = "1ms";

pub(crate) fn main(args: &[String]) {
    let [key, port, engine, workers, release_interval] = args else { panic!("node: five arguments") };
    let cores: usize = workers.parse().expect("a number");
    pin_to_core(NODE_CORE..NODE_CORE + cores);
    let listen = format!("127.0.0.1:{port}").parse().expect("an address");
    let settings = [
        (&settings::MIX_WORKERS.about, workers.as_str()),
        (&settings::UNWRAP_ENGINE.about, engine),
        (&settings::MIX_RELEASE_INTERVAL.about, release_interval),
    ];
    let mut config = node::config(listen, &settings);
    if let Ok(window) = env::var(WINDOW_MS) {
        config.telemetry.window = Duration::from_millis(window.parse().expect("a number"));
    }
    node::run(config, key);
}

#[expect(clippy::disallowed_methods, reason = "a program without a runtime")]
pub(crate) fn wait_until_listening(port: u16) {
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        std::thread::sleep(Duration::from_millis(20));
    }
}
