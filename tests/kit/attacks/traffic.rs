//! Packets into a node, and what arrives behind it.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use std::{fmt, thread};

use nym_mixnode_sphinx::PacketSize;
use nym_mixnode_wire::{FrameDecoder, FrameHeader, PacketMode};

use super::arena::Arena;
use super::node::{Node, Packet};
use crate::waiting::pause;

/// What has not arrived this long after the last packet was sent is lost.
const LOST_AFTER: Duration = Duration::from_secs(60);
/// 200 packets per second.
const BESIDE_PACE: Duration = Duration::from_millis(5);

/// A frame that arrived: its header's bytes, its packet, and when.
#[derive(Clone)]
pub(super) struct Arrival {
    pub(super) header: Vec<u8>,
    pub(super) packet: Vec<u8>,
    at: Instant,
}

/// The next hop of all packets: takes every connection, and keeps what arrives.
pub(super) struct Sink {
    pub(super) address: SocketAddr,
    arrived: Arc<Mutex<Vec<Arrival>>>,
}

/// What became of packets that were sent.
pub(super) struct Passed {
    pub(super) sent: usize,
    /// Of those sent, each once.
    pub(super) arrived: usize,
    /// Arrived before their delay was over.
    pub(super) early: usize,
    /// Arrived and not among those sent, or more than once.
    pub(super) strange: usize,
    pub(super) arrivals: Vec<Arrival>,
    /// From the sending to the arrival, less the delay asked for.
    over_delay: Vec<Duration>,
    /// The most that the node took until then.
    pub(super) resident_kib: u32,
}

impl Sink {
    pub(super) fn start(arena: &Arena, address: &str) -> Self {
        let address = address.parse().unwrap();
        let listener = arena.listen(address);
        let arrived = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&arrived);
        thread::spawn(move || accept(&listener, &kept));
        Self { address, arrived }
    }

    /// Takes what has arrived since the last call.
    pub(super) fn take(&self) -> Vec<Arrival> {
        std::mem::take(&mut self.arrived.lock().unwrap())
    }
}

fn accept(listener: &TcpListener, arrived: &Arc<Mutex<Vec<Arrival>>>) {
    for stream in listener.incoming().map_while(Result::ok) {
        let arrived = Arc::clone(arrived);
        thread::spawn(move || collect(stream, &arrived));
    }
}

fn collect(mut stream: TcpStream, arrived: &Mutex<Vec<Arrival>>) {
    let mut decoder = FrameDecoder::default();
    let mut buffer = vec![0; 1 << 16];
    while let Ok(count @ 1..) = stream.read(&mut buffer) {
        let at = Instant::now();
        let keep = |header: FrameHeader, frame: &[u8]| {
            let (header, packet) = frame.split_at(header.framing.header_len());
            arrived.lock().unwrap().push(Arrival { header: header.to_vec(), packet: packet.to_vec(), at });
        };
        decoder.feed(&buffer[..count], keep).expect("the node sends frames");
    }
}

/// Sends packets over one connection, one each `pace`, and waits until the node has received them and holds none.
pub(super) fn pass(arena: &Arena, node: &Node, sink: &Sink, packets: &[Packet], pace: Duration) -> Passed {
    sink.take();
    let before = node.received();
    let mut stream = arena.connect(node.address);
    stream.set_nodelay(true).unwrap();
    let mut sent_at = Vec::with_capacity(packets.len());
    for packet in packets {
        sent_at.push(Instant::now());
        stream.write_all(&packet.frame).unwrap();
        if !pace.is_zero() {
            pause(pace);
        }
    }
    node.settle(before, packets.len());
    // What the node has handed to the kernel, the sink has still to read.
    pause(Duration::from_millis(500));
    judge(packets, &sent_at, sink.take(), node.server.resident_peak_kib())
}

