//! A node inside the test process, packets for it, and a sink for its output.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, LazyLock, Mutex, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;

use nym_mixnode::node::{self, NodeError, NodeStatus, RunOptions, SupervisorEvent};
use nym_mixnode_api::{GatewayRegistration, testing};
use nym_mixnode_config::{Config, Source, Values, settings};
use nym_mixnode_keys::{NodeKeys, SphinxKeyPair};
use nym_mixnode_sphinx::{Engine, Outcome, UnwrapError};
use nym_mixnode_telemetry::otel::Telemetry;
use nym_mixnode_wire::{FrameDecoder, FrameHeader};
use sphinx_packet::route::Node;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout};

pub use crate::packets::{ACK, hop, packet_via};

/// Deadline of each step, generous for a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Free port on a loopback address unique in this run: it stays free when its process is killed.
pub fn own_address() -> SocketAddr {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    // Other runs on this machine have other process ids.
    let [.., high, low] = std::process::id().to_be_bytes();
    let ip: IpAddr = [127, 16 + high % 200, low, NEXT.fetch_add(1, Ordering::Relaxed)].into();
    std::net::TcpListener::bind((ip, 0)).unwrap().local_addr().unwrap()
}

/// Port of 127.0.0.1 that refuses connections while this process lives: it is bound without listening.
pub fn closed_port() -> u16 {
    use socket2::{Domain, Socket, Type};
    static CLOSED: OnceLock<(Socket, u16)> = OnceLock::new();
    let bind = || {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        let port = socket.local_addr().unwrap().as_socket().unwrap().port();
        (socket, port)
    };
    CLOSED.get_or_init(bind).1
}

/// URL of a server that does not exist.
pub static NOWHERE: LazyLock<String> = LazyLock::new(|| format!("http://127.0.0.1:{}", closed_port()));

/// Settings of a node on loopback that forwards to any address and has no directory.
pub fn loopback_settings(address: SocketAddr) -> Values {
    let mut values = Values::default();
    let mut set = |about, text: &str| values.set(about, text, &Source::Program);
    set(&settings::NODE_ID.about, "under-test");
    set(&settings::NODE_LAYER.about, "1");
    set(&settings::LISTEN_ADDRESSES.about, &address.to_string());
    set(&settings::DIRECTORY_URL.about, &NOWHERE);
    set(&settings::ANNOUNCE_ALLOW_PRIVATE.about, "true");
    set(&settings::FORWARD_POLICY.about, "any");
    set(&settings::HTTP_LISTEN.about, "off");
    set(&settings::SHUTDOWN_LINGER.about, "0s");
    set(&settings::MIX_WORKERS.about, "2");
    values
}

/// Node on a separate thread.
pub struct RunningNode {
    pub address: SocketAddr,
    pub sphinx_public: [u8; 32],
    sphinx_private: [u8; 32],
    status: Arc<Mutex<NodeStatus>>,
    stop: oneshot::Sender<()>,
    thread: JoinHandle<Result<(), NodeError>>,
}

impl RunningNode {
    pub async fn start() -> Self {
        Self::with(|_| {}).await
    }

    /// Starts a node with changed settings and waits until it listens.
    pub async fn with(change: impl FnOnce(&mut Values)) -> Self {
        Self::with_telemetry(Telemetry::default(), change).await
    }

    /// The same, with a telemetry export.
    pub async fn with_telemetry(telemetry: Telemetry, change: impl FnOnce(&mut Values)) -> Self {
        let address = own_address();
        let mut values = loopback_settings(address);
        change(&mut values);
        let config = Config::from_values(&values).unwrap();
        let sphinx = SphinxKeyPair::generate().unwrap();
        let (sphinx_public, sphinx_private) = (*sphinx.public(), *sphinx.private());
        let identity = nym_mixnode_keys::IdentityKeyPair::generate().unwrap();
        let keys = NodeKeys { identity_public: identity.public_base58(), identity: Arc::new(identity), sphinx };
        let (stop, stopped) = oneshot::channel::<()>();
        let (ready, is_ready) = oneshot::channel();
        let status = Arc::new(Mutex::new(NodeStatus::default()));
        let thread = std::thread::spawn({
            let status = Arc::clone(&status);
            move || {
                let mut ready = Some(ready);
                let report = |event| {
                    let (SupervisorEvent::Ready { status: now, .. }
                    | SupervisorEvent::Status { status: now }
                    | SupervisorEvent::Stopped { status: now }) = event;
                    *status.lock().unwrap() = now;
                    ready.take().map(|ready| ready.send(()));
                };
                let stop = async { drop(stopped.await) };
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(node::run(
                    config,
                    keys,
                    RunOptions { telemetry, ..RunOptions::default() },
                    stop,
                    report,
                ))
            }
        });
        timeout(PATIENCE, is_ready).await.unwrap().expect("the node starts");
        Self { address, sphinx_public, sphinx_private, status, stop, thread }
    }

