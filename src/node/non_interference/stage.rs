//! Runs a node without sockets on a virtual clock, and collects all its output.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use nym_mixnode_address::Announcing;
use nym_mixnode_config::{Config, Source, Values, settings};
use nym_mixnode_directory::{Heartbeat, HeartbeatSettings};
use nym_mixnode_keys::{IdentityKeyPair, NodeKeys, SphinxKeyPair};
use nym_mixnode_link::Alarm;
use nym_mixnode_link::listener::{ConnectionLimits, Intake};
use nym_mixnode_link::shutdown::phases;
use nym_mixnode_mix::{Policy, Scheduled};
use nym_mixnode_net::Reach;
use nym_mixnode_sphinx::{Engine, EngineKind, UnwrapError};
use nym_mixnode_telemetry::http;
use nym_mixnode_telemetry::log::Captured;
use nym_mixnode_telemetry::otel::{self, Capture};
use nym_mixnode_telemetry::window::{Sample, WINDOW};
use tokio::runtime::Builder;
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{Instant, sleep_until};
use tracing::subscriber::DefaultGuard;

use super::super::operator::{Reports, end_last_window, keep_windows};
use super::super::state::Shared;
use super::super::traced_directory::TracedDirectory;
use super::super::view::View;
use super::super::worker::WorkerChannels;
use super::super::{key_ring, registration, worker_settings};
use super::directory::Notebook;
use super::exported;
use super::recorded::{ASKED_EVERY_SECONDS, Output, ask_all};
use super::world::{END, Fate, World, next_hops, place_of};

const WORKERS: usize = 2;
/// Wall-clock time of the start, where a window begins.
const BEGINNING: Duration = Duration::from_secs(1_588_694_460);
/// Never coincides with the end of a window or with a request: their order would be random, and visible in the age.
const TOPOLOGY_REFRESH: Duration = Duration::from_secs(31);

/// A connection: its number, and its packets with arrival times in milliseconds.
#[derive(Clone)]
struct Connection {
    number: usize,
    packets: Vec<(u64, Vec<u8>)>,
}

/// The externally visible result of a run.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Time, next hop and size of all sent packets, in order.
    pub(super) wire: Vec<(u128, SocketAddr, usize)>,
    pub(super) output: Vec<Output>,
    /// Requests to collectors.
    pub(super) exported: Vec<otel::Captured>,
    /// Delays of the current window, by bucket.
    delays: BTreeMap<u128, u64>,
}

/// Leaks that the test must detect. The node does not know when a departing packet arrived: the test finds out with
/// the node's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Leak {
    None,
    /// A histogram of delays per window, with buckets of 10 ms.
    DelayHistogram,
    /// A span for each packet, with its delay.
    PerPacket,
}

/// State shared by all runs: the node's keys and settings, and the packets built so far.
pub(super) struct Stage {
    config: Config,
    keys: NodeKeys,
    made: HashMap<(usize, Fate), Vec<u8>>,
    log: Captured,
    _logging: DefaultGuard,
}

/// Arrival times in milliseconds, by the bytes of the departing packet.
type Arrivals = HashMap<Vec<u8>, u64>;

/// Recorder of departures and output during a run.
struct Notes {
    start: Instant,
    leak: Leak,
    /// Empty without a leak.
    arrivals: Arrivals,
    seen: RefCell<Seen>,
}

impl Stage {
    pub(super) fn new() -> Self {
        let mut values = Values::default();
        let mut set = |about, text: &str| values.set(about, text, &Source::Program);
        set(&settings::NODE_ID.about, "under-test");
        set(&settings::NODE_LAYER.about, "1");
        set(&settings::LISTEN_ADDRESSES.about, "192.0.2.99");
        set(&settings::ANNOUNCE_ALLOW_PRIVATE.about, "true");
        values.set_list(&settings::MIX_PACKET_SIZES.about, ["regular", "ack", "extended8"], &Source::Program);
        let identity = IdentityKeyPair::generate().unwrap();
        let log = Captured::default();
        Self {
            config: Config::from_values(&values).unwrap(),
            keys: NodeKeys {
                identity_public: identity.public_base58(),
                identity: Arc::new(identity),
                sphinx: SphinxKeyPair::generate().unwrap(),
            },
            made: HashMap::new(),
            _logging: tracing::subscriber::set_default(log.subscriber()),
            log,
        }
    }

