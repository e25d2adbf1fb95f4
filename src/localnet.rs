//! A whole mix network on this machine: a registry, layers of nodes, and a prober that counts what comes through.
//!
//! Registry and nodes are child processes of this very executable, the prober is in this process. Every packet takes
//! one random node of each layer and comes back to the prober, alternately all the way over IPv4 and over IPv6.
//!
//! The prober offers no more than this machine can take ([`load`]), and the experiment ends with the first process that
//! dies, unless it is meant to go on around it.

mod child;
mod error;
mod history;
mod home;
mod load;
mod network;
mod pace;
mod ports;
mod summary;
mod text;
mod traffic;
mod view;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use nym_mixnode_directory::{Client, Directory};
use nym_mixnode_monitor::own_address::has_loopback;
use nym_mixnode_monitor::{Endpoint, IpFamily, Prober, Registration};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval};

use self::home::Home;
use self::network::{Casualty, Network};
use self::traffic::{Plan, Traffic};
use self::view::StopKey;
use crate::stop_request::{Hangup, StopSignals};

pub use self::error::LocalnetError;
pub use self::home::remove_at_end;
pub use self::load::{Limit, Load};
pub use self::summary::{NodeSummary, Summary};
pub use self::view::View;

/// The longest mean delay: its longest delays are just within what a node can be set to allow (1 h).
pub const MEAN_DELAY_MAX: Duration = Duration::from_mins(2);

/// How often the picture is drawn anew.
const SHOW_EVERY: Duration = Duration::from_secs(1);
/// How often the nodes are looked after, and late packets: soon enough to notice a death, or the last packet.
const WATCH_EVERY: Duration = Duration::from_millis(100);
/// The nodes report once a second: after this long their reports are newer than the last packet.
const REPORTS_AGE_MAX: Duration = Duration::from_secs(3);

/// What the network looks like and what is sent through it.
#[derive(Debug, Clone)]
pub struct Options {
    /// Mix layers, 1 to 4: a Sphinx header holds five hops, and the prober is one.
    pub layers: usize,
    /// Nodes in each layer.
    pub nodes_per_layer: usize,
    /// Packets per second, over the whole network.
    pub rate: u32,
    /// Mean of the delay asked of each mix.
    pub mean_delay: Duration,
    /// How long packets are sent; `None`: until Ctrl-C.
    pub duration: Option<Duration>,
    /// The registry's port, and the nodes' behind it; `None`: free ones.
    pub base_port: Option<u16>,
    /// Leave configuration, keys and logs behind.
    pub keep: bool,
    /// Go on around processes that die.
    pub keep_going: bool,
}

/// Runs the network until its time is over or a first Ctrl-C, `q`, SIGTERM or SIGHUP, then lets every packet come home
/// and stops everything in order. A second Ctrl-C or SIGTERM kills everything at once.
///
/// # Errors
/// When the network does not come up, or is stopped before it has. What goes wrong later is in the summary.
pub async fn run(options: &Options, view: &mut View) -> Result<Summary, LocalnetError> {
    let mut requests = StopRequests::new(view)?;
    let (stop, stopping) = watch::channel(false);
    let two_requests = async {
        requests.first().await;
        stop.send_replace(true);
        requests.second().await;
    };
    // Dropping the other branch kills the children.
    tokio::select! {
        summary = live(options, view, stopping) => summary,
        () = two_requests => Err(LocalnetError::Killed),
    }
}

/// Signals, and keys of the live view, where the terminal makes no signals of them.
struct StopRequests {
    signals: StopSignals,
    hangup: Hangup,
    keys: Option<mpsc::Receiver<StopKey>>,
}

impl StopRequests {
    fn new(view: &mut View) -> Result<Self, LocalnetError> {
        Ok(Self { signals: StopSignals::new()?, hangup: Hangup::new()?, keys: view.take_keys() })
    }

    async fn first(&mut self) {
        let Self { signals, hangup, keys } = self;
        tokio::select! {
            _ = signals.next() => {}
            // A terminal that is closed: shell and kernel both send it, hence it counts only once.
            () = hangup.next() => {}
            () = pressed(keys.as_mut(), |_| true) => {}
        }
    }

    async fn second(&mut self) {
        let Self { signals, keys, .. } = self;
        tokio::select! {
            _ = signals.next() => {}
            // A `q` too many is no wish to lose packets.
            () = pressed(keys.as_mut(), |key| key == StopKey::Interrupt) => {}
        }
    }
}

/// Completes when a key is pressed that counts; never without a keyboard.
async fn pressed(keys: Option<&mut mpsc::Receiver<StopKey>>, counts: impl Fn(StopKey) -> bool) {
    if let Some(keys) = keys {
        while let Some(key) = keys.recv().await {
            if counts(key) {
                return;
            }
        }
    }
    std::future::pending::<()>().await;
}

/// The life of the network: start, wait until every node knows every other, traffic, drain, stop.
async fn live(
    options: &Options,
    view: &mut View,
    mut stopping: watch::Receiver<bool>,
) -> Result<Summary, LocalnetError> {
    let home = Home::new(options.keep)?;
    if options.keep {
        view.note(&format!("configuration, keys and logs stay in {}", home.path().display()));
    }
    let families = families(view);
    let (network, traffic, _registration) = tokio::select! {
        started = start(options, &families, home.path(), view) => started?,
        () = requested(&mut stopping) => return Err(LocalnetError::Interrupted),
    };
    view.note(&format!("{} nodes mix; {} packets per second", network.nodes().len(), options.rate));

    let mut experiment = Experiment { network, traffic, view, keep_going: options.keep_going, problems: Vec::new() };
    experiment.send(options.duration, &mut stopping).await;
    experiment.drain().await;
    let Experiment { mut network, traffic, view, mut problems, .. } = experiment;
    view.note("stopping the nodes");
    problems.extend(network.stop().await);
    view.finish();
    Ok(Summary::new(&traffic, &families, &network, problems))
}

