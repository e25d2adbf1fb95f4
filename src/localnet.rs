//! Runs a whole mix network on this machine: a registry, layers of nodes, and a prober that counts returning packets.
//!
//! Registry and nodes are child processes of this executable; the prober runs in this process. Every packet takes
//! one random node of each layer and comes back to the prober, alternately all the way over IPv4 and over IPv6.
//!
//! The prober offers no more than this machine can take ([`load`]). The experiment ends when a process
//! dies, unless `keep_going` is set.

mod active_set;
mod child;
mod error;
mod gateways;
mod history;
mod home;
mod load;
mod network;
mod pace;
mod ports;
mod registry;
mod summary;
mod traffic;
mod view;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use nym_mixnode_base::count::counted;
use nym_mixnode_base::optional::if_some;
use nym_mixnode_directory::{Client, Directory};
use nym_mixnode_monitor::own_address::has_loopback;
use nym_mixnode_monitor::{Endpoint, IpFamily, Prober, Registration};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, sleep};

use self::home::Home;
use self::network::{Casualty, Network};
use self::traffic::{Plan, Traffic};
use self::view::StopKey;
use crate::stop_request::{Hangup, StopSignals};
use crate::times;

pub use self::error::LocalnetError;
pub use self::gateways::FileSummary;
pub use self::home::remove_at_end;
pub use self::load::{Limit, Load};
pub use self::summary::{NodeSummary, Summary};
pub use self::view::View;

/// Longest mean delay: the longest delays that it produces are just below the maximum of a node's setting (1 h).
pub const MEAN_DELAY_MAX: Duration = Duration::from_mins(2);

/// Mixes that a packet of a client passes.
const LAYERS_OF_CLIENTS: u8 = 3;

/// Refresh interval of the live view.
const SHOW_EVERY: Duration = Duration::from_secs(1);
/// Interval of the checks for dead processes and late packets.
const WATCH_EVERY: Duration = Duration::from_millis(100);
/// Nodes report once a second: after this time their reports include the last packet.
const REPORTS_AGE_MAX: Duration = Duration::from_secs(3);

/// Size of the network, and the traffic through it.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Mix layers that each packet passes.
    // A Sphinx header holds five hops, and the prober is one.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=4))]
    pub layers: u8,
    /// Nodes in each layer.
    #[arg(long = "nodes", value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=100))]
    pub nodes_per_layer: u8,
    /// Packets per second over the whole network; reduced to what this machine can take.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub rate: u32,
    /// Mean delay requested of each node, up to 2m; the nodes' limit is raised to match.
    #[arg(long, value_name = "TIME", default_value = "50ms", value_parser = mean_delay)]
    pub mean_delay: Duration,
    /// How long to send packets [default: until Ctrl-C].
    #[arg(long, value_name = "TIME", value_parser = times::any)]
    pub duration: Option<Duration>,
    /// Keep the registry's file and the configuration, keys and logs of all nodes: in this directory, which must be empty
    /// or missing, or else in a new one, which is printed.
    #[arg(long, value_name = "DIR", num_args = 0..=1)]
    #[expect(clippy::option_option, reason = "the flag may be given without a directory")]
    pub keep: Option<Option<PathBuf>>,
    /// When a node or the registry dies, continue without it and send packets around it; the exit code at the end
    /// reports it [default: end at once].
    #[arg(long)]
    pub keep_going: bool,
    /// Gateways, through which clients send and receive messages.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=20))]
    pub gateways: u8,
    /// Send a random file of this size, such as 1MB, from one client to another, check it, and end. Needs three layers;
    /// starts a gateway if --gateways does not.
    #[arg(long, value_name = "SIZE", value_parser = gateways::size)]
    pub send: Option<usize>,
    /// Port of the registry; the nodes use the following ports [default: free ports].
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub base_port: Option<u16>,
}

/// Parses a mean delay; a node's limit must allow the longest delays of its exponential distribution.
fn mean_delay(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(delay) if delay <= MEAN_DELAY_MAX => Ok(delay),
        Ok(_) => {
            let longest = humantime::format_duration(MEAN_DELAY_MAX);
            Err(format!(
                "the range is 0s to {longest}: no node allows a delay beyond 1h, and single delays are up to 30 times \
                 the mean"
            ))
        }
        Err(error) => Err(error.to_string()),
    }
}

impl Options {
    /// Number of gateways: a file needs one.
    fn gateways(&self) -> usize {
        usize::from(self.gateways).max(usize::from(self.send.is_some()))
    }

    fn keep(&self) -> Keep {
        match &self.keep {
            None => Keep::Nothing,
            Some(None) => Keep::Somewhere,
            Some(Some(dir)) => Keep::In(dir.clone()),
        }
    }
}

/// Whether the files of the network are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Keep {
    /// They are removed when the network ends.
    Nothing,
    /// They are kept in a new directory.
    Somewhere,
    /// They are kept in this directory, which must be empty or missing.
    In(PathBuf),
}

