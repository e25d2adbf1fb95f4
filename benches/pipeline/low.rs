//! What a node uses that has little to do.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use nym_mixnode_sphinx::EngineKind;

use super::{load, node};
use crate::support::TestNode;
use crate::support::usage::Usage;
use crate::{NARROW, Setting, spawn};

const IDLE_CONNECTIONS: usize = 1000;
const IDLE_TIME: Duration = Duration::from_secs(30);
/// Packets per second.
const LOW_RATE: f64 = 1000.0;
const PACKETS: usize = 20_000;

pub(crate) fn measure() {
    idle();
    let setting = Setting::of_packets(&NARROW, PACKETS);
    for release_interval in ["0s", "1ms", "4ms"] {
        let bench = crate::Bench { release_interval, ..setting.bench() };
        let name = format!("50 ms mean delay, {LOW_RATE} packets/s, release interval {release_interval}");
        let micros = bench.run(&name, LOW_RATE, NARROW.connections).cpu_micros;
        println!("  {:9.2} % of a core", micros * LOW_RATE / 1e6 * 100.0);
    }
}

#[expect(clippy::disallowed_methods, reason = "a program without a runtime")]
fn idle() {
    let key = bs58::encode(TestNode::random().private).into_string();
    let port = load::free_ports(1)[0];
    let mut node = spawn(&["node", &key, &port.to_string(), EngineKind::fastest().name(), "1", node::DEFAULT_INTERVAL]);
    node::wait_until_listening(port);
    let connections: Vec<_> =
        (0..IDLE_CONNECTIONS).map(|_| TcpStream::connect(("127.0.0.1", port)).expect("the node listens")).collect();
    std::thread::sleep(Duration::from_secs(2));
    let (before, start) = (Usage::of(node.id()), Instant::now());
    std::thread::sleep(IDLE_TIME);
    let micros = Usage::of(node.id()).since(&before).cpu_micros;
    println!(
        "idle with {} connections: {:.3} % of a core",
        connections.len(),
        micros / start.elapsed().as_secs_f64() / 1e4,
    );
    drop((node.stdin.take(), connections));
    assert!(node.wait().expect("the node ends").success(), "the node failed");
}
