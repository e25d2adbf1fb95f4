//! Messages between clients of two gateways through three mixes, all on real sockets.

mod on_the_wire;

use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::Arc;

use nym_mixnode_api::Topology;
use nym_mixnode_api::testing::{gateway, listed, mix};
use nym_mixnode_gateway::run::{Gateway, Settings as GatewaySettings};
use nym_mixnode_keys::{IdentityKeyPair, KeyGenerationError, SecretKey, SphinxKeyPair};
use nym_mixnode_message::ack::AckKey;
use nym_mixnode_mix::{NextHops, ReplayWindow, Rule};
use nym_mixnode_sphinx::{Engine, EngineKind, Outcome, UnwrapError, public_key};
use nym_mixnode_tls::Tls;
use nym_mixnode_wire::{Deadlines, FrameDecoder};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::*;
use crate::connection::register;
use crate::core::{ClientKeys, Settings};
use crate::endpoint::Endpoint;

const PATIENCE: Duration = Duration::from_secs(60);
const NOW: u64 = 1_800_000_000;

/// A mix that keeps the delays.
async fn start_mix(key: [u8; 32]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(mix_stream(stream, key));
        }
    });
    address
}

async fn mix_stream(mut stream: TcpStream, key: [u8; 32]) {
    let (mut decoder, mut buffer) = (FrameDecoder::default(), vec![0; 1 << 16]);
    while let Ok(len) = stream.read(&mut buffer).await
        && len > 0
    {
        let mut frames = Vec::new();
        decoder.feed(&buffer[..len], |_, frame| frames.push(frame.to_vec())).unwrap();
        for mut frame in frames {
            let mut outcomes = Vec::new();
            let mut batch = [&mut frame[2..]];
            Engine::new(key).unwrap_batch(&mut batch, &mut outcomes, |_| Ok::<_, UnwrapError>(()));
            let Outcome::Forward { next_hop, delay } = outcomes[0] else { panic!("{:?}", outcomes[0]) };
            tokio::spawn(async move {
                sleep(delay).await;
                TcpStream::connect(next_hop).await.unwrap().write_all(&frame).await.unwrap();
            });
        }
    }
}

fn secret(bytes: [u8; 32]) -> SecretKey {
    SecretKey::written_by(|key| {
        *key = bytes;
        Ok::<_, KeyGenerationError>(())
    })
    .unwrap()
}

struct World {
    topology: Topology,
    hops: NextHops,
    gateways: Vec<Gateway>,
    homes: Vec<GatewayHome>,
    dir: tempfile::TempDir,
}

/// What a gateway keeps when it is restarted.
struct GatewayHome {
    identity: Arc<IdentityKeyPair>,
    key: [u8; 32],
    mixes: StdListener,
    clients: StdListener,
}

impl World {
    async fn new(gateways: u8) -> Self {
        let mut world = Self {
            topology: Topology::default(),
            hops: NextHops::default(),
            gateways: Vec::new(),
            homes: Vec::new(),
            dir: tempfile::tempdir().unwrap(),
        };
        for layer in 1..=3_u8 {
            let identity = bs58::encode(IdentityKeyPair::generate().unwrap().public()).into_string();
            let mut mix = mix(identity, start_mix([layer; 32]).await.to_string());
            mix.layer = layer.into();
            mix.sphinx_key = bs58::encode(public_key(&[layer; 32])).into_string();
            world.topology.mix_nodes.push(listed(mix));
        }
        for number in 0..gateways {
            world.start_gateway([100 + number; 32]).await;
        }
        for address in world.topology.announced_addresses() {
            world.hops.add(address, "0.9.2");
        }
        for gateway in &world.gateways {
            gateway.set_topology(world.hops.clone());
        }
        world
    }

