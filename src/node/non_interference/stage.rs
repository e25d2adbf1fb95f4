//! Runs a node without sockets on a virtual clock, and collects all its output.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::Request;
use axum::http::header::{ACCEPT, CONTENT_LENGTH};
use nym_mixnode_address::Announcing;
use nym_mixnode_api::{
    CounterReply, GatewayRegistration, IpVersion, MixMetric, MixRegistration, Proof, RegistrationReply, Topology,
    testing,
};
use nym_mixnode_config::{Config, Source, Values, settings};
use nym_mixnode_directory::{Directory, DirectoryError, Heartbeat, HeartbeatSettings, Unregistered};
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
use tokio::task::LocalSet;
use tokio::time::{Instant, sleep_until};
use tower::ServiceExt;
use tracing::subscriber::DefaultGuard;

use super::super::view::View;
use super::super::state::Shared;
use super::super::traced_directory::TracedDirectory;
use super::super::worker::WorkerChannels;
use super::super::{key_ring, registration, worker_settings};
use super::exported;
use super::world::{CONNECTIONS, END, Fate, World, next_hops, version_of};

const WORKERS: usize = 2;
/// Wall-clock time of the start, where a window begins.
const BEGINNING: Duration = Duration::from_secs(1_588_694_460);
/// Never coincides with the end of a window or with a request: their order would be random, and visible in the age.
const TOPOLOGY_REFRESH: Duration = Duration::from_secs(31);
/// Interval of HTTP requests.
const ASKED_EVERY_SECONDS: u64 = 7;

/// The packets of a connection, with arrival times in milliseconds.
type Packets = Vec<(u64, Vec<u8>)>;

/// A piece of output: its time, its channel, and its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Output {
    pub(super) at_ms: u128,
    pub(super) by: &'static str,
    pub(super) what: String,
}

impl Output {
    /// Returns a copy with an excerpt of the text, for failure messages.
    pub(super) fn cut(&self, from: usize) -> Self {
        let what = self.what.chars().skip(from).take(300).collect();
        Self { what, ..self.clone() }
    }
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
        let connections = (0..CONNECTIONS).map(|connection| self.packets(world, connection)).collect();
        let arrivals = if leak == Leak::None { Arrivals::new() } else { self.arrivals(world) };
        runtime.block_on(self.run(connections, leak, arrivals))
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
    fn packets(&mut self, world: &World, connection: usize) -> Packets {
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

    async fn run(&self, connections: Vec<Packets>, leak: Leak, arrivals: Arrivals) -> Seen {
        let config = &self.config;
        let limits = ConnectionLimits::new(config.connections.total_max, config.connections.per_address_max);
        let policy = Policy::new(config.forward.policy);
        let keys = key_ring(config, &self.keys, EngineKind::fastest()).unwrap();
        let shared = Shared::new(WORKERS, config.mix.memory_bytes, limits, policy, Reach::Machine, keys);
        let (_control, phase) = phases();
        let (_, workers) = WorkerChannels::new(WORKERS).into_workers(|| worker_settings(config), &shared, &phase);
        let notes = Rc::new(Notes { start: Instant::now(), leak, arrivals, seen: RefCell::default() });
        let directory = Notebook { posts: Arc::default(), listed: Mutex::default() };
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
                let start = notes.start;
                let release = |scheduled: Scheduled| {
                    // As for a connection to the next hop after the kernel has accepted the packet.
                    shared.forwarder.sent(&scheduled, Instant::now().into_std());
                    notes.departure(&scheduled);
                };
                let number = worker.number;
                let arrive = |_, intake, _| arrive(start, mine, intake);
                shared.pulses.accompany(number, worker.mix(arrive, release, Alarm::coarse)).await;
            });
        }
        let start = notes.start;
        let everything = async {
            tokio::select! {
                never = view.keep_windows(move || BEGINNING + start.elapsed()) => match never {},
                ended = heartbeat.run(|| shared.listener.received(), |topology| shared.allow(topology)) => {
                    panic!("the heartbeat ended: {ended:?}")
                }
                () = ask(&view, &notes) => {}
            }
        };
        local.run_until(everything).await;
        view.begin_last_window(BEGINNING + start.elapsed());
        view.end_last_window();
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

