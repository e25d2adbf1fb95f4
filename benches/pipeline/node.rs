//! The node of a run, on one core with one worker.

use std::env;
use std::net::TcpStream;
use std::time::Duration;

use nym_mixnode_config::settings;

use crate::NODE_CORE;
use crate::support::{node, pin_to_core};

/// The variable that sets the length of windows in milliseconds, shorter than the configuration allows.
pub(crate) const WINDOW_MS: &str = "BENCH_WINDOW_MS";

pub(crate) fn main(args: &[String]) {
    let [key, port, engine] = args else { panic!("node: three arguments") };
    pin_to_core(NODE_CORE..NODE_CORE + 1);
    let listen = format!("127.0.0.1:{port}").parse().expect("an address");
    let settings = [(&settings::MIX_WORKERS.about, "1"), (&settings::UNWRAP_ENGINE.about, engine.as_str())];
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
