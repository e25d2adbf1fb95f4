//! The packets of a run, built in advance, with marks to recognise them behind the node.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::time::Instant;

use nym_mixnode_sphinx::{Engine, EngineKind, HEADER_LEN, PacketSize, UnwrapError};
use nym_mixnode_wire::{FrameHeader, PacketMode};
use rand::RngExt;
use rand_distr::{Distribution, Exp};

use crate::support::{TestNode, build_route, median, pin_to_core};

pub(crate) const FRAME_LEN: usize = FrameHeader::v0_9(PacketSize::Regular, PacketMode::Mix).frame_len();
const BATCH: usize = 32;

pub(crate) struct Load {
    /// Frames of the 0.9 framing, one after another.
    pub(crate) frames: Vec<u8>,
    /// The first bytes of each packet as it leaves the node.
    pub(crate) marks: Vec<u64>,
    pub(crate) delays_ns: Vec<u64>,
    pub(crate) ports: Vec<u16>,
}

impl Load {
    pub(crate) fn build(node: &TestNode, ports: &[u16], count: usize, mean_delay_ms: f64) -> Self {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let share = count / threads;
        let shares: Vec<Self> = std::thread::scope(|scope| {
            let handles: Vec<_> =
                (0..threads).map(|_| scope.spawn(|| Self::build_part(node, ports, share, mean_delay_ms))).collect();
            handles.into_iter().map(|handle| handle.join().expect("packets")).collect()
        });
        let mut load = Self { frames: Vec::new(), marks: Vec::new(), delays_ns: Vec::new(), ports: ports.to_vec() };
        for share in shares {
            load.frames.extend(share.frames);
            load.marks.extend(share.marks);
            load.delays_ns.extend(share.delays_ns);
        }
        load
    }

    fn build_part(node: &TestNode, ports: &[u16], count: usize, mean_delay_ms: f64) -> Self {
        let mut rng = rand::rng();
        let delay = (mean_delay_ms > 0.0).then(|| Exp::new(1.0 / mean_delay_ms).expect("a positive mean"));
        let mut engine = Engine::new(node.private);
        let mut load = Self { frames: Vec::new(), marks: Vec::new(), delays_ns: Vec::new(), ports: Vec::new() };
        let mut outcomes = Vec::new();
        for _ in 0..count {
            let delay_ns = delay.map_or(0, |delay| (delay.sample(&mut rng) * 1e6) as u64);
            let port = ports[rng.random_range(0..ports.len())];
            let next = TestNode { address: SocketAddr::from(([127, 0, 0, 1], port)), ..TestNode::random() };
            let mut packet = build_route(&[node, &next], &[delay_ns, 0], PacketSize::Regular);
            FrameHeader::v0_9(PacketSize::Regular, PacketMode::Mix).encode(&mut load.frames);
            load.frames.extend(&packet);
            engine.unwrap_batch(std::slice::from_mut(&mut packet), &mut outcomes, |_| Ok::<_, UnwrapError>(()));
            load.marks.push(mark(&packet));
            load.delays_ns.push(delay_ns);
        }
        load
    }

    pub(crate) fn save(&self, dir: &Path) {
        fs::write(dir.join("frames"), &self.frames).expect("room for the packets");
        let ports: Vec<String> = self.ports.iter().map(u16::to_string).collect();
        fs::write(dir.join("ports"), ports.join(" ")).expect("room for the ports");
        fs::write(dir.join("count"), self.marks.len().to_string()).expect("room for the count");
    }

    /// Median time per packet of the engine alone on `core`.
    pub(crate) fn engine_micros_per_packet(&self, kind: EngineKind, node: &TestNode, core: usize) -> f64 {
        std::thread::scope(|scope| {
            let measure = scope.spawn(|| {
                pin_to_core(core..core + 1);
                let mut engine = Engine::of_kind(kind, Box::new(node.private));
                let (mut outcomes, mut rounds) = (Vec::new(), Vec::new());
                for frames in self.frames.chunks_exact(FRAME_LEN * BATCH).take(400) {
                    let mut batch: Vec<Vec<u8>> = frames.chunks(FRAME_LEN).map(|frame| frame[2..].to_vec()).collect();
                    let start = Instant::now();
                    engine.unwrap_batch(&mut batch, &mut outcomes, |_| Ok::<_, UnwrapError>(()));
                    rounds.push(start.elapsed().as_secs_f64() * 1e6 / BATCH as f64);
                }
                median(&mut rounds)
            });
            measure.join().expect("a measurement")
        })
    }
}

pub(crate) fn mark(packet: &[u8]) -> u64 {
    const { assert!(HEADER_LEN > 8) };
    u64::from_le_bytes(*packet.first_chunk().expect("a packet"))
}

pub(crate) fn free_ports(count: usize) -> Vec<u16> {
    let sockets: Vec<_> = (0..count).map(|_| TcpListener::bind(("127.0.0.1", 0)).expect("a free port")).collect();
    sockets.iter().map(|socket| socket.local_addr().expect("an address").port()).collect()
}
