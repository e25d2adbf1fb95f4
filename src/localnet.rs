//! A whole mix network on this machine: a registry, layers of nodes, and a prober that counts what comes through.
//!
//! Registry and nodes are child processes of this very executable, the prober is in this process. Every packet takes
//! one random node of each layer and comes back to the prober, alternately all the way over IPv4 and over IPv6.

mod child;
mod error;
mod home;
mod network;
mod ports;
mod summary;
mod traffic;
mod view;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval};

use self::home::Home;
use self::network::Network;
use self::traffic::Traffic;
use crate::directory::{Client, Directory};
use crate::probe::own_address::has_loopback;
use crate::probe::{Endpoint, IpFamily, Prober, Registration};
use crate::shutdown::{Hangup, StopSignals};

pub use self::error::LocalnetError;
pub use self::home::remove_at_end;
pub use self::summary::{NodeSummary, Summary};
pub use self::view::View;

/// How often the nodes are looked after and the picture is drawn anew.
const TICK: Duration = Duration::from_secs(1);
/// While packets come home at the end: soon enough to notice that the last one has.
const DRAIN_TICK: Duration = Duration::from_millis(100);

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
}

/// Runs the network until its time is over or a first Ctrl-C, SIGTERM or SIGHUP, then lets every packet come home and
/// stops everything in order. A second Ctrl-C or SIGTERM kills everything at once.
///
/// # Errors
/// When the network does not come up, or is stopped before it has. What goes wrong later is in the summary.
pub async fn run(options: &Options, view: &mut View) -> Result<Summary, LocalnetError> {
    let mut signals = StopSignals::new()?;
    let mut hangup = Hangup::new()?;
    let (stop, stopping) = watch::channel(false);
    let two_signals = async {
        tokio::select! {
            _ = signals.next() => {}
            // A terminal that is closed; shell and kernel both say so, hence it counts but once.
            () = hangup.next() => {}
        }
        stop.send_replace(true);
        signals.next().await;
    };
    // Dropping the other branch kills the children.
    tokio::select! {
        summary = live(options, view, stopping) => summary,
        () = two_signals => Err(LocalnetError::Killed),
    }
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
    let (mut network, mut traffic, _registration) = tokio::select! {
        started = start(options, &families, home.path(), view) => started?,
        () = requested(&mut stopping) => return Err(LocalnetError::Interrupted),
    };
    view.note(&format!("{} nodes mix; {} packets per second", network.nodes().len(), options.rate));

    let mut problems = send(options, &mut network, &mut traffic, view, &mut stopping).await;
    problems.extend(drain(&mut network, &mut traffic, view).await);
    view.note("stopping the nodes");
    problems.extend(network.stop().await);
    view.finish();
    Ok(Summary::new(traffic.report(), &families, &network, problems))
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
    let traffic = Traffic::new(prober, network.layers(&topology)?, families.to_vec(), options.rate);
    Ok((network, traffic, registration))
}

/// Sends packets until the time is over, the user stops it, or a node dies; returns what went wrong.
async fn send(
    options: &Options,
    network: &mut Network,
    traffic: &mut Traffic,
    view: &mut View,
    stopping: &mut watch::Receiver<bool>,
) -> Vec<String> {
    let over = async {
        match options.duration {
            Some(duration) => tokio::time::sleep(duration).await,
            None => std::future::pending().await,
        }
    };
    tokio::pin!(over);
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    traffic.start_sending(Instant::now());
    loop {
        tokio::select! {
            () = &mut over => return Vec::new(),
            () = requested(stopping) => return Vec::new(),
            () = traffic.step() => {}
            _ = tick.tick() => {
                traffic.give_up_late();
                view.show(network, traffic);
                let deaths = network.deaths();
                if !deaths.is_empty() {
                    return deaths;
                }
            }
        }
    }
}

/// Sends nothing more and waits for the packets on their way, each until its time is up.
async fn drain(network: &mut Network, traffic: &mut Traffic, view: &mut View) -> Vec<String> {
    traffic.stop_sending();
    view.note(&format!("waiting for {} packets on their way", traffic.in_transit()));
    let mut tick = interval(DRAIN_TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while traffic.in_transit() > 0 {
        tokio::select! {
            () = traffic.step() => {}
            _ = tick.tick() => traffic.give_up_late(),
        }
    }
    view.show(network, traffic);
    network.deaths()
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
