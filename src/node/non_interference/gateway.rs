//! The same for a gateway, whose output does not depend on packets, messages and clients at all.
//!
//! The worlds differ in all traffic: one has none, in others clients register, come and go, and messages are delivered,
//! stored and refused. So the premise of a common wire is not needed. Sockets and the store are real, and the clock is
//! virtual: it stands still except for the steps of the test. The output must be the same at the same times.

mod traffic;

use std::net::{SocketAddr, TcpListener as StdListener};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use nym_mixnode_address::Announcing;
use nym_mixnode_api::Topology;
use nym_mixnode_config::{Config, Source, Values, settings};
use nym_mixnode_directory::{Heartbeat, HeartbeatSettings};
use nym_mixnode_gateway::run::Gateway;
use nym_mixnode_keys::{IdentityKeyPair, NodeKeys, SphinxKeyPair};
use nym_mixnode_net::Reach;
use nym_mixnode_sphinx::EngineKind;
use nym_mixnode_telemetry::http;
use nym_mixnode_telemetry::log::Captured;
use nym_mixnode_telemetry::otel::Capture;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::{Instant, advance, sleep_until};

use super::super::gateway::view::View;
use super::super::gateway::{registration, settings as gateway_settings};
use super::super::listed::ListedNodes;
use super::super::traced_directory::TracedDirectory;
use super::directory::Notebook;
use super::exported;
use super::recorded::{ASKED_EVERY_SECONDS, Output, ask_all};
use traffic::{Target, Traffic};

/// Virtual time of a world.
const END: Duration = Duration::from_secs(60);
const STEP: Duration = Duration::from_millis(20);
/// Real time between two steps, while there is traffic and after it.
const PAUSES: (Duration, Duration) = (Duration::from_millis(5), Duration::from_micros(100));
/// Never coincides with a request: their order would be random, and visible in the age.
const TOPOLOGY_REFRESH: Duration = Duration::from_secs(31);

/// What all worlds have in common.
struct Scene {
    config: Config,
    keys: NodeKeys,
}

impl Scene {
    fn new() -> Self {
        let mut values = Values::default();
        let mut set = |about, text: &str| values.set(about, text, &Source::Program);
        set(&settings::NODE_ID.about, "under-test");
        set(&settings::NODE_LAYER.about, "1");
        set(&settings::LISTEN_ADDRESSES.about, "192.0.2.99");
        set(&settings::ANNOUNCE_ALLOW_PRIVATE.about, "true");
        set(&settings::GATEWAY_INBOX_MESSAGES_MAX.about, "10");
        // So few that the limit on open files, of which the process uses more or less, lowers neither.
        set(&settings::CONNECTIONS_TOTAL_MAX.about, "64");
        set(&settings::GATEWAY_CONNECTIONS_MAX.about, "64");
        let identity = IdentityKeyPair::generate().unwrap();
        Self {
            config: Config::from_values(&values).unwrap(),
            keys: NodeKeys {
                identity_public: identity.public_base58(),
                identity: Arc::new(identity),
                sphinx: SphinxKeyPair::generate().unwrap(),
            },
        }
    }

    /// Runs a gateway with this traffic in virtual time.
    fn play(&self, traffic: Traffic) -> Vec<Output> {
        let log = Captured::default();
        let _logging = tracing::subscriber::set_default(log.subscriber());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        let home = tempfile::tempdir().unwrap();
        runtime.block_on(self.run(traffic, &home.path().join("store"), &log))
    }