    /// Runs a world in virtual time.
    pub(super) fn play(&mut self, world: &World, leak: Leak) -> Seen {
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let connection = |number| Connection { number, packets: self.packets(world, number) };
        let connections = (0..world.connections()).map(connection).collect();
        let arrivals = if leak == Leak::None { Arrivals::new() } else { self.arrivals(world) };
        runtime.block_on(self.run(connections, world.memory_bytes(), leak, arrivals))
    }

    /// Matches departures with arrivals by unwrapping each packet. The first of several copies is forwarded.
    fn arrivals(&self, world: &World) -> Arrivals {
        let mut engine = Engine::new(*self.keys.sphinx.private());
        let mut arrivals = Arrivals::new();
        for (number, arrival) in world.arrivals.iter().enumerate() {
            let mut packet = [self.made[&world.packet(number)].clone()];
            engine.unwrap_batch(&mut packet, &mut Vec::new(), |_| Ok::<_, UnwrapError>(()));
            let [packet] = packet;
            arrivals.entry(packet).or_insert(arrival.at_ms);
        }
        arrivals
    }

    /// The packets of a connection, with arrival times.
    fn packets(&mut self, world: &World, connection: usize) -> Vec<(u64, Vec<u8>)> {
        let key = *self.keys.sphinx.public();
        let numbers = world.of_connection(connection).into_iter();
        let frame = |number: usize| {
            let (original, fate) = world.packet(number);
            let packet =
                self.made.entry((original, fate)).or_insert_with(|| world.arrivals[original].packet(fate, key));
            (world.arrivals[number].at_ms, world.arrivals[number].frame(packet))
        };
        numbers.map(frame).collect()
    }

    async fn run(&self, connections: Vec<Connection>, memory: Option<usize>, leak: Leak, arrivals: Arrivals) -> Seen {
        let config = &self.config;
        let limits = ConnectionLimits::new(config.connections.total_max, config.connections.per_address_max);
        let policy = Policy::new(config.forward.policy);
        let keys = key_ring(config, &self.keys, EngineKind::fastest()).unwrap();
        let shared =
            Shared::new(WORKERS, memory.unwrap_or(config.mix.memory_bytes), limits, policy, Reach::Machine, keys);
        let (_control, phase) = phases();
        let (_, workers) = WorkerChannels::new(WORKERS).into_workers(|| worker_settings(config), &shared, &phase);
        let notes = Rc::new(Notes { start: Instant::now(), leak, arrivals, seen: RefCell::default() });
        let directory = Notebook::new(next_hops());
        let posts = Arc::clone(&directory.posts);
        let capture = Capture::default();
        let telemetry = capture.telemetry().unwrap();
        let directory = TracedDirectory::new(directory, telemetry.clone());
        let settings = HeartbeatSettings { topology_refresh: TOPOLOGY_REFRESH, ..HeartbeatSettings::default() };
        let heartbeat = Heartbeat::new(directory, registration(config, &self.keys), settings);
        let announcing = Arc::new(Announcing::new(config.announce.addresses.clone(), None));
        let view = Arc::new(View::new(config, &self.keys, &shared, heartbeat.state(), announcing, telemetry.clone()));

        let local = LocalSet::new();
        for worker in workers {
            let mine: Vec<_> = connections.iter().skip(worker.number).step_by(WORKERS).cloned().collect();
            let (shared, notes) = (Arc::clone(&shared), Rc::clone(&notes));
            local.spawn_local(async move {
                let release = |due: &mut dyn Iterator<Item = Scheduled>| {
                    for scheduled in due {
                        // As for a connection to the next hop after the kernel has accepted the packet.
                        shared.forwarder.sent(&scheduled, Instant::now().into_std());
                        notes.departure(&scheduled);
                    }
                };
                let number = worker.number;
                let arrive = |_, intake, _| arrive(mine, intake, Arc::clone(&shared), Rc::clone(&notes));
                shared.pulses.accompany(number, worker.mix(arrive, release, Alarm::coarse)).await;
            });
        }
        let start = notes.start;
        let everything = async {
            tokio::select! {
                never = keep_windows(&*view, move || BEGINNING + start.elapsed()) => match never {},
                ended = heartbeat.run(|| shared.listener.received(), |topology| shared.allow(topology)) => {
                    panic!("the heartbeat ended: {ended:?}")
                }
                () = ask(&view, &notes) => {}
            }
        };
        local.run_until(everything).await;
        view.windows().begin_last(BEGINNING + start.elapsed());
        end_last_window(&*view);
        let last =
            http::StatusSource::status(&*view).packets.and_then(|packets| packets.window).map(|window| window.ended_at);
        assert_eq!(last, Some(BEGINNING.as_secs() + 3 * WINDOW.as_secs()), "the last window is exported too");
        let last_readings = http::StatusSource::readings(&*view);
        let ended_at = Instant::now();
        // The export thread uses the real clock, and the stop waits for it.
        tokio::time::resume();
        telemetry.stop(last_readings).await;
        let mut seen = notes.seen.take();
        seen.exported = capture.take();
        seen.output.extend(exported::outputs(&seen.exported).map(|(by, what)| notes.output_at(ended_at, by, what)));
        seen.output.extend(self.log.take().into_iter().map(|(at, line)| notes.output_at(at, "log", line)));
        seen.output
            .extend(posts.lock().unwrap().drain(..).map(|(at, what)| notes.output_at(at, "directory post", what)));
        seen.wire.sort();
        seen
    }
}

