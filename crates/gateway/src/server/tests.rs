use futures_util::{SinkExt, StreamExt};
use nym_mixnode_link::shutdown::{PhaseControl, phases};
use nym_mixnode_message::gateway::{Authentication, ClientHandshake, ClientText, GatewayText, Mode, SharedKey};
use nym_mixnode_tls::Tls;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;
use tokio_tungstenite::tungstenite::Message as Frame;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::*;
use crate::store::{Message, StoreBounds};

const PATIENCE: Duration = Duration::from_secs(60);

struct World {
    address: SocketAddr,
    identity: Arc<IdentityKeyPair>,
    server: Arc<Server>,
    packets: mpsc::Receiver<ForwardRequest>,
    control: PhaseControl,
    phase: PhaseSignal,
    task: tokio::task::JoinHandle<()>,
    _dir: tempfile::TempDir,
}

impl World {
    async fn new(times: ServerTimes) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("s"), &[7; 32], StoreBounds::default()).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (control, phase) = phases();
        let (packets, packets_end) = mpsc::channel(10);
        let identity = Arc::new(IdentityKeyPair::generate().unwrap());
        let server = Arc::new(Server {
            identity: Arc::clone(&identity),
            store: Arc::new(store),
            connected: Arc::default(),
            is_node: Arc::new(|address| address.port() == 1789),
            packets,
            limits: ConnectionLimits::new(10, 10),
            times,
            counters: ServerCounters::default(),
            now: || 1_800_000_000,
        });
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(serve(Arc::clone(&server), listener, None, phase.clone()));
        Self { address, identity, server, packets: packets_end, control, phase, task, _dir: dir }
    }

    /// Serves TLS as well, at the returned address.
    async fn serve_tls(&self) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let acceptor = Tls::derived(&self.identity).unwrap().acceptor();
        tokio::spawn(serve(Arc::clone(&self.server), listener, Some(acceptor), self.phase.clone()));
        address
    }

    async fn connect(&self) -> Peer {
        Peer(connect_async(format!("ws://{}/any/path", self.address)).await.unwrap().0)
    }

    async fn registered(&self) -> (IdentityKeyPair, SharedKey, Peer) {
        let (client, mut peer) = (IdentityKeyPair::generate().unwrap(), self.connect().await);
        let (state, first) = ClientHandshake::begin(&client, *self.identity.public(), &mut rand::rng());
        let GatewayText::HandshakePayload { data } = peer.ask_payload(&first).await else { panic!() };
        let (state, third) = state.answer(&data).unwrap();
        let GatewayText::HandshakePayload { data } = peer.ask_payload(&third).await else { panic!() };
        let key = state.finish(&data).unwrap();
        assert_eq!(peer.text().await, GatewayText::Register { status: true });
        (client, key, peer)
    }

    async fn authenticated(&self, client: &IdentityKeyPair, key: &SharedKey) -> Peer {
        let mut peer = self.connect().await;
        let proof = Authentication::new(*client.public(), key, &mut rand::rng()).to_text();
        assert_eq!(peer.ask(&proof).await, GatewayText::Authenticate { status: true });
        peer
    }

    async fn until(&self, condition: impl Fn() -> bool) {
        let polled = async {
            while !condition() {
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(PATIENCE, polled).await.unwrap();
    }

    async fn until_absent(&self) {
        self.until(|| self.server.connected.count() == 0).await;
    }

    fn message(client: &IdentityKeyPair, fill: u8) -> Message {
        Message { client: *client.public(), content: vec![fill; 40] }
    }
}

struct Peer(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Peer {
    fn into_stream(self) -> TcpStream {
        match self.0.into_inner() {
            MaybeTlsStream::Plain(stream) => stream,
            _ => unreachable!("no TLS"),
        }
    }

    async fn send(&mut self, text: &ClientText) {
        self.0.send(Frame::Text(text.to_json().into())).await.unwrap();
    }

    async fn ask(&mut self, text: &ClientText) -> GatewayText {
        self.send(text).await;
        self.text().await
    }

    async fn ask_payload(&mut self, data: &[u8]) -> GatewayText {
        self.ask(&ClientText::HandshakePayload { data: data.to_vec() }).await
    }

    /// The next text or binary message. Reading answers pings.
    async fn next(&mut self) -> Option<Frame> {
        loop {
            match timeout(PATIENCE, self.0.next()).await.unwrap() {
                Some(Ok(Frame::Ping(_) | Frame::Pong(_))) => {}
                Some(Ok(frame @ (Frame::Text(_) | Frame::Binary(_)))) => return Some(frame),
                _ => return None,
            }
        }
    }

    async fn text(&mut self) -> GatewayText {
        let Some(Frame::Text(text)) = self.next().await else { panic!("no text") };
        GatewayText::parse(&text).unwrap()
    }

    async fn binary(&mut self, key: &SharedKey) -> Vec<u8> {
        let Some(Frame::Binary(message)) = self.next().await else { panic!("no binary message") };
        key.open(&message).unwrap()
    }
}

#[tokio::test]
async fn a_client_registers_and_its_packets_leave() {
    let mut world = World::new(ServerTimes::default()).await;
    let (_, key, mut peer) = world.registered().await;
    let request = ForwardRequest { mode: Mode::Mix, next_hop: ([192, 0, 2, 1], 1789).into(), packet: vec![5; 2413] };
    peer.0.send(Frame::Binary(key.seal(&request.encode()).into())).await.unwrap();
    assert_eq!(peer.text().await, GatewayText::Send { status: true });
    assert_eq!(world.packets.recv().await, Some(request));
}

#[tokio::test]
async fn stored_messages_come_after_the_answer_and_leave_once_they_are_confirmed() {
    let world = World::new(ServerTimes::default()).await;
    let (client, key, peer) = world.registered().await;
    drop(peer);
    world.until_absent().await;
    let messages: Vec<_> = (0..200).map(|fill| World::message(&client, fill)).collect();
    world.server.store.append(&messages, 0).await.unwrap();
    let mut peer = world.authenticated(&client, &key).await;
    for fill in 0..200 {
        assert_eq!(peer.binary(&key).await, [fill; 40]);
    }
    // The client reads on, and so answers the ping.
    let reading = tokio::spawn(async move { peer.next().await });
    world.until(|| world.server.store.messages() == 0).await;
    reading.abort();
}

#[tokio::test]
async fn messages_that_a_client_has_not_confirmed_are_kept() {
    let world = World::new(ServerTimes::default()).await;
    let (client, key, peer) = world.registered().await;
    // Live messages for a client that does not read, and then breaks off.
    for fill in 0..5 {
        world.server.connected.push(World::message(&client, fill)).unwrap();
    }
    drop(peer);
    world.until_absent().await;
    world.until(|| world.server.store.messages() == 5).await;
    let mut peer = world.authenticated(&client, &key).await;
    for fill in 0..5 {
        assert_eq!(peer.binary(&key).await, [fill; 40]);
    }
}

#[tokio::test]
async fn a_second_connection_is_refused_until_the_first_has_ended() {
    let world = World::new(ServerTimes::default()).await;
    let (client, key, first) = world.registered().await;
    let mut second = world.connect().await;
    let proof = Authentication::new(*client.public(), &key, &mut rand::rng()).to_text();
    let message = "Authentication failure - duplicate connection detected".to_owned();
    assert_eq!(second.ask(&proof).await, GatewayText::Error { message });
    drop(first);
    world.until_absent().await;
    assert_eq!(second.ask(&proof).await, GatewayText::Authenticate { status: true });
}

#[tokio::test]
async fn a_client_that_answers_no_ping_makes_room_for_its_next_connection() {
    let short = Duration::from_millis(50);
    let world = World::new(ServerTimes { idle: short, answer: short, ..ServerTimes::default() }).await;
    let (client, key, _silent) = world.registered().await;
    world.until_absent().await;
    world.authenticated(&client, &key).await;
}

#[tokio::test]
async fn a_connection_without_authentication_ends() {
    let authenticate = Duration::from_millis(50);
    let world = World::new(ServerTimes { authenticate, ..ServerTimes::default() }).await;
    let mut peer = world.connect().await;
    assert_eq!(peer.next().await, None);
}

#[tokio::test]
async fn tls_handshakes_that_do_not_go_on_end_and_free_their_places() {
    let open = Duration::from_millis(50);
    let world = World::new(ServerTimes { open, ..ServerTimes::default() }).await;
    let tls = world.serve_tls().await;
    let mut held = Vec::new();
    // Nothing, and the beginning of a TLS record, as far as the limit allows.
    for number in 0..10 {
        let mut stream = TcpStream::connect(tls).await.unwrap();
        if number % 2 == 0 {
            stream.write_all(&[0x16, 3, 1, 2, 0]).await.unwrap();
        }
        held.push(stream);
    }
    world.until(|| world.server.counters.accepted() == 10).await;
    world.until(|| world.server.limits.open() == 0).await;
    // Also after a handshake, the WebSocket must open.
    let key = Tls::derived(&world.identity).unwrap().acceptor().key_hash().unwrap();
    let mut stream = loop {
        // On a busy machine a handshake may take longer than it may.
        let stream = TcpStream::connect(tls).await.unwrap();
        if let Ok(stream) = nym_mixnode_tls::client::connect(stream, "127.0.0.1", key).await {
            break stream;
        }
    };
    timeout(PATIENCE, stream.read_to_end(&mut Vec::new())).await.unwrap().ok();
    world.until(|| world.server.limits.open() == 0).await;
}

/// A connection from another address than that of the other clients, which sends nothing.
async fn silent(server: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.9:0".parse().unwrap()).unwrap();
    socket.connect(server).await.unwrap()
}

#[tokio::test]
async fn connections_that_do_not_authenticate_give_way_and_clients_stay() {
    let world = World::new(ServerTimes::default()).await;
    let tls = world.serve_tls().await;
    let (client, key, mut peer) = world.registered().await;
    // One address takes all other places, in each state before the authentication.
    let mut held = Vec::new();
    for number in 0..9 {
        let mut stream = silent(if number % 3 == 0 { world.address } else { tls }).await;
        if number % 3 == 1 {
            stream.write_all(&[0x16, 3, 1, 2, 0]).await.unwrap();
        }
        held.push(stream);
    }
    world.until(|| world.server.limits.open() == 10).await;
    for _ in 0..3 {
        let (_, _, other) = world.registered().await;
        held.push(other.into_stream());
    }
    assert_eq!(world.server.limits.open(), 10);
    assert_eq!(world.server.limits.reached().total, 3);
    world.server.connected.push(World::message(&client, 7)).unwrap();
    assert_eq!(peer.binary(&key).await, [7; 40], "a client that has authenticated");
}

#[tokio::test]
async fn what_is_not_tls_ends_its_connection_only() {
    let world = World::new(ServerTimes::default()).await;
    let tls = world.serve_tls().await;
    let mut stream = TcpStream::connect(tls).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nUpgrade: websocket\r\n\r\n").await.unwrap();
    let mut rest = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut rest)).await.unwrap().ok();
    assert!(!rest.starts_with(b"HTTP"));
    world.registered().await;
}

#[tokio::test]
async fn a_message_that_is_too_long_ends_its_connection_only() {
    let world = World::new(ServerTimes::default()).await;
    let (_, _, mut other) = world.registered().await;
    let mut peer = world.connect().await;
    peer.0.send(Frame::Binary(vec![0; 100_000].into())).await.ok();
    assert_eq!(peer.next().await, None);
    assert!(matches!(other.ask_payload(&[0]).await, GatewayText::Error { .. }));
}

#[tokio::test]
async fn a_gateway_that_drains_keeps_what_is_not_delivered() {
    let world = World::new(ServerTimes::default()).await;
    let (client, _, _peer) = world.registered().await;
    for fill in 0..3 {
        world.server.connected.push(World::message(&client, fill)).unwrap();
    }
    world.control.enter(Phase::Draining);
    timeout(PATIENCE, world.task).await.unwrap().unwrap();
    assert_eq!(world.server.store.messages(), 3);
}