    /// Counters of the last second.
    pub fn status(&self) -> NodeStatus {
        self.status.lock().unwrap().clone()
    }

    /// Waits until the counters, at most a second old, satisfy `wanted`.
    pub async fn wait_for(&self, what: &str, wanted: impl Fn(&NodeStatus) -> bool) -> NodeStatus {
        let reached = async {
            while !wanted(&self.status()) {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        assert!(timeout(PATIENCE, reached).await.is_ok(), "{what}: {:?}", self.status());
        self.status()
    }

    /// Stops the node; checks that its final counters account for all packets.
    pub async fn stop(self) -> NodeStatus {
        self.stop.send(()).unwrap();
        let thread = self.thread;
        tokio::task::spawn_blocking(move || thread.join().unwrap().unwrap()).await.unwrap();
        let status = self.status.lock().unwrap().clone();
        let dropped: u64 = status.dropped.values().sum();
        assert_eq!(status.in_flight, 0, "{status:?}");
        assert_eq!(status.received, status.forwarded + status.final_hop + dropped, "{status:?}");
        status
    }

    pub fn hop(&self) -> Node {
        hop(self.address, self.sphinx_public)
    }

    /// Packet in the frame as the node forwards it.
    pub fn unwrapped(&self, header: FrameHeader, frame: &[u8]) -> Vec<u8> {
        let (mut batch, mut outcomes) = ([frame[header.framing.header_len()..].to_vec()], Vec::new());
        Engine::new(self.sphinx_private).unwrap_batch(&mut batch, &mut outcomes, |_| Ok::<_, UnwrapError>(()));
        assert!(matches!(outcomes[0], Outcome::Forward { .. }), "{outcomes:?}");
        let [packet] = batch;
        packet
    }
}

pub async fn send(to: SocketAddr, frames: &[Vec<u8>]) -> TcpStream {
    let mut stream = TcpStream::connect(to).await.unwrap();
    for frame in frames {
        stream.write_all(frame).await.unwrap();
    }
    stream
}

/// Listener that records each frame with its arrival time.
pub struct Sink {
    pub address: SocketAddr,
    frames: mpsc::Receiver<(FrameHeader, Vec<u8>, Instant)>,
}

impl Sink {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, frames) = mpsc::channel(100_000);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(collect(stream, sender.clone()));
            }
        });
        Self { address, frames }
    }

    /// Registration that makes nodes forward to it.
    pub fn as_gateway(&self) -> GatewayRegistration {
        GatewayRegistration {
            sphinx_key: bs58::encode([8; 32]).into_string(),
            clients_host: "ws://127.0.0.1:9000".to_owned(),
            ..testing::gateway(bs58::encode([7; 32]).into_string(), self.address.to_string())
        }
    }

    pub async fn next(&mut self) -> (FrameHeader, Vec<u8>, Instant) {
        timeout(PATIENCE, self.frames.recv()).await.expect("a packet arrives").unwrap()
    }

    pub async fn take(&mut self, count: usize) -> Vec<(FrameHeader, Vec<u8>, Instant)> {
        let mut taken = Vec::new();
        while taken.len() < count {
            taken.push(self.next().await);
        }
        taken
    }

    /// Number of received frames not yet taken.
    pub fn waiting(&self) -> usize {
        self.frames.len()
    }
}

async fn collect(mut stream: TcpStream, frames: mpsc::Sender<(FrameHeader, Vec<u8>, Instant)>) {
    let mut decoder = FrameDecoder::default();
    let mut buffer = vec![0; 1 << 16];
    while let Ok(count @ 1..) = stream.read(&mut buffer).await {
        let at = Instant::now();
        decoder.feed(&buffer[..count], |header, frame| frames.try_send((header, frame.to_vec(), at)).unwrap()).unwrap();
    }
}
