//! Messages: what a client's file and its short messages take, what a gateway bears, and the memory of clients.
//!
//! `cargo bench --bench messages` takes about four minutes and uses only loopback. The gateway is a process on its own
//! core, the load comes from the others.

#![allow(
    clippy::print_stdout,
    clippy::expect_used,
    clippy::panic,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a benchmark prints figures, and stops at the first thing that goes wrong"
)]

mod messages {
    pub(crate) mod gateway;
    pub(crate) mod network;
    pub(crate) mod packets;
}
mod support;

use std::cell::Cell;
use std::env;
use std::io::Write;
use std::net::TcpStream;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use nym_mixnode_client::connection::{Connection, FromGateway, register};
use nym_mixnode_client::endpoint::Endpoint;
use nym_mixnode_keys::IdentityKeyPair;
use nym_mixnode_message::application::{Request, Response};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::Value;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use messages::gateway::{self, GatewayProcess};
use messages::network::{NETWORK, Network, nym_mixnode};
use messages::packets;
use support::{PATIENCE, cpu_name, leave_the_first_core_alone, quantile};

/// Bytes of the file, and what the sending interval of `localnet` allows: 1602 bytes of a packet every 5 ms.
const FILE: (&str, f64) = ("10MB", 1602.0 / 0.005);
const PACKETS: usize = 20_000;
/// Clients of these packets. A client's queue takes 128 packets of a tick and its inbox the rest, so that one client alone
/// would measure its inbox.
const CLIENTS: usize = 100;
const IDLE_CLIENTS: usize = 10_000;
/// Registrations at a time.
const REGISTERING: usize = 32;
const POLL: Duration = Duration::from_millis(5);
/// Short messages, one after the other.
const SHORT_MESSAGES: usize = 200;
/// Messages of a megabyte: 10 000 fragments.
const LONG_MESSAGES: usize = 17;

fn main() {
    let args: Vec<String> = env::args().collect();
    if args.get(1).map(String::as_str) == Some("gateway") {
        return gateway::serve(&args[2]);
    }
    println!("CPU: {}; gateway on the first core, load on the others", cpu_name());
    leave_the_first_core_alone();
    // A connection for each client.
    let files = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: files.maximum, ..files }).expect("up to the hard limit");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    measure_packets(&runtime, true);
    measure_packets(&runtime, false);
    measure_idle(&runtime, false);
    measure_idle(&runtime, true);
    measure_goodput();
    let network = Network::start();
    runtime.block_on(measure_latency(&network));
    runtime.block_on(measure_outstanding(&network));
}

/// From the mixes to clients, which are present or not. Each packet has an acknowledgement, which leaves.
fn measure_packets(runtime: &Runtime, is_present: bool) {
    let mut gateway = GatewayProcess::start();
    let registered = runtime.block_on(register_clients(&gateway.clients, gateway.identity, CLIENTS));
    let (clients, mut connections): (Vec<_>, Vec<_>) = registered.into_iter().unzip();
    if !is_present {
        connections.clear();
    }
    let sink = packets::Sink::start();
    let frames = packets::frames(&gateway.sphinx, &clients, sink.address, PACKETS);
    let before = gateway.usage();
    let mix = gateway.mixes;
    let sender = thread::spawn(move || {
        let mut stream = TcpStream::connect(mix).expect("a connection");
        for frame in &frames {
            stream.write_all(frame).expect("the gateway reads");
        }
        stream
    });
    let (begin, arrived) = (Instant::now(), Cell::new(0));
    let receiving = join_all(connections.into_iter().map(|connection| receive(connection, &arrived)));
    let measured = async {
        let mut delivered = || if is_present { arrived.get() } else { gateway.delivered() };
        until(|| delivered() >= PACKETS).await;
        let seconds = begin.elapsed().as_secs_f64();
        until(|| sink.acknowledgements() >= PACKETS).await;
        seconds
    };
    let seconds = runtime.block_on(async {
        tokio::select! {
            seconds = measured => seconds,
            _ = receiving, if is_present => panic!("connections end"),
        }
    });
    let cpu = gateway.usage().since(&before).cpu_micros / 1e6;
    drop(sender.join().expect("a sender"));
    let to = if is_present { "present clients" } else { "inboxes" };
    println!(
        "{PACKETS} packets to {CLIENTS} {to}: {:.0} packets per second, {:.0} per second of CPU time",
        PACKETS as f64 / seconds,
        PACKETS as f64 / cpu
    );
}

/// Registers clients, some at a time; returns their keys and connections.
async fn register_clients(endpoint: &Endpoint, gateway: [u8; 32], count: usize) -> Vec<([u8; 32], Connection)> {
    let (mut registering, mut registered) = (JoinSet::new(), Vec::with_capacity(count));
    for _ in 0..count {
        if registering.len() >= REGISTERING {
            registered.extend(registering.join_next().await);
        }
        let endpoint = endpoint.clone();
        registering.spawn(async move {
            let identity = IdentityKeyPair::generate().expect("a key");
            let (connection, _) = register(&endpoint, &identity, gateway).await.expect("a registration");
            (*identity.public(), connection)
        });
    }
    while let Some(client) = registering.join_next().await {
        registered.push(client);
    }
    registered.into_iter().collect::<Result<_, _>>().expect("every client is registered")
}