    async fn start_gateway(&mut self, key: [u8; 32]) {
        let identity = Arc::new(IdentityKeyPair::generate().unwrap());
        let listener = || {
            let listener = StdListener::bind("127.0.0.1:0").unwrap();
            listener.set_nonblocking(true).unwrap();
            listener
        };
        let (mixes, clients) = (listener(), listener());
        let base58 = |key: &[u8; 32]| bs58::encode(key).into_string();
        let mut registration = gateway(base58(identity.public()), mixes.local_addr().unwrap().to_string());
        registration.clients_host = format!("ws://{}", clients.local_addr().unwrap());
        registration.sphinx_key = base58(&public_key(&key));
        let mut entry = serde_json::to_value(&registration).unwrap();
        entry["registrationTime"] = 0.into();
        entry["reputation"] = 0.into();
        self.topology.gateways.push(serde_json::from_value(entry).unwrap());
        let home = GatewayHome { identity, key, mixes, clients };
        self.gateways.push(self.run(&home).await);
        self.homes.push(home);
    }

    async fn run(&self, home: &GatewayHome) -> Gateway {
        let settings = GatewaySettings {
            identity: Arc::clone(&home.identity),
            sphinx: secret(home.key),
            engine: EngineKind::PORTABLE,
            store: self.dir.path().join(format!("{}.sqlite", home.key[0])),
            bounds: nym_mixnode_gateway::store::StoreBounds::default(),
            replay: ReplayWindow { length: Duration::from_secs(600), expected_rate: 100 },
            deadlines: Deadlines { frame: PATIENCE, idle: PATIENCE },
            mix_connections: (10_000, 10_000),
            client_connections: (100, 100),
            times: nym_mixnode_gateway::server::ServerTimes::default(),
            outbound: nym_mixnode_gateway::mixing::OutboundSettings::default(),
            rule: Rule::Topology,
            now: || NOW,
        };
        let listener = |listener: &StdListener| vec![listener.try_clone().unwrap()];
        Gateway::start(settings, listener(&home.mixes), listener(&home.clients)).await.unwrap()
    }

    async fn restart(&mut self, index: usize) {
        self.gateways.remove(index).stop(PATIENCE).await;
        let gateway = self.run(&self.homes[index]).await;
        gateway.set_topology(self.hops.clone());
        self.gateways.insert(index, gateway);
    }

    /// Registers a client at the gateway with this index.
    async fn client(&self, gateway: usize) -> Home {
        let endpoint = Endpoint::plain(self.topology.gateways[gateway].registration.clients_host.clone());
        self.client_at(gateway, endpoint).await.unwrap()
    }

    /// The same, over this endpoint of it.
    async fn client_at(&self, gateway: usize, endpoint: Endpoint) -> Result<Home, ConnectError> {
        let registration = &self.topology.gateways[gateway].registration;
        let gateway = bs58::decode(&registration.identity_key).into_vec().unwrap().try_into().unwrap();
        let identity = IdentityKeyPair::generate().unwrap();
        let (_, key) = register(&endpoint, &identity, gateway).await?;
        let encryption = SphinxKeyPair::generate().unwrap();
        let address = ClientAddress::new(*identity.public(), *encryption.public(), gateway).unwrap();
        let ack = *AckKey::generate(&mut rand::rng()).to_bytes();
        Ok(Home { endpoint, key, address, encryption: *encryption.private(), ack })
    }

    /// Lets a gateway serve TLS as well, with the certificate of this identity.
    fn serve_tls(&mut self, gateway: usize, identity: &IdentityKeyPair) -> Endpoint {
        let acceptor = Tls::derived(identity).unwrap().acceptor();
        let listener = StdListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let endpoint = Endpoint::tls(format!("wss://{}", listener.local_addr().unwrap()), acceptor.key_hash().unwrap());
        self.gateways[gateway].serve_tls(vec![listener], &acceptor).unwrap();
        endpoint
    }