    async fn run(&self, traffic: Traffic, store: &Path, log: &Captured) -> Vec<Output> {
        let clock = Clock::stopped();
        let (config, keys, start) = (&self.config, &self.keys, Instant::now());
        let first_mix = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let directory = Notebook::new(vec![first_mix.local_addr().unwrap()]);
        let posts = Arc::clone(&directory.posts);
        let capture = Capture::default();
        let telemetry = capture.telemetry().unwrap();
        let directory = TracedDirectory::new(directory, telemetry.clone());
        let times = HeartbeatSettings { topology_refresh: TOPOLOGY_REFRESH, ..HeartbeatSettings::default() };
        let heartbeat = Heartbeat::new(directory, registration(config, keys, None).unwrap(), times);
        let announcing = Arc::new(Announcing::new(config.announce.addresses.clone(), None));
        let (mixes, clients) = (listener(), listener());
        let target = Target {
            mixes: mixes.local_addr().unwrap(),
            clients: clients.local_addr().unwrap(),
            identity: *keys.identity.public(),
            sphinx: (*keys.sphinx.private(), *keys.sphinx.public()),
        };
        let engine = EngineKind::PORTABLE;
        let own = gateway_settings(config, store.to_owned(), keys, engine);
        let gateway = Gateway::start(own, vec![mixes], vec![clients]).await.unwrap();
        let nodes = gateway.nodes();
        let listed = Arc::new(ListedNodes::new(Reach::Machine));
        let view =
            View::new(config, keys, &heartbeat.state(), &announcing, (&gateway, engine), &listed, telemetry.clone());
        let view = Arc::new(view);

        let allow = |topology: &Topology| nodes.set(listed.take(topology));
        let traffic = tokio::spawn(traffic.cause(target, first_mix));
        let mut output = Vec::new();
        tokio::select! {
            ended = heartbeat.run(|| 0, allow) => panic!("the heartbeat ended: {ended:?}"),
            () = ask(Arc::clone(&view), start, &mut output) => {}
            never = clock.keep_moving(&traffic) => match never {},
        }
        let counts = traffic.await.unwrap();
        counts.check(&gateway);
        let last_readings = http::StatusSource::readings(&*view);
        drop(clock);
        // The export thread uses the real clock, and the stop waits for it.
        tokio::time::resume();
        telemetry.stop(last_readings).await;
        let ended_at = start + END;
        output.extend(exported::outputs(&capture.take()).map(|(by, what)| Output::at(ended_at, start, by, what)));
        output.extend(log.take().into_iter().map(|(at, line)| Output::at(at, start, "log", line)));
        output.extend(posts.lock().unwrap().drain(..).map(|(at, what)| Output::at(at, start, "directory post", what)));
        output
    }
}

fn listener() -> StdListener {
    let listener = StdListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    listener.set_nonblocking(true).unwrap();
    listener
}

/// Makes HTTP requests at intervals, as a scraper does.
async fn ask(view: Arc<View>, start: Instant, output: &mut Vec<Output>) {
    let router = http::router(view as Arc<dyn http::StatusSource>);
    for second in (1..END.as_secs()).filter(|second| second % ASKED_EVERY_SECONDS == 0) {
        sleep_until(start + Duration::from_secs(second)).await;
        let answers = ask_all(&router, second).await;
        output.extend(answers.into_iter().map(|(by, what)| Output::at(Instant::now(), start, by, what)));
    }
    sleep_until(start + END).await;
}

/// The paused clock of the runtime. Without this, it would run on whenever all tasks wait for sockets or the store.
struct Clock {
    /// A blocking task that ends with this, and stops the clock meanwhile.
    _stop: std::sync::mpsc::Sender<()>,
}

impl Clock {
    fn stopped() -> Self {
        let (stop, stopped) = std::sync::mpsc::channel();
        tokio::task::spawn_blocking(move || stopped.recv().ok());
        Self { _stop: stop }
    }

    /// Moves the clock step by step, and lets sockets and the store do their work in between.
    #[expect(clippy::disallowed_methods, reason = "in a blocking task, and the clock of the runtime stands still")]
    async fn keep_moving<T>(&self, traffic: &JoinHandle<T>) -> std::convert::Infallible {
        loop {
            let pause = if traffic.is_finished() { PAUSES.1 } else { PAUSES.0 };
            tokio::task::spawn_blocking(move || std::thread::sleep(pause)).await.unwrap();
            advance(STEP).await;
        }
    }
}

#[test]
fn the_output_of_a_gateway_is_independent_of_its_traffic() {
    let scene = Scene::new();
    let expected = scene.play(Traffic::None);
    for traffic in [Traffic::Some { present: 0, messages: 30 }, Traffic::Some { present: 1, messages: 18 }] {
        let mut difference = super::Difference::default();
        difference.add(&expected, &scene.play(traffic));
        assert_eq!(difference.bytes, 0, "bytes differ with {traffic:?}: {:#?}", difference.first);
    }
    let has_output =
        |by: &str, words: &str| expected.iter().any(|output| output.by == by && output.what.contains(words));
    assert!(has_output("/status", "\"registered\":true") && has_output("/readyz", "ready"), "{expected:#?}");
    assert!(has_output("/metrics", "ready 1") && has_output("/metrics, OpenMetrics", "# EOF"), "{expected:#?}");
    assert!(has_output("traces", "directory.register") && has_output("directory post", "clients_host"));
    assert!(has_output("log", "registered with the directory") && has_output("metrics", "ready"), "{expected:#?}");
}