/// Feeds the packets of some connections, each at its arrival time or once its connection may be read.
async fn arrive(connections: Vec<Connection>, intake: Intake, shared: Arc<Shared>, notes: Rc<Notes>) {
    let mut reading = JoinSet::new();
    for connection in connections {
        reading.spawn_local(read(connection, intake.clone(), Arc::clone(&shared), Rc::clone(&notes)));
    }
    reading.join_all().await;
}

/// Reads a connection as `link` does: once it has bytes and a permit, all that has arrived by then.
async fn read(connection: Connection, intake: Intake, shared: Arc<Shared>, notes: Rc<Notes>) {
    let admitted = shared.connections.admit(place_of(connection.number)).unwrap();
    let (share, mut state) = (intake.share(&admitted), intake.connection());
    let mut packets = connection.packets.into_iter().peekable();
    while let Some((at_ms, _)) = packets.peek() {
        sleep_until(notes.start + Duration::from_millis(*at_ms)).await;
        let (_turn, permit) = intake.permit(&share).await;
        let now_ms = notes.start.elapsed().as_millis();
        let mut received = Vec::new();
        while let Some((_, frame)) = packets.next_if(|(at_ms, _)| u128::from(*at_ms) <= now_ms) {
            intake.receive(&share, &mut state, &frame, &mut received).unwrap();
        }
        notes.record("reads", format!("{} packets of connection {}", received.len(), connection.number));
        drop(permit);
        assert!(intake.hand_over(received).await);
    }
}

/// Makes HTTP requests at intervals, as a scraper does, and reads exact counts at the ends of windows.
async fn ask(view: &Arc<View>, notes: &Notes) {
    let router = http::router(Arc::clone(view) as Arc<dyn http::StatusSource>);
    let seconds = |count: u64| notes.start + Duration::from_secs(count);
    for second in 1..=END.as_secs() {
        sleep_until(seconds(second)).await;
        if second % WINDOW.as_secs() == 0 {
            // Not exported. Compared because rounding must not be the reason that worlds are equal.
            let Sample { counts, levels, lag, .. } = view.count();
            notes.record("exact counts", format!("{:?}", (counts, levels, lag)));
            notes.end_window();
        }
        if second % ASKED_EVERY_SECONDS == 0 {
            for (by, answer) in ask_all(&router, second).await {
                notes.record(by, answer);
            }
        }
    }
    // Let other events of the last second complete.
    sleep_until(seconds(END.as_secs()) + Duration::from_millis(500)).await;
}

impl Notes {
    fn record(&self, by: &'static str, what: String) {
        let output = self.output_at(Instant::now(), by, what);
        self.seen.borrow_mut().output.push(output);
    }

    fn output_at(&self, at: Instant, by: &'static str, what: String) -> Output {
        Output::at(at, self.start, by, what)
    }

    fn departure(&self, scheduled: &Scheduled) {
        let Scheduled { packet, next_hop, .. } = scheduled;
        let at_ms = self.start.elapsed().as_millis();
        let frame = packet.frame();
        self.seen.borrow_mut().wire.push((at_ms, *next_hop, frame.len()));
        let held_ms = || at_ms - u128::from(self.arrivals[&frame[frame.len() - packet.size().packet_len()..]]);
        match self.leak {
            Leak::None => {}
            Leak::PerPacket => {
                self.record("span", format!("{} bytes to {next_hop} after {} ms", frame.len(), held_ms()));
            }
            Leak::DelayHistogram => *self.seen.borrow_mut().delays.entry(held_ms() / 10).or_default() += 1,
        }
    }

    fn end_window(&self) {
        if self.leak == Leak::DelayHistogram {
            let delays = std::mem::take(&mut self.seen.borrow_mut().delays);
            self.record("histogram", format!("{delays:?}"));
        }
    }
}
