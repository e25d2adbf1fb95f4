//! What an observer of the link to the gateway sees, and a reader of the log: the same whatever a client does.
//!
//! The clock is virtual and moves in steps. After each one, exactly those packets have left that the two processes of
//! the times of packets ask for.

use std::ops::AddAssign;

use futures_util::{SinkExt, StreamExt};
use nym_mixnode_message::content::Content;
use nym_mixnode_message::fragment::Fragments;
use nym_mixnode_message::gateway::GatewayText;
use nym_mixnode_message::sealed::Sealed;
use nym_mixnode_telemetry::log::Captured;
use tokio::time::{Instant as Virtual, advance};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message as Frame;

use super::*;
use crate::endpoint::Endpoint;
use crate::network::tests::topology;

const KEY: [u8; 32] = [7; 32];
const RATES: Rates = Rates { sending: Duration::from_millis(10), cover: Duration::from_millis(40) };
const STEP: Duration = Duration::from_millis(5);
/// Of the times of packets.
const SEED: u64 = 6;
/// Two seconds, and one step more, in which the answer of the last cycle surely comes.
const STEPS: u32 = 401;
/// Steps between messages of the gateway: two ticks of the client.
const CYCLE: u32 = 20;
/// The step of each cycle after which a message comes, with a ping. Not at a tick.
const PUSHED_AFTER: u32 = 5;
/// Longer than a world. It passes at once when the clock is let go.
const NEVER: Duration = Duration::from_hours(1);
/// tokio's timers round up to a millisecond.
const ROUNDING: Duration = Duration::from_millis(1);

/// What a client does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Doing {
    Nothing,
    /// Sends a message of many packets, which are never acknowledged and so sent again.
    Sending,
    /// Receives messages, and answers them.
    Receiving,
    /// Is asked for messages that cannot be sent.
    Failing,
}

/// The frames of a client: kind and length of each, in order.
#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    packets: Vec<usize>,
    pongs: Vec<usize>,
}

impl AddAssign<Frame> for Seen {
    fn add_assign(&mut self, frame: Frame) {
        match frame {
            Frame::Binary(message) => self.packets.push(message.len()),
            Frame::Pong(content) => self.pongs.push(content.len()),
            other => panic!("a client sends no such frame: {other:?}"),
        }
    }
}

/// The gateway's end of the connection.
struct Observer {
    socket: WebSocketStream<TcpStream>,
    seen: Seen,
}

impl Observer {
    async fn accept(listener: &TcpListener) -> Self {
        let mut socket = tokio_tungstenite::accept_async(listener.accept().await.unwrap().0).await.unwrap();
        assert!(matches!(socket.next().await, Some(Ok(Frame::Text(_)))), "the authentication");
        let accepted = GatewayText::Authenticate { status: true }.to_json();
        socket.send(Frame::Text(accepted.into())).await.unwrap();
        Self { socket, seen: Seen::default() }
    }

    /// Waits for the frames that must have been sent by now, and checks that no others were.
    async fn see(&mut self, packets: (usize, usize), pongs: (usize, usize)) {
        while self.seen.packets.len() < packets.0 || self.seen.pongs.len() < pongs.0 {
            let Ok(frame) = timeout(NEVER, self.socket.next()).await else {
                panic!("{packets:?} packets and {pongs:?} pongs: {:?}", self.seen)
            };
            self.seen += frame.unwrap().unwrap();
        }
        let seen = (self.seen.packets.len(), self.seen.pongs.len());
        assert!(seen.0 <= packets.1 && seen.1 <= pongs.1, "{seen:?} of {packets:?} and {pongs:?} came early");
    }

    async fn push(&mut self, message: &[u8]) {
        let sealed = SharedKey::from_bytes(&KEY).seal(message);
        self.socket.send(Frame::Binary(sealed.into())).await.unwrap();
        self.socket.send(Frame::Ping(vec![1; 8].into())).await.unwrap();
    }
}

/// Numbers of packets whose times have surely come, and may have come.
fn due(processes: &mut [Process; 2], count: &mut usize, now: Instant) -> (usize, usize) {
    let mut until = |limit: Instant| {
        for process in &mut *processes {
            while process.next <= limit {
                process.advance(process.next);
                *count += 1;
            }
        }
        *count
    };
    (until(now - ROUNDING), until(now))
}

/// Numbers of pongs that must have come, and may have come: an empty one at once, and the answer at the second tick.
fn pongs(step: u32) -> (usize, usize) {
    let cycles = 2 * (step / CYCLE) as usize;
    match step % CYCLE {
        0 => (cycles.saturating_sub(1), cycles),
        1..=PUSHED_AFTER => (cycles, cycles),
        _ => (cycles + 1, cycles + 1),
    }
}

/// A client, its gateway, and its application.
struct Link {
    network: Network,
    own: ClientAddress,
    commands: mpsc::Sender<Command>,
    notices: mpsc::Receiver<Notice>,
    observer: Observer,
    received: usize,
}