/// Counts and confirms messages.
async fn receive(mut connection: Connection, arrived: &Cell<usize>) {
    loop {
        match connection.next().await.expect("a connection") {
            FromGateway::Message(_) => arrived.set(arrived.get() + 1),
            FromGateway::Ping(content) => connection.confirm(content).await.expect("a connection"),
        }
    }
}

async fn until(mut reached: impl FnMut() -> bool) {
    let poll = async {
        while !reached() {
            sleep(POLL).await;
        }
    };
    timeout(PATIENCE, poll).await.expect("messages and acknowledgements arrive");
}

fn measure_idle(runtime: &Runtime, with_tls: bool) {
    let gateway = GatewayProcess::start();
    let before = gateway.usage();
    let endpoint = if with_tls { &gateway.clients_with_tls } else { &gateway.clients };
    let begin = Instant::now();
    let clients = runtime.block_on(register_clients(endpoint, gateway.identity, IDLE_CLIENTS));
    let usage = gateway.usage();
    let (resident_mib, cpu_micros) = (usage.resident_mib, usage.since(&before).cpu_micros);
    println!(
        "{} idle clients {} TLS: {:.0} MiB of memory ({:.1} KiB for each), registered in {:.0} s, {:.2} ms of CPU time for each",
        clients.len(),
        if with_tls { "with" } else { "without" },
        resident_mib,
        (resident_mib - before.resident_mib) * 1024.0 / clients.len() as f64,
        begin.elapsed().as_secs_f64(),
        cpu_micros / 1e3 / clients.len() as f64
    );
}

/// A file between two clients in a whole network, whose processes share all cores.
fn measure_goodput() {
    let (file, allowed) = FILE;
    let mut localnet = nym_mixnode(&[&NETWORK[..], &["--json", "--send", file]].concat());
    let output = localnet.stderr(Stdio::null()).output().expect("a network");
    let summary: Value = serde_json::from_slice(&output.stdout).expect("a summary");
    assert!(output.status.success() && summary["file"]["intact"] == true, "{summary:#}");
    let seconds = summary["file"]["seconds"].as_f64().expect("seconds");
    let rate = summary["file"]["bytes"].as_f64().expect("bytes") / seconds;
    println!(
        "{file} from client to client: {seconds:.1} s, {:.0} kB/s, {:.0} % of the configured rate, with the start of both clients",
        rate / 1e3,
        100.0 * rate / allowed
    );
}

/// From application to application and back, with the clients' usual delays and intervals.
async fn measure_latency(network: &Network) {
    let mut alice = network.client("alice", &[]).await;
    let mut bob = network.client("bob", &[]).await;
    let (mut arrived, mut answered) = (Vec::new(), Vec::new());
    for _ in 0..SHORT_MESSAGES {
        let (begin, data) = (Instant::now(), vec![7; 100]);
        alice.ask(&Request::Send { recipient: bob.address, with_reply_block: true, data: data.clone() }).await;
        let Response::Received { reply_block: Some(reply_block), .. } = bob.next().await else { panic!("no message") };
        arrived.push(begin.elapsed().as_secs_f64() * 1e3);
        bob.ask(&Request::Reply { reply_block, data }).await;
        assert!(matches!(alice.next().await, Response::Received { .. }), "an answer");
        answered.push(begin.elapsed().as_secs_f64() * 1e3);
    }
    for (what, mut millis) in [("messages", arrived), ("messages and their answers", answered)] {
        let [median, p90, p99] = [0.5, 0.9, 0.99].map(|share| quantile(&mut millis, share));
        println!(
            "{SHORT_MESSAGES} short {what}, three delays of 50 ms on average in each direction: {median:.0} ms in the median, \
             p90 {p90:.0} ms, p99 {p99:.0} ms"
        );
    }
}

/// A client that has sent all its fragments before the first acknowledgement comes.
async fn measure_outstanding(network: &Network) {
    let flags = ["--packet-delay", "1m", "--sending-interval", "1ms"];
    let mut carol = network.client("carol", &flags).await;
    let before = carol.usage().resident_mib;
    for _ in 0..LONG_MESSAGES {
        let data = vec![7; 1_000_000];
        carol.ask(&Request::Send { recipient: carol.address, with_reply_block: false, data }).await;
    }
    sleep(Duration::from_secs(30)).await;
    let usage = carol.usage();
    println!(
        "a client with {LONG_MESSAGES} MB, 10 000 fragments, outstanding: {:.0} MiB of memory, at most {:.0}; {before:.0} before",
        usage.resident_mib, usage.resident_peak_mib
    );
}