/// Sends packets over a connection from an address of its own, beside other traffic, and waits until they have arrived.
pub(super) fn pass_beside(arena: &Arena, node: &Node, sink: &Sink, packets: &[Packet], from: IpAddr) -> Passed {
    sink.take();
    let mut stream = arena.connect_from(from, node.address);
    stream.set_nodelay(true).unwrap();
    let mut sent_at = Vec::with_capacity(packets.len());
    for packet in packets {
        sent_at.push(Instant::now());
        stream.write_all(&packet.frame).unwrap();
        pause(BESIDE_PACE);
    }
    // What has not arrived then is lost.
    let waiting_until = Instant::now() + LOST_AFTER;
    while sink.arrived.lock().unwrap().len() < packets.len() && Instant::now() < waiting_until {
        pause(Duration::from_millis(100));
    }
    judge(packets, &sent_at, sink.take(), node.server.resident_peak_kib())
}

/// Packets of an honest sender: 50 ms mean delay, exponential.
pub(super) fn honest(node: &Node, sink: &Sink, count: usize) -> Vec<Packet> {
    const HEADER: FrameHeader = FrameHeader::v0_9(PacketSize::Regular, PacketMode::Mix);
    let delay = || Duration::from_millis(50).mul_f64(-(1.0 - rand::random::<f64>()).ln());
    (0..count).map(|_| node.packet(sink.address, delay(), HEADER)).collect()
}

fn judge(packets: &[Packet], sent_at: &[Instant], arrivals: Vec<Arrival>, resident_kib: u32) -> Passed {
    let mut awaited: HashMap<&[u8], (Instant, Duration)> = HashMap::new();
    for (packet, at) in packets.iter().zip(sent_at) {
        awaited.insert(&packet.forwarded, (*at, packet.delay));
    }
    let (mut arrived, mut early, mut strange, mut over_delay) = (0, 0, 0, Vec::new());
    for arrival in &arrivals {
        match awaited.remove(&arrival.packet[..]) {
            None => strange += 1,
            Some((at, delay)) => {
                arrived += 1;
                early += usize::from(arrival.at - at < delay);
                over_delay.push((arrival.at - at).saturating_sub(delay));
            }
        }
    }
    over_delay.sort();
    Passed { sent: packets.len(), arrived, early, strange, arrivals, over_delay, resident_kib }
}

impl Passed {
    /// Nothing was lost, early or unknown.
    #[track_caller]
    pub(super) fn assert_whole(&self, what: &str) {
        assert_eq!((self.arrived, self.early, self.strange), (self.sent, 0, 0), "{what}: {self}");
    }

    /// Packets were not kept waiting: before the attacks were ended, it was for many seconds.
    #[track_caller]
    pub(super) fn assert_prompt(&self, control: &Self) {
        const LATER_MAX: Duration = Duration::from_secs(1);
        assert!(self.median() < control.median() + LATER_MAX, "{self}, and in the control {control}");
    }

    fn median(&self) -> Duration {
        self.over_delay.get(self.over_delay.len() / 2).copied().unwrap_or_default()
    }

    /// The memory is bounded, and not far from that of the control.
    #[track_caller]
    pub(super) fn assert_memory_like(&self, control: &Self) {
        const MORE_KIB_MAX: u32 = 64 << 10;
        const KIB_MAX: u32 = 256 << 10;
        let bound = KIB_MAX.min(control.resident_kib + MORE_KIB_MAX);
        assert!(self.resident_kib < bound, "{self}, and in the control {control}");
    }
}

impl fmt::Display for Passed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sent, arrived, early, strange, resident_kib, .. } = self;
        write!(
            f,
            "{sent} sent, {arrived} arrived, {} lost, {early} early, {strange} unknown; median {:.1} ms beyond the \
             delay; {:.1} MiB resident at the most",
            sent - arrived,
            self.median().as_secs_f64() * 1e3,
            f64::from(*resident_kib) / 1024.0
        )
    }
}

/// Prints the figures of an attack and of its control.
pub(super) fn report(attack: &str, control: &Passed, attacked: &Passed) {
    eprintln!("{attack}:\n  control: {control}\n  attack:  {attacked}");
}
