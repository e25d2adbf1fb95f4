//! Receives the forwarded packets and records their arrival times.

use std::collections::HashMap;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use nym_mixnode_wire::FrameDecoder;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;
use tokio::sync::mpsc;
use tokio::task::{LocalSet, spawn_local};
use tokio::time::timeout;

use crate::load::{Load, mark};
use crate::support::{self, leave_the_first_core_alone};

/// Packets that are missing after this time without a packet count as lost.
const QUIET: Duration = Duration::from_secs(5);

pub(crate) fn main(args: &[String]) {
    let [dir] = args else { panic!("sink: one argument") };
    leave_the_first_core_alone();
    let dir = Path::new(dir);
    let read = |name: &str| fs::read_to_string(dir.join(name)).expect("written before");
    let count: usize = read("count").parse().expect("a count");
    let ports = read("ports");
    let ports = ports.split(' ').map(|port| port.parse().expect("a port"));
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let all = LocalSet::new().block_on(&runtime, receive(ports, count));
    let bytes: Vec<u8> = all.iter().flat_map(|(mark, at)| [mark.to_le_bytes(), at.to_le_bytes()]).flatten().collect();
    fs::write(dir.join("arrivals"), bytes).expect("room");
}

/// Receives so many packets, or as many as come: their marks and arrival times.
async fn receive(ports: impl Iterator<Item = u16>, count: usize) -> Vec<(u64, u64)> {
    let (sender, mut arrivals) = mpsc::channel(1024);
    for port in ports {
        let listener = TcpListener::bind(("127.0.0.1", port)).await.expect("the port is free");
        let sender = sender.clone();
        spawn_local(async move {
            loop {
                let (stream, _) = listener.accept().await.expect("a connection");
                spawn_local(collect(stream, sender.clone()));
            }
        });
    }
    let mut all: Vec<(u64, u64)> = Vec::with_capacity(count);
    // The first packet waits for the node to start and the generator to read its file.
    let mut limit = Duration::from_secs(30);
    while all.len() < count {
        let Ok(Some(some)) = timeout(limit, arrivals.recv()).await else { break };
        all.extend::<Vec<_>>(some);
        limit = QUIET;
    }
    all
}

async fn collect(stream: TcpStream, sender: mpsc::Sender<Vec<(u64, u64)>>) {
    let mut decoder = FrameDecoder::default();
    let mut buffer = vec![0; 1 << 16];
    while stream.readable().await.is_ok() {
        let count = match stream.try_read(&mut buffer) {
            Ok(count @ 1..) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
            _ => return,
        };
        let now = support::monotonic_nanos();
        let mut some = Vec::new();
        decoder.feed(&buffer[..count], |_, frame| some.push((mark(&frame[2..]), now))).expect("whole frames");
        if sender.send(some).await.is_err() {
            return;
        }
    }
}

/// Arrival times in nanoseconds, by mark.
pub(crate) struct Arrivals(Vec<(u64, u64)>);

impl Arrivals {
    pub(crate) fn read(dir: &Path) -> Self {
        let bytes = fs::read(dir.join("arrivals")).expect("the sink has written it");
        let number = |bytes: &[u8]| u64::from_le_bytes(*bytes.first_chunk().expect("eight bytes"));
        Self(bytes.chunks_exact(16).map(|pair| (number(pair), number(&pair[8..]))).collect())
    }

    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// Packets per second between the first and the last tenth.
    pub(crate) fn steady_rate(&self) -> f64 {
        let mut times: Vec<u64> = self.0.iter().map(|(_, at)| *at).collect();
        times.sort_unstable();
        let (from, to) = (times.len() / 10, times.len() * 9 / 10);
        (to - from) as f64 * 1e9 / (times[to] - times[from]) as f64
    }

    /// Arrival − sending − delay for each packet of a paced run, in the order of the arrivals.
    pub(crate) fn lag_ms(&self, dir: &Path, load: &Load) -> Option<Vec<f64>> {
        let sent = fs::read(dir.join("sent")).ok()?;
        fs::remove_file(dir.join("sent")).expect("it was there");
        let sent = sent.chunks_exact(8).map(|bytes| u64::from_le_bytes(*bytes.first_chunk().expect("eight bytes")));
        let due: HashMap<u64, u64> =
            load.marks.iter().zip(sent.zip(&load.delays_ns)).map(|(mark, (at, delay))| (*mark, at + delay)).collect();
        Some(self.0.iter().map(|(mark, at)| (*at as f64 - due[mark] as f64) / 1e6).collect())
    }
}
