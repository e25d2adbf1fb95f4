use std::io::Write;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream as Client};
use std::time::Duration;

use socket2::{Domain, Socket, Type};
use tokio::task::LocalSet;
use tokio::time::{sleep, timeout};

use super::*;
use crate::listener::ConnectionLimits;
use crate::shutdown::{PhaseControl, PhaseSignal, phases};
use nym_mixnode_sphinx::PacketSize;
use nym_mixnode_wire::{MAX_FRAME_LEN, PacketMode};

const TIMEOUT: Duration = Duration::from_secs(60);
const CONNECTIONS: usize = 200;
const BUDGET: usize = 256 << 10;
const HEADER: FrameHeader = FrameHeader::v0_9(PacketSize::Ack, PacketMode::Mix);
/// Packets that one connection sends in one burst.
const BURST: usize = READ_BYTES / HEADER.frame_len();

/// Connections of one worker, their clients, and the inbox.
struct Scene {
    pool: Arc<BufferPool>,
    clients: Vec<Client>,
    inbox: mpsc::Receiver<Received>,
    serving: JoinSet<()>,
    control: PhaseControl,
    /// `None` once no more connections come.
    intake: Option<Intake>,
    limits: Arc<ConnectionLimits>,
    phase: PhaseSignal,
    listener: TcpListener,
}

impl Scene {
    fn open() -> Self {
        Self::with_budget(BUDGET)
    }

    fn with_budget(budget: usize) -> Self {
        let pool = BufferPool::new(budget);
        let (packets, inbox) = mpsc::channel(128);
        let deadlines = Deadlines { frame: TIMEOUT, idle: TIMEOUT };
        let intake = Intake::new(Arc::clone(&pool), packets, deadlines, Arc::default());
        let limits = ConnectionLimits::new(CONNECTIONS + 1, CONNECTIONS);
        let (control, phase) = phases();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (clients, serving) = (Vec::new(), JoinSet::new());
        let intake = Some(intake);
        let mut scene = Self { pool, clients, inbox, serving, control, intake, limits, phase, listener };
        for _ in 0..CONNECTIONS {
            let client = scene.connect_from([127, 0, 0, 1].into());
            scene.clients.push(client);
        }
        scene
    }

    fn connect_from(&mut self, own: IpAddr) -> Client {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::new(own, 0).into()).unwrap();
        socket.connect(&self.listener.local_addr().unwrap().into()).unwrap();
        let (stream, from) = self.listener.accept().unwrap();
        stream.set_nonblocking(true).unwrap();
        let permit = self.limits.admit(from.ip()).unwrap();
        let intake = self.intake.clone().unwrap();
        self.serving.spawn_local(serve(Admitted { stream, permit }, intake, self.phase.clone()));
        socket.into()
    }

    /// Fills all connections at once, after all were idle.
    async fn fill(&mut self) {
        sleep(Duration::from_millis(20)).await;
        let burst = burst(HEADER, BURST);
        self.clients.iter_mut().for_each(|client| client.write_all(&burst).unwrap());
    }

    /// Asserts that the budget is exceeded by at most one read.
    fn assert_bounded(&self) {
        let charge = HEADER.frame_len() + 160;
        let bound = BUDGET + (READ_BYTES + MAX_FRAME_LEN) / HEADER.frame_len() * charge;
        assert!(self.pool.bytes_in_flight() <= bound, "{:?}, more than {bound}", self.pool);
    }

    /// Takes packets until the budget is spent, and keeps them.
    async fn spend(&mut self) -> Vec<Received> {
        let mut kept = Vec::new();
        while self.pool.bytes_in_flight() < BUDGET || !self.inbox.is_empty() {
            kept.push(timeout(TIMEOUT, self.inbox.recv()).await.unwrap().unwrap());
            self.assert_bounded();
        }
        kept
    }
}

#[tokio::test]
async fn connections_that_fill_at_once_stay_within_the_budget_and_all_get_their_turn() {
    let local = LocalSet::new();
    let all = async {
        let mut scene = Scene::open();
        scene.fill().await;
        let kept = scene.spend().await;
        // Time for connections that would wrongly read on.
        sleep(Duration::from_millis(100)).await;
        scene.assert_bounded();
        assert!(kept.len() < CONNECTIONS * BURST / 10, "most packets are still in the kernel");
        let mut taken = kept.len();
        drop(kept);
        while taken < CONNECTIONS * BURST {
            drop(timeout(TIMEOUT, scene.inbox.recv()).await.expect("every connection is read"));
            scene.assert_bounded();
            taken += 1;
        }
        assert_eq!((scene.pool.packets_in_flight(), scene.inbox.len()), (0, 0));
    };
    local.run_until(all).await;
}

/// Bytes of so many packets.
fn burst(header: FrameHeader, packets: usize) -> Vec<u8> {
    let mut burst = Vec::new();
    for _ in 0..packets {
        let end = burst.len() + header.frame_len();
        header.encode(&mut burst);
        burst.resize(end, 0);
    }
    burst
}

#[tokio::test]
async fn a_place_with_many_connections_does_not_slow_down_another() {
    const OTHER: FrameHeader = FrameHeader::v0_9(PacketSize::Regular, PacketMode::Mix);
    const PACKETS: usize = 50;
    let local = LocalSet::new();
    let all = async {
        let mut scene = Scene::with_budget(64 << 20);
        // Lets all connections of the first place fill the inbox and wait.
        scene.fill().await;
        sleep(Duration::from_millis(100)).await;
        let mut other = scene.connect_from([127, 0, 0, 2].into());
        other.write_all(&burst(OTHER, PACKETS)).unwrap();
        let (mut before, mut arrived) = (0, 0);
        while arrived < PACKETS {
            let received = timeout(TIMEOUT, scene.inbox.recv()).await.unwrap().unwrap();
            arrived += usize::from(received.packet.size() == OTHER.size);
            before += usize::from(received.packet.size() == HEADER.size);
            // Between two batches, sockets and connections have their time.
            if (before + arrived) % 32 == 0 {
                sleep(Duration::from_millis(1)).await;
            }
        }
        let connections_share = PACKETS * CONNECTIONS;
        assert!(before < connections_share / 10, "{before} packets of others came before {PACKETS}");
    };
    local.run_until(all).await;
}

#[tokio::test]
async fn the_budget_holds_while_connections_are_read_out_too() {
    let local = LocalSet::new();
    let all = async {
        let mut scene = Scene::open();
        scene.fill().await;
        let mut kept = scene.spend().await;
        scene.control.enter(Phase::Draining);
        scene.intake = None;
        // The channel closes when the last connection has ended.
        while let Some(packet) = timeout(TIMEOUT, scene.inbox.recv()).await.expect("the connections end") {
            kept.push(packet);
        }
        scene.assert_bounded();
        assert!(scene.pool.bytes_in_flight() >= BUDGET);
    };
    local.run_until(all).await;
}
