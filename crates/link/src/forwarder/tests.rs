use std::io::Read;
use std::net::TcpListener;

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::task::LocalSet;
use tokio::time::timeout;

use super::*;
use crate::shutdown::{PhaseControl, phases};
use nym_mixnode_mix::outgoing::DialRates;
use nym_mixnode_sphinx::PacketSize;
use nym_mixnode_wire::{BufferPool, FrameHeader, PacketMode};

const TIMEOUT: Duration = Duration::from_secs(60);
const HEADER: FrameHeader = FrameHeader::v0_9(PacketSize::Regular, PacketMode::Mix);

struct Scene {
    pool: Arc<BufferPool>,
    forwarder: Forwarder,
    counters: Arc<Counters>,
    drops: Arc<DropCounters>,
    listener: TcpListener,
    _control: PhaseControl,
}

impl Scene {
    fn open() -> Self {
        let (control, phase) = phases();
        let settings = Settings {
            connect_timeout: TIMEOUT,
            backoff_initial: Duration::from_millis(10),
            backoff_max: Duration::from_millis(10),
            stale_after: TIMEOUT,
            queue_packets_max: usize::MAX,
            budget_bytes: 1 << 30,
            next_hops_max: 10,
            idle_timeout: TIMEOUT,
            dial_rates: DialRates::NODE,
        };
        let (counters, drops) = (Arc::default(), Arc::default());
        let forwarder = Forwarder::local(settings, Arc::clone(&counters), Arc::clone(&drops), phase);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        Self { pool: BufferPool::new(1 << 30), forwarder, counters, drops, listener, _control: control }
    }

    /// Sends a packet for each number, which fills it, all at once.
    fn send(&mut self, numbers: std::ops::Range<u8>) {
        let next_hop = self.listener.local_addr().unwrap();
        let packet = |number| self.pool.take(HEADER, &vec![number; HEADER.frame_len()]);
        let scheduled = |number| Scheduled { packet: packet(number), next_hop, due: clock::now() };
        self.forwarder.send_all(&mut numbers.map(scheduled));
    }

    async fn accept(&self) -> TcpStream {
        loop {
            if let Ok((stream, _)) = self.listener.accept() {
                stream.set_nonblocking(true).unwrap();
                return TcpStream::from_std(stream).unwrap();
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

/// Reads so many packets, and returns their numbers.
async fn read(stream: &mut TcpStream, packets: usize) -> Vec<u8> {
    let mut bytes = vec![0; packets * HEADER.frame_len()];
    timeout(TIMEOUT, stream.read_exact(&mut bytes)).await.expect("packets arrive").unwrap();
    bytes.chunks(HEADER.frame_len()).map(|frame| frame[HEADER.frame_len() - 1]).collect()
}

#[tokio::test]
async fn packets_for_a_connected_next_hop_are_written_before_the_call_returns() {
    let test = async {
        let mut scene = Scene::open();
        scene.send(0..2);
        let mut peer = timeout(TIMEOUT, scene.accept()).await.expect("the forwarder dials");
        assert_eq!(read(&mut peer, 2).await, [0, 1]);
        assert_eq!(scene.counters.forwarded(), 2);
        scene.send(2..10);
        // No task has run since.
        assert_eq!((scene.counters.forwarded(), scene.pool.packets_in_flight()), (10, 0));
        assert_eq!(read(&mut peer, 8).await, [2, 3, 4, 5, 6, 7, 8, 9]);
    };
    LocalSet::new().run_until(test).await;
}

#[tokio::test]
async fn what_the_kernel_does_not_accept_follows_in_order_once_the_peer_reads() {
    let test = async {
        let mut scene = Scene::open();
        scene.send(0..1);
        let mut peer = timeout(TIMEOUT, scene.accept()).await.expect("the forwarder dials");
        assert_eq!(read(&mut peer, 1).await, [0]);
        let mut expected = Vec::new();
        // More than the buffers of both sockets.
        while scene.pool.packets_in_flight() < 2000 {
            scene.send(0..200);
            expected.extend(0..200);
            tokio::task::yield_now().await;
        }
        // Now the task and the forwarder write in turn.
        let mut arrived = Vec::new();
        while arrived.len() < expected.len() {
            arrived.extend(read(&mut peer, 20).await);
            if arrived.len() % 100 == 0 && expected.len() < 10_000 {
                scene.send(200..220);
                expected.extend(200..220);
            }
        }
        assert_eq!(arrived, expected);
        scene.send(7..8);
        assert_eq!(read(&mut peer, 1).await, [7]);
        let failed = (scene.counters.connect_failures(), scene.drops.get(DropReason::NextHopUnreachable));
        assert_eq!((scene.counters.forwarded(), failed), (2 + expected.len() as u64, (0, 0)));
        assert_eq!(scene.pool.packets_in_flight(), 0);
    };
    LocalSet::new().run_until(test).await;
}

#[tokio::test]
async fn packets_for_a_connection_that_has_ended_are_sent_over_a_new_one() {
    let test = async {
        let mut scene = Scene::open();
        for number in 0..5 {
            scene.send(number..number + 1);
            let mut peer = timeout(TIMEOUT, scene.accept()).await.expect("the forwarder dials again");
            assert_eq!(read(&mut peer, 1).await, [number]);
            drop(peer);
            while scene.counters.connections() > 0 {
                tokio::task::yield_now().await;
            }
        }
        scene.forwarder.drain().await;
        assert_eq!((scene.counters.forwarded(), scene.counters.connections()), (5, 0));
    };
    timeout(TIMEOUT, LocalSet::new().run_until(test)).await.expect("the drain ends");
}

#[tokio::test]
async fn a_task_whose_packets_the_forwarder_has_written_meanwhile_keeps_the_connection() {
    let test = async {
        let mut scene = Scene::open();
        scene.send(0..1);
        let peer = timeout(TIMEOUT, scene.accept()).await.expect("the forwarder dials");
        let mut peer = peer.into_std().unwrap();
        peer.set_nonblocking(false).unwrap();
        let mut sent = 0;
        while scene.counters.forwarded() == 0 {
            tokio::task::yield_now().await;
        }
        // Until the kernel accepts no more, and the task waits for the socket.
        while scene.counters.forwarded() > sent {
            sent = scene.counters.forwarded();
            scene.send(0..1);
            tokio::task::yield_now().await;
        }
        // Blocks the thread, so that the task does not run before the next packet is sent.
        let mut bytes = vec![0; usize::try_from(scene.counters.forwarded()).unwrap() * HEADER.frame_len()];
        peer.read_exact(&mut bytes).unwrap();
        tokio::task::yield_now().await;
        scene.send(0..1);
        assert_eq!(scene.counters.forwarded(), sent + 2, "the forwarder writes first");
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        assert_eq!((scene.counters.connect_failures(), scene.counters.connections()), (0, 1));
    };
    LocalSet::new().run_until(test).await;
}
