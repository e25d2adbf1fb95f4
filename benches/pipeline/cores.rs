//! How much faster two workers on two cores are than one worker on one core.
//!
//! The packets wait in the buffers of the node's sockets before the clock starts: the node is stopped while they are
//! sent. So nothing generates load while the time is taken, and what the sink uses of the cores is subtracted.

use std::io::{ErrorKind, Write};
use std::net::TcpStream;
use std::process::Child;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use nym_mixnode_sphinx::EngineKind;
use rustix::process::{Pid, Signal, kill_process};
use rustix::time::{ClockId, clock_gettime};
use tokio::runtime::Builder;
use tokio::task::{LocalSet, spawn_local};

use super::load::{self, FRAME_LEN, Load};
use super::node;
use crate::spawn;
use crate::support::{TestNode, cpu_name, median};

const CONNECTIONS: usize = 1000;
const NEXT_HOPS: usize = 64;
/// So many fit in the socket buffers of a connection that is not read.
const PACKETS_PER_CONNECTION: usize = 40;
const ROUNDS: usize = 7;
/// Reads that the sink has not counted yet.
const COUNTS_MAX: usize = 1024;

/// One passage of all packets through a node.
struct Passage {
    /// From the start of the node to the last byte at the sink.
    wall_micros: f64,
    /// CPU time of the sink meanwhile.
    sink_micros: f64,
}

pub(crate) fn compare() {
    println!("CPU: {}", cpu_name());
    let key = TestNode::random();
    // A replay filter belongs to a node, so every node gets the same packets. The first of each connection open the
    // connections to the next hops before the clock starts.
    let ports = load::free_ports(NEXT_HOPS + 1);
    let load = Load::build(&key, &ports[1..], CONNECTIONS * (PACKETS_PER_CONNECTION + 1), 0.0);
    println!(
        "{} regular packets that wait in {CONNECTIONS} connections, {NEXT_HOPS} next hops, zero delay, {ROUNDS} rounds",
        CONNECTIONS * PACKETS_PER_CONNECTION,
    );
    let passages = (0..ROUNDS).map(|_| [1, 2].map(|workers| pass(&key, ports[0], &load, workers)));
    let times = passages.map(|[one, two]| {
        // With one worker the sink has the other core for itself.
        let (one, two) = (one.wall_micros, two.wall_micros - two.sink_micros / 2.0);
        println!("  one worker {one:.0} µs, two workers {two:.0} µs: {:.2} ×", one / two);
        [one, two]
    });
    let times: Vec<_> = times.collect();
    let medians = [0, 1].map(|workers| median(&mut times.iter().map(|times| times[workers]).collect::<Vec<_>>()));
    let rates = medians.map(|micros| 1e6 * (CONNECTIONS * PACKETS_PER_CONNECTION) as f64 / micros);
    let mut ratios: Vec<_> = times.iter().map(|[one, two]| one / two).collect();
    println!("medians: {:.0} and {:.0} packets/s, {:.2} ×", rates[0], rates[1], median(&mut ratios));
}

fn pass(key: &TestNode, port: u16, load: &Load, workers: usize) -> Passage {
    let (first, rest) = load.frames.split_at(CONNECTIONS * FRAME_LEN);
    let arrivals = start_sink(&load.ports, [first.len(), load.frames.len()]);
    let engine = EngineKind::fastest().name();
    let (key, port_text) = (bs58::encode(key.private).into_string(), port.to_string());
    let mut node = spawn(&["node", &key, &port_text, engine, &workers.to_string(), node::DEFAULT_INTERVAL]);
    node::wait_until_listening(port);
    let mut connections: Vec<_> =
        (0..CONNECTIONS).map(|_| TcpStream::connect(("127.0.0.1", port)).expect("the node listens")).collect();
    send_waiting(&mut connections, first);
    let (_, sink_before) = arrivals.recv().expect("the first packets arrive");
    signal(&node, Signal::STOP);
    send_waiting(&mut connections, rest);
    let start = Instant::now();
    signal(&node, Signal::CONT);
    let (end, sink_after) = arrivals.recv().expect("all packets arrive");
    drop((node.stdin.take(), connections));
    assert!(node.wait().expect("the node ends").success(), "the node failed");
    let micros = |time: Duration| time.as_secs_f64() * 1e6;
    Passage { wall_micros: micros(end - start), sink_micros: micros(sink_after - sink_before) }
}

/// Writes the frames to the connections in equal parts.
fn send_waiting(connections: &mut [TcpStream], frames: &[u8]) {
    for (connection, part) in connections.iter_mut().zip(frames.chunks(frames.len() / CONNECTIONS)) {
        connection.write_all(part).expect("the socket's buffers hold it");
    }
}

fn signal(process: &Child, signal: Signal) {
    kill_process(Pid::from_child(process), signal).expect("a child process");
}

/// Receives on all ports without looking at the bytes. Reports when so many had come, and the CPU time used until then.
fn start_sink(ports: &[u16], totals: [usize; 2]) -> mpsc::Receiver<(Instant, Duration)> {
    let (report, reports) = mpsc::channel();
    let ports = ports.to_vec();
    std::thread::spawn(move || {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        LocalSet::new().block_on(&runtime, async {
            let (counts, mut counted) = tokio::sync::mpsc::channel(COUNTS_MAX);
            for port in ports {
                let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await.expect("the port is free");
                let counts = counts.clone();
                spawn_local(async move {
                    while let Ok((stream, _)) = listener.accept().await {
                        spawn_local(discard(stream, counts.clone()));
                    }
                });
            }
            let mut sum = 0;
            for total in totals {
                while sum < total {
                    sum += counted.recv().await.expect("the listeners stay");
                }
                let cpu = clock_gettime(ClockId::ThreadCPUTime);
                let cpu = Duration::new(cpu.tv_sec as u64, cpu.tv_nsec as u32);
                report.send((Instant::now(), cpu)).expect("the receiver exists");
            }
        });
    });
    reports
}

/// Reads what comes, and looks only at its length.
async fn discard(stream: tokio::net::TcpStream, counts: tokio::sync::mpsc::Sender<usize>) {
    let mut unused = vec![0; 1 << 16];
    while stream.readable().await.is_ok() {
        match stream.try_read(&mut unused) {
            Ok(count @ 1..) if counts.send(count).await.is_ok() => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            _ => return,
        }
    }
}