impl Link {
    /// Also returns the two processes of the client.
    async fn start() -> (Self, [Process; 2]) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let [identity, gateway] = [(); 2].map(|()| *IdentityKeyPair::generate().unwrap().public());
        let mut topology = topology();
        topology.gateways[0].registration.identity_key = bs58::encode(gateway).into_string();
        let network = Network::of(&topology);
        let encryption = SphinxKeyPair::generate().unwrap();
        let own = ClientAddress::new(identity, *encryption.public(), gateway).unwrap();
        let keys = ClientKeys { address: own, encryption, ack: AckKey::from_bytes(&[1; 16]) };
        let ack_wait_addition = Duration::from_millis(200);
        let mut core = Core::new(keys, Settings { ack_wait_addition, ..Settings::default() });
        core.set_network(network.clone());
        let endpoint = Endpoint::plain(format!("ws://{}", listener.local_addr().unwrap()));
        let access = Access::new(gateway, endpoint, false);
        let mut daemon = Daemon::new(core, Account { access, identity, key: SharedKey::from_bytes(&KEY) }, RATES);
        daemon.times = StdRng::seed_from_u64(SEED);
        let mut times = StdRng::seed_from_u64(SEED);
        let ((commands, commands_end), (notices_end, mut notices)) = (mpsc::channel(10), mpsc::channel(1000));
        tokio::spawn(daemon.run(commands_end, notices_end));
        let observer = Observer::accept(&listener).await;
        assert!(matches!(notices.recv().await, Some(Notice::Connected)));
        let now = Virtual::now().into_std();
        let processes = [RATES.sending, RATES.cover].map(|mean| Process::new(mean, now, StdRng::from_rng(&mut times)));
        (Self { network, own, commands, notices, observer, received: 0 }, processes)
    }

    async fn send(&self, recipient: ClientAddress, len: usize) -> Result<MessageId, SendError> {
        let (queued, answer) = oneshot::channel();
        let command = Command::Send { recipient, data: vec![7; len], with_reply_block: true, queued };
        self.commands.send(command).await.ok().unwrap();
        answer.await.unwrap()
    }

    async fn act(&mut self, doing: Doing, step: u32) {
        match doing {
            Doing::Sending if step == 1 => {
                self.send(self.own, 100_000).await.unwrap();
            }
            Doing::Failing => {
                // Its gateway is in no topology.
                let (identity, key) = (*self.own.identity(), *self.own.encryption_key());
                let stranger = ClientAddress::new(identity, key, identity).unwrap();
                assert!(self.send(stranger, 1000).await.is_err());
            }
            Doing::Nothing | Doing::Sending | Doing::Receiving => {}
        }
        if step % CYCLE == PUSHED_AFTER {
            self.observer.push(&self.message(doing == Doing::Receiving)).await;
            self.observer.see((0, usize::MAX), pongs(step + 1)).await;
        }
        while let Ok(notice) = self.notices.try_recv() {
            let Notice::Received(content) = notice else { panic!("{notice:?}") };
            self.received += 1;
            let (queued, answer) = oneshot::channel();
            let block = Box::new(content.reply_block.unwrap());
            self.commands.send(Command::Reply { block, data: vec![8; 100], queued }).await.ok().unwrap();
            answer.await.unwrap().unwrap();
        }
    }

    /// A message that can be answered, or cover.
    fn message(&self, is_real: bool) -> Vec<u8> {
        let (key, mut rng) = (self.own.encryption_key(), rand::rng());
        if !is_real {
            return Sealed::cover(key, &mut rng).unwrap().to_bytes();
        }
        let route = self.network.route(self.own.gateway(), &mut rng).unwrap();
        let block = ReplyBlock::build(&route, &[Duration::ZERO; 3], self.own.identity(), &mut rng).unwrap();
        let fragments = Fragments::of(Content { data: vec![9; 100], reply_block: Some(block) }, &mut rng);
        assert_eq!(fragments.count(), 1);
        Sealed::fragment(&fragments.get(0).unwrap(), key, &mut rng).unwrap().to_bytes()
    }
}

/// Frames, messages that the application got, and log.
async fn play(doing: Doing) -> (Seen, usize, Vec<String>) {
    let log = Captured::default();
    let _logging = tracing::subscriber::set_default(log.subscriber());
    // While a blocking task runs, the clock moves only in the steps of the test.
    let (release, stopped) = std::sync::mpsc::channel::<()>();
    let clock = tokio::task::spawn_blocking(move || stopped.recv_timeout(PATIENCE).ok());
    let (mut link, mut processes) = Link::start().await;
    let mut count = 0;
    for step in 1..=STEPS {
        advance(STEP).await;
        let packets = due(&mut processes, &mut count, Virtual::now().into_std());
        link.observer.see(packets, pongs(step)).await;
        link.act(doing, step).await;
    }
    drop(release);
    clock.await.unwrap();
    let lines = log.take().into_iter().map(|(_, line)| line).collect();
    (link.observer.seen, link.received, lines)
}

#[tokio::test(start_paused = true)]
async fn the_wire_and_the_log_are_the_same_whatever_a_client_does() {
    let (idle, _, log) = play(Doing::Nothing).await;
    assert!(idle.packets.len() > 150 && log.len() == 1, "{} packets: {log:?}", idle.packets.len());
    let len = idle.packets[0];
    for doing in [Doing::Nothing, Doing::Sending, Doing::Receiving, Doing::Failing] {
        let (seen, received, lines) = play(doing).await;
        assert!(seen.packets.iter().all(|packet| *packet == len), "{doing:?}: {seen:?}");
        assert_eq!((seen.pongs, lines), (idle.pongs.clone(), log.clone()), "{doing:?}");
        assert_eq!(received > 15, doing == Doing::Receiving, "{received}");
    }
}