/// Starts the processes and the prober, and waits until each node forwards to every other and to the prober.
async fn start(
    options: &Options,
    families: &[IpFamily],
    home: &Path,
    view: &mut View,
) -> Result<(Network, Traffic, Registration), LocalnetError> {
    let mut network = Network::start(options, families, home, view).await?;
    let endpoints: Vec<Endpoint> =
        families.iter().map(|family| Endpoint::local((family.loopback(), 0).into())).collect();
    let prober = Prober::bind(&endpoints, options.mean_delay)?;
    let client = Client::new(network.directory(), network.directory()).map_err(|e| LocalnetError::directory(&e))?;
    let client = Arc::new(client);
    let registration = Registration::register(&client, &prober).await?;
    network.wait_until_ready(families.len(), view).await?;
    let topology = client.topology().await.map_err(|e| LocalnetError::directory(&e))?;
    let plan = Plan { rate: options.rate, mean_delay: options.mean_delay };
    let traffic = Traffic::new(prober, network.layers(&topology)?, families.to_vec(), plan);
    Ok((network, traffic, registration))
}

/// A network with packets in it.
struct Experiment<'a> {
    network: Network,
    traffic: Traffic,
    view: &'a mut View,
    keep_going: bool,
    /// What has gone wrong.
    problems: Vec<String>,
}

impl Experiment<'_> {
    /// Sends packets until the time is over, the user stops it, or a death ends it.
    async fn send(&mut self, duration: Option<Duration>, stopping: &mut watch::Receiver<bool>) {
        let over = async {
            match duration {
                Some(duration) => tokio::time::sleep(duration).await,
                None => std::future::pending().await,
            }
        };
        tokio::pin!(over);
        let (mut watch, mut show) = (every(WATCH_EVERY), every(SHOW_EVERY));
        self.traffic.start_sending(Instant::now());
        loop {
            tokio::select! {
                () = &mut over => break,
                () = requested(stopping) => break,
                () = self.traffic.step() => {}
                _ = watch.tick() => if !self.watch() { break },
                _ = show.tick() => self.view.show(&self.network, &self.traffic),
            }
        }
        self.traffic.stop_sending(Instant::now());
    }

    /// Sends nothing more and waits for the packets on their way, each until its time is up.
    async fn drain(&mut self) {
        let (count, left) = (self.traffic.in_transit(), self.traffic.longest_delay_left());
        self.view.note(&format!(
            "waiting for {count} packets on their way, delayed by {:.0} s at most",
            left.as_secs_f64().ceil()
        ));
        let (mut watch, mut show) = (every(WATCH_EVERY), every(SHOW_EVERY));
        let mut empty_since = None;
        while self.traffic.in_transit() > 0 {
            tokio::select! {
                () = self.traffic.step() => empty_since = None,
                _ = watch.tick() => {
                    self.watch();
                    if !(self.network.is_empty() && self.traffic.is_overdue()) {
                        empty_since = None;
                    } else if empty_since.get_or_insert_with(Instant::now).elapsed() >= REPORTS_AGE_MAX {
                        self.traffic.give_up_overdue();
                    }
                }
                _ = show.tick() => self.view.show(&self.network, &self.traffic),
            }
        }
        self.view.show(&self.network, &self.traffic);
        self.watch();
    }

    /// Looks after late packets and the processes. `false` when the experiment is over.
    fn watch(&mut self) -> bool {
        self.traffic.give_up_late();
        let casualties = self.network.casualties();
        let mut goes_on = true;
        for casualty in &casualties {
            // Each of them is reported, also after one that ends it.
            goes_on &= self.report(casualty);
        }
        goes_on
    }

    /// Reports a death at once. Whether the experiment goes on without that process.
    fn report(&mut self, Casualty { node, death }: &Casualty) -> bool {
        let has_route = node.is_none_or(|node| self.traffic.route_around(node));
        let goes_on = self.keep_going && has_route;
        let consequence = match (node, goes_on, has_route) {
            (_, false, true) => "the experiment ends (--keep-going goes on)",
            (_, false, false) => "the experiment ends: no other node is left in its layer",
            (Some(_), true, _) => "packets go around it from now on",
            (None, true, _) => "the nodes go on with the topology that they know",
        };
        self.view.alert(&format!("{death}; {consequence}; last log lines: {}", death.last_log_lines));
        self.problems.push(death.to_string());
        goes_on
    }
}

fn every(period: Duration) -> Interval {
    let mut tick = interval(period);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    tick
}

/// Completes when the user wants it to stop.
async fn requested(stopping: &mut watch::Receiver<bool>) {
    if stopping.wait_for(|stop| *stop).await.is_err() {
        // Nobody is left who could ask.
        std::future::pending::<()>().await;
    }
}

fn families(view: &mut View) -> Vec<IpFamily> {
    if has_loopback(IpFamily::V6) {
        return IpFamily::ALL.to_vec();
    }
    view.note("no IPv6 loopback here: testing IPv4 only");
    vec![IpFamily::V4]
}