/// Feeds the packets of some connections, each at its arrival time.
async fn arrive(start: Instant, connections: Vec<Packets>, intake: Intake) {
    let mut states: Vec<_> = connections.iter().map(|_| intake.connection()).collect();
    let numbered = connections.into_iter().enumerate();
    let mut packets: Vec<_> =
        numbered.flat_map(|(number, packets)| packets.into_iter().map(move |packet| (packet, number))).collect();
    packets.sort_by_key(|((at_ms, _), number)| (*at_ms, *number));
    for ((at_ms, frame), number) in packets {
        sleep_until(start + Duration::from_millis(at_ms)).await;
        let mut received = Vec::new();
        intake.receive(&mut states[number], &frame, &mut received).unwrap();
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
            for path in ["/status", "/livez", "/readyz"] {
                notes.record(path, get(&router, path, "*/*").await);
            }
            // Alternate: both have the same numbers and much text.
            let (by, accept) = match second / ASKED_EVERY_SECONDS % 2 {
                0 => ("/metrics", "text/plain"),
                _ => ("/metrics, OpenMetrics", "application/openmetrics-text"),
            };
            notes.record(by, get(&router, "/metrics", accept).await);
        }
    }
    // Let other events of the last second complete.
    sleep_until(seconds(END.as_secs()) + Duration::from_millis(500)).await;
}

async fn get(router: &Router, path: &str, accept: &str) -> String {
    let request = Request::get(path).header(ACCEPT, accept).body(Body::empty()).unwrap();
    let response = router.clone().oneshot(request).await.unwrap();
    let (mut head, body) = response.into_parts();
    let body = String::from_utf8(to_bytes(body, usize::MAX).await.unwrap().to_vec()).unwrap();
    if path == "/metrics" {
        // The numbers of the machine vary in length.
        head.headers.remove(CONTENT_LENGTH);
        return format!("{head:?}\n{}", exported::without_the_machine(&body));
    }
    format!("{head:?}\n{}", body.replace(&registered_at(&body), ""))
}

/// The time of the registration, which is the only value from the real clock.
fn registered_at(status: &str) -> String {
    let text = status.split_once("\"registered_at\":").map(|(_, rest)| rest);
    text.map_or_else(|| "\0".to_owned(), |rest| rest.chars().take_while(char::is_ascii_digit).collect())
}

impl Notes {
    fn record(&self, by: &'static str, what: String) {
        let output = self.output_at(Instant::now(), by, what);
        self.seen.borrow_mut().output.push(output);
    }

    fn output_at(&self, at: Instant, by: &'static str, what: String) -> Output {
        Output { at_ms: (at - self.start).as_millis(), by, what }
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

/// Posted requests with their times.
type Posts = Arc<Mutex<Vec<(Instant, String)>>>;

/// A directory that lists this node and the next hops, and records the posts.
struct Notebook {
    posts: Posts,
    listed: Mutex<Option<MixRegistration>>,
}

impl Directory for Notebook {
    fn location(&self) -> &'static str {
        "http://d/"
    }

    async fn counter(&self, _: &str, _: &str) -> Result<Option<CounterReply>, DirectoryError> {
        Ok(None)
    }

    async fn register_mix(
        &self,
        mix: &MixRegistration,
        _: Option<IpVersion>,
    ) -> Result<RegistrationReply, DirectoryError> {
        self.posts.lock().unwrap().push((Instant::now(), format!("{mix:?}")));
        *self.listed.lock().unwrap() = Some(mix.clone());
        Ok(RegistrationReply::default())
    }

    async fn register_gateway(
        &self,
        _: &GatewayRegistration,
        _: Option<IpVersion>,
    ) -> Result<RegistrationReply, DirectoryError> {
        unreachable!("the node is a mix")
    }

    async fn unregister(&self, _: &str, _: Option<&Proof>) -> Result<Unregistered, DirectoryError> {
        Ok(Unregistered::NotListed)
    }

    async fn topology(&self) -> Result<Topology, DirectoryError> {
        let next_hop = |address: SocketAddr| MixRegistration {
            version: version_of(address).to_owned(),
            layer: 2,
            ..testing::mix(address.to_string(), address.to_string())
        };
        let ourselves = self.listed.lock().unwrap().clone();
        let all = next_hops().into_iter().map(next_hop).chain(ourselves);
        Ok(Topology { mix_nodes: all.map(testing::listed).collect(), ..Topology::default() })
    }

    async fn post_metrics(&self, metric: &MixMetric) -> Result<Duration, DirectoryError> {
        self.posts.lock().unwrap().push((Instant::now(), format!("{metric:?}")));
        // The shortest interval.
        Ok(Duration::ZERO)
    }
}