    async fn until_absent(&self) {
        let absent = async {
            while self.gateways.iter().any(|gateway| gateway.connected() > 0) {
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(PATIENCE, absent).await.unwrap();
    }
}

/// A registered client, which can be started several times.
struct Home {
    endpoint: Endpoint,
    key: SharedKey,
    address: ClientAddress,
    encryption: [u8; 32],
    ack: [u8; 16],
}

struct Running {
    commands: mpsc::Sender<Command>,
    notices: mpsc::Receiver<Notice>,
    task: JoinHandle<()>,
}

impl Home {
    fn start(&self, world: &World) -> Running {
        let keys = ClientKeys {
            address: self.address,
            encryption: SphinxKeyPair::from_private(&self.encryption).unwrap(),
            ack: AckKey::from_bytes(&self.ack),
        };
        let delay = Duration::from_millis(1);
        let mut core = Core::new(keys, Settings { packet_delay: delay, ack_delay: delay, ..Settings::default() });
        core.set_network(Network::of(&world.topology));
        let access = Access::new([0; 32], self.endpoint.clone(), true);
        let account = Account { access, identity: *self.address.identity(), key: self.key.clone() };
        let rates = Rates { sending: Duration::from_millis(10), cover: Duration::from_millis(100) };
        let ((commands, commands_end), (notices_end, notices)) = (mpsc::channel(10), mpsc::channel(10));
        let task = tokio::spawn(Daemon::new(core, account, rates).run(commands_end, notices_end));
        Running { commands, notices, task }
    }
}

impl Running {
    async fn send(&self, recipient: ClientAddress, data: Vec<u8>, with_reply_block: bool) -> MessageId {
        let (queued, answer) = oneshot::channel();
        self.commands.send(Command::Send { recipient, data, with_reply_block, queued }).await.ok().unwrap();
        answer.await.unwrap().unwrap()
    }

    /// The next notice about messages.
    async fn notice(&mut self) -> Notice {
        loop {
            match timeout(PATIENCE, self.notices.recv()).await.unwrap().unwrap() {
                Notice::Connected | Notice::NotConnected(_) => {}
                notice => return notice,
            }
        }
    }

    async fn stop(self) {
        drop(self.commands);
        timeout(PATIENCE, self.task).await.unwrap().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_and_its_reply_cross_two_gateways() {
    let world = World::new(2).await;
    let (alice, bob) = (world.client(0).await, world.client(1).await);
    let (mut running_alice, mut running_bob) = (alice.start(&world), bob.start(&world));
    let data: Vec<u8> = (0..20_000_u32).map(|n| n.to_le_bytes()[0]).collect();
    let id = running_alice.send(bob.address, data.clone(), true).await;
    let Notice::Received(content) = running_bob.notice().await else { panic!() };
    assert!(content.data == data);
    assert!(matches!(running_alice.notice().await, Notice::Acknowledged(acknowledged) if acknowledged == id));
    let (queued, answer) = oneshot::channel();
    let block = Box::new(content.reply_block.unwrap());
    let reply = Command::Reply { block, data: b"thank you".to_vec(), queued };
    running_bob.commands.send(reply).await.ok().unwrap();
    answer.await.unwrap().unwrap();
    assert!(matches!(running_alice.notice().await, Notice::ReceivedReply(data) if data == b"thank you"));
    running_alice.stop().await;
    running_bob.stop().await;
    for gateway in world.gateways {
        assert_eq!(gateway.mixing().dropped(), [0; 4]);
        gateway.stop(PATIENCE).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_cross_a_gateway_between_clients_with_and_without_tls() {
    let mut world = World::new(1).await;
    let identity = Arc::clone(&world.homes[0].identity);
    let endpoint = world.serve_tls(0, &identity);
    let (alice, bob) = (world.client_at(0, endpoint).await.unwrap(), world.client(0).await);
    let (mut running_alice, mut running_bob) = (alice.start(&world), bob.start(&world));
    let data: Vec<u8> = (0..20_000_u32).map(|n| n.to_le_bytes()[0]).collect();
    running_alice.send(bob.address, data.clone(), false).await;
    let Notice::Received(content) = running_bob.notice().await else { panic!() };
    assert!(content.data == data);
    assert!(matches!(running_alice.notice().await, Notice::Acknowledged(_)));
    let id = running_bob.send(alice.address, data.clone(), false).await;
    let Notice::Received(content) = running_alice.notice().await else { panic!() };
    assert!(content.data == data);
    assert!(matches!(running_bob.notice().await, Notice::Acknowledged(acknowledged) if acknowledged == id));
    running_alice.stop().await;
    running_bob.stop().await;
}

#[tokio::test]
async fn a_gateway_with_another_tls_key_or_without_tls_is_refused() {
    let mut world = World::new(1).await;
    let endpoint = world.serve_tls(0, &IdentityKeyPair::generate().unwrap());
    let expected = Tls::derived(&world.homes[0].identity).unwrap().acceptor().key_hash().unwrap();
    let pinned = Endpoint::tls(endpoint.url(), expected);
    let refused = world.client_at(0, pinned).await.err().unwrap();
    assert!(matches!(&refused, ConnectError::OtherKey(url) if url == endpoint.url()), "{refused}");
    // The port for clients without TLS, and URLs that do not fit.
    let plain = world.homes[0].clients.local_addr().unwrap();
    for wrong in [
        Endpoint::tls(format!("wss://{plain}"), expected),
        Endpoint::tls(format!("ws://{plain}"), expected),
        Endpoint::plain(endpoint.url()),
        Endpoint::plain("here"),
    ] {
        let refused = world.client_at(0, wrong.clone()).await.err().unwrap();
        assert!(matches!(refused, ConnectError::Socket { .. }), "{wrong}: {refused}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_for_an_absent_client_waits_at_its_gateway() {
    let world = World::new(1).await;
    let (alice, bob) = (world.client(0).await, world.client(0).await);
    let mut running_alice = alice.start(&world);
    let id = running_alice.send(bob.address, b"later".to_vec(), false).await;
    assert!(matches!(running_alice.notice().await, Notice::Acknowledged(acknowledged) if acknowledged == id));
    running_alice.stop().await;
    world.until_absent().await;
    let mut running_bob = bob.start(&world);
    let Notice::Received(content) = running_bob.notice().await else { panic!() };
    assert_eq!(content.data, b"later");
    running_bob.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_survives_the_restart_of_its_gateway() {
    let mut world = World::new(1).await;
    let (alice, bob) = (world.client(0).await, world.client(0).await);
    let (mut running_alice, mut running_bob) = (alice.start(&world), bob.start(&world));
    let data: Vec<u8> = (0..20_000_u32).map(|n| n.to_le_bytes()[0]).collect();
    let id = running_alice.send(bob.address, data.clone(), false).await;
    // Some packets are on their way, others wait for their turn.
    sleep(Duration::from_millis(50)).await;
    world.restart(0).await;
    let Notice::Received(content) = running_bob.notice().await else { panic!() };
    assert!(content.data == data);
    assert!(matches!(running_alice.notice().await, Notice::Acknowledged(acknowledged) if acknowledged == id));
    running_alice.stop().await;
    running_bob.stop().await;
}

#[tokio::test]
async fn the_times_between_packets_have_the_mean_of_their_process() {
    let start = Instant::now();
    let mut process = Process::new(Duration::from_millis(10), start, StdRng::from_rng(&mut rand::rng()));
    for _ in 0..10_000 {
        process.advance(start);
    }
    let total = process.next - start;
    // Ten standard deviations.
    assert!(total > Duration::from_secs(90) && total < Duration::from_secs(110), "{total:?}");
    process.advance(start + Duration::from_secs(1000));
    assert!(process.next > start + Duration::from_secs(1000));
}