/// Runs the network until its time is over or a first Ctrl-C, `q`, SIGTERM or SIGHUP, then waits for every packet
/// and stops everything in order. A second Ctrl-C or SIGTERM kills everything at once.
///
/// # Errors
/// When the network does not start, or is stopped before it is ready. Later problems are in the summary.
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

/// Signals, and keys of the live view, whose terminal mode generates no signals.
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
            // When a terminal closes, both shell and kernel send SIGHUP, so it counts only once.
            () = hangup.next() => {}
            () = pressed(keys.as_mut(), |_| true) => {}
        }
    }

    async fn second(&mut self) {
        let Self { signals, keys, .. } = self;
        tokio::select! {
            _ = signals.next() => {}
            // A repeated `q` must not kill the network.
            () = pressed(keys.as_mut(), |key| key == StopKey::Interrupt) => {}
        }
    }
}

/// Completes when a stop key is pressed; never without a keyboard.
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

/// Runs all phases: start, wait until every node knows all others, traffic, drain, stop.
async fn live(
    options: &Options,
    view: &mut View,
    mut stopping: watch::Receiver<bool>,
) -> Result<Summary, LocalnetError> {
    if options.send.is_some() && options.layers != LAYERS_OF_CLIENTS {
        return Err(LocalnetError::Layers(options.layers));
    }
    let keep = options.keep();
    let home = Home::new(&keep)?;
    if keep != Keep::Nothing {
        let kept = "configuration, keys, logs and the registry's file";
        view.note(&format!("{kept} are kept in {}", home.path().display()));
    }
    let families = families(view);
    let (network, traffic, _registration) = tokio::select! {
        started = start(options, &families, home.path(), view) => started?,
        () = requested(&mut stopping) => return Err(LocalnetError::Interrupted),
    };
    let nodes = counted(network.nodes().len(), "node mixes", "nodes mix");
    view.note(&format!("{nodes}; {} per second", counted(options.rate, "packet", "packets")));

    let directory = network.directory().clone();
    let mut experiment = Experiment { network, traffic, view, keep_going: options.keep_going, problems: Vec::new() };
    let mut file = None;
    let over = async {
        let Some(bytes) = options.send else { return if_some(options.duration.map(sleep)).await };
        file = Some(gateways::send_file(bytes, options.mean_delay, directory, home.path()).await);
        if let Some(duration) = options.duration {
            sleep(duration).await;
        }
    };
    experiment.send(over, &mut stopping).await;
    experiment.drain().await;
    let Experiment { mut network, traffic, view, mut problems, .. } = experiment;
    view.note("stopping the nodes");
    problems.extend(network.stop().await);
    view.finish();
    let file = file.transpose().unwrap_or_else(|error| {
        problems.push(error.to_string());
        None
    });
    Ok(Summary { file, ..Summary::new(&traffic, &families, &network, problems) })
}

/// Starts the processes and the prober, and waits until each node forwards to all others and the prober.
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
    active_set::wait(&mut network, &client, view).await?;
    let topology = client.topology().await.map_err(|e| LocalnetError::directory(&e))?;
    let plan = Plan { rate: options.rate, mean_delay: options.mean_delay };
    let traffic = Traffic::new(prober, network.layers(&topology)?, families.to_vec(), plan);
    Ok((network, traffic, registration))
}

/// A running network with traffic.
struct Experiment<'a> {
    network: Network,
    traffic: Traffic,
    view: &'a mut View,
    keep_going: bool,
    /// Problems so far.
    problems: Vec<String>,
}

impl Experiment<'_> {
    /// Sends packets until the time is over, the user stops it, or a process dies.
    async fn send(&mut self, over: impl Future<Output = ()>, stopping: &mut watch::Receiver<bool>) {
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

    /// Stops sending, and waits until each packet on its way returns or counts as lost.
    async fn drain(&mut self) {
        let (count, left) = (self.traffic.in_transit(), self.traffic.longest_delay_left());
        self.view.note(&format!(
            "waiting for {} on the way, delayed by {:.0} s at most",
            counted(count, "packet", "packets"),
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

    /// Checks for late packets and dead processes. Returns `false` when the experiment is over.
    fn watch(&mut self) -> bool {
        self.traffic.give_up_late();
        let casualties = self.network.casualties();
        let mut goes_on = true;
        for casualty in &casualties {
            // Report every death, also after one that ends the experiment.
            goes_on &= self.report(casualty);
        }
        goes_on
    }

    /// Reports a death. Returns whether the experiment continues without that process.
    fn report(&mut self, Casualty { node, death }: &Casualty) -> bool {
        let has_route = node.is_none_or(|node| self.traffic.route_around(node));
        let goes_on = self.keep_going && has_route;
        let consequence = match (node, goes_on, has_route) {
            (_, false, true) => "the experiment ends (use --keep-going to continue)",
            (_, false, false) => "the experiment ends: no other node is left in its layer",
            (Some(_), true, _) => "packets go around it from now on",
            (None, true, _) => "the nodes keep their last topology",
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

/// Completes at a stop request.
async fn requested(stopping: &mut watch::Receiver<bool>) {
    if stopping.wait_for(|stop| *stop).await.is_err() {
        // The sender is gone: no stop can be requested.
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
