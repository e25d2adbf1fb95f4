//! `run`: runs a node in this process until a signal, or its supervisor, stops it.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use nym_mixnode_address::{AnnounceWatch, Detection};
use nym_mixnode_api::PROTOCOL_VERSION;
use nym_mixnode_base::optional::if_some;
use nym_mixnode_base::{open_files as limits, staging};
use nym_mixnode_config::environment::Environment;
use nym_mixnode_config::{Config, LogConfig, NodeHome, Role, RunningMark, Values};
use nym_mixnode_keys::{KeyError, KeyFiles, NodeKeys, install, store};
use nym_mixnode_telemetry::log::{self, LogFormat};
use nym_mixnode_telemetry::otel::{self, StartError, Telemetry};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

use super::addresses::{Found, announcing, announcing_line, find_missing};
use super::flags::{NodeFlags, OverrideFlags};
use super::load::{Sources, StartSettings};
use super::log_settings::{self, LogSettings};
use super::output::{BestEffortOutput, EventLines, print_to, without_last_slash};
use super::{Exit, Failure, first_start, no_signals, stop_signals};
use crate::node::{self, RunOptions, SupervisorEvent};
use crate::stop_request::{StopSignal, StopSignals, die_with_parent, end_of_standard_input};
use crate::systemd::ServiceManager;

/// Time to unregister and to export the last telemetry, in addition to lingering and draining.
const STOP_RESERVE: Duration = Duration::from_secs(15);

const LOGO: &str = r"
      _ __  _   _ _ __ ___
     | '_ \| | | | '_ \ _ \
     | | | | |_| | | | | | |
     |_| |_|\__, |_| |_| |_|
            |___/
";

/// Run an initialised mixnode
///
/// It registers once it listens. On ctrl-c or SIGTERM it unregisters, sends the packets that it holds at their
/// times, and stops; a second signal stops it at once. Flags override the configuration file for this run.
#[derive(Debug, clap::Args)]
#[command(after_help = "Other settings come from the environment (NYM_MIXNODE_...) and the configuration file.\n\
    Every setting is a flag: `run --help` lists them all, and --set accepts any of them.\n\
    log.filter, or RUST_LOG in the environment, chooses what is logged, such as RUST_LOG=debug.")]
pub(super) struct Args {
    #[command(flatten)]
    node: NodeFlags,
    #[command(flatten)]
    settings: OverrideFlags,
    /// Create the node first if it does not exist, as `init` does; also `NYM_MIXNODE_INIT_IF_MISSING=true`
    ///
    /// For containers: the first start creates keys and configuration in an empty volume, and later starts use them.
    /// By default the id is `mixnode`, and the node accepts packets on all addresses.
    #[arg(long)]
    init_if_missing: bool,
    /// Remove the registration of another identity at this address, if the directory requires no signature for that
    #[arg(long)]
    force: bool,
    /// Report events as JSON lines on standard output; stop at the end of standard input, and die with the parent
    #[arg(long, hide = true)]
    supervised: bool,
}

pub(super) async fn run(args: Args) -> Result<(), Failure> {
    run_as(Role::Mixnode, args).await
}

/// Runs a node of this role.
pub(super) async fn run_as(role: Role, args: Args) -> Result<(), Failure> {
    if args.supervised {
        die_with_parent().map_err(|error| {
            Failure::new(Exit::TRY_AGAIN, format_args!("cannot bind the node to its supervisor: {error}"))
        })?;
    }
    // Hold back log lines until the banner is printed.
    let mut held = Some(log::hold());
    // Install the handlers first: no stop may be missed, and SIGHUP must not end the node.
    let hangups = signal(SignalKind::hangup()).map_err(|error| no_signals(&error))?;
    let stops = Stops::install(args.supervised)?;
    let home = args.node.home_of(role)?;
    let id = &args.node.id;
    let log = LogSettings { home: home.clone(), id: id.clone(), overrides: overrides(&args) };
    let mut sources = Sources::read(&home, id, &log.overrides);
    if let Ok(log) = LogConfig::from_values(sources.values()) {
        // Its errors are reported below, together with all others.
        log_settings::apply(&log).ok();
    }
    if args.init_if_missing || Environment::of_process().init_if_missing().unwrap_or(false) {
        let out = best_effort(args.supervised);
        sources = first_start::make_if_missing(&home, id, &log.overrides, sources, out).await?;
    }
    if staging::finish(home.dir())? {
        tracing::info!("Completed an interrupted init: {}", home.dir().display());
        sources = Sources::read(&home, id, &log.overrides);
    }
    let StartSettings { mut config, telemetry } = configure(sources, &args)?;
    log_settings::apply(&config.log)?;
    let keys = load_keys(&home, &config)?;
    if !keys.sphinx.secret().is_locked() {
        tracing::warn!("The private key may be swapped to disk: cannot lock memory (raise ulimit -l, LimitMEMLOCK=)");
    }
    limits::raise_nofile(&config.limits)?;
    let telemetry = start_telemetry(&config, telemetry)?;
    let (stop, mut stopped) = oneshot::channel();
    let events = args.supervised.then(EventLines::on_stdout).transpose();
    let events = events
        .map_err(|error| Failure::new(Exit::TRY_AGAIN, format_args!("cannot report to the supervisor: {error}")))?;
    let sender = events.as_ref().map(EventLines::sender);
    let report = move |event: SupervisorEvent| {
        if let Some(events) = &sender {
            events.send(&event);
        }
    };
    let node = async {
        let _mark = tokio::select! {
            biased;
            mark = mark_running(&home, &config, || held = None) => mark?,
            // Stopped before the start.
            _ = &mut stopped => return Ok(()),
        };
        let found = tokio::select! {
            // A node with configured addresses need not wait, and starts and stops in order.
            biased;
            found = find_missing(&config, &telemetry) => found?,
            // Stopped before the start.
            _ = &mut stopped => return Ok(()),
        };
        print_start(role, &config, found.as_ref().map(|found| &found.detection), &keys, args.supervised);
        drop(held);
        let announce = found.map(|Found { detector, detection }| {
            config.announce.addresses.clone_from(&detection.announce);
            AnnounceWatch::new(detector, &detection)
        });
        let options = RunOptions {
            last_good: Some(home.topology_file()),
            service_manager: ServiceManager::from_environment().map(Arc::new),
            announce,
            telemetry,
        };
        let stopped = async { drop(stopped.await) };
        match role {
            Role::Mixnode => node::run(config, keys, options, stopped, report).await?,
            Role::Gateway => {
                let store = home.store_file();
                node::gateway::run(config, store, keys, options, stopped, report).await?;
            }
        }
        Ok(())
    };
    let ended = tokio::select! {
        ended = node => ended,
        failure = stops.watch(stop) => Err(failure),
        never = log.follow(hangups) => match never {},
    };
    if let Some(events) = events {
        events.finish();
    }
    ended
}

/// Waits until no other process runs the node. After a forced deletion, Kubernetes starts the next pod at once.
///
/// `waits` is called before a wait that an operator notices.
async fn mark_running(home: &NodeHome, config: &Config, waits: impl FnOnce()) -> Result<Option<RunningMark>, Failure> {
    let patience = config.shutdown.linger + config.shutdown.drain_deadline + STOP_RESERVE;
    let waits = || {
        waits();
        tracing::warn!("Another process runs the node in {}; waiting for its end", home.dir().display());
    };
    Ok(home.mark_running(patience, waits).await?)
}

/// Stream for the start-up text: under a supervisor, standard output carries events.
fn best_effort(supervised: bool) -> BestEffortOutput {
    if supervised { BestEffortOutput::stderr() } else { BestEffortOutput::stdout() }
}

fn configure(mut sources: Sources, args: &Args) -> Result<StartSettings, Failure> {
    args.settings.move_port(&mut sources);
    let mut start = sources.start()?;
    start.config.directory.take_over = args.force;
    Ok(start)
}

/// Settings from the flags.
fn overrides(args: &Args) -> Values {
    args.settings.values(&args.node)
}

/// Starts the export of telemetry if it is configured.
fn start_telemetry(config: &Config, settings: Option<otel::Settings>) -> Result<Telemetry, Failure> {
    let Some(settings) = settings else { return Ok(Telemetry::default()) };
    let cloud = config.announce.detection.known_cloud();
    Telemetry::start(&settings, cloud).map_err(|error| match error {
        StartError::Exporter { .. } => Failure::new(Exit::CONFIG, error),
        StartError::Thread(_) => Failure::new(Exit::NO_RESOURCES, error),
    })
}

fn load_keys(home: &NodeHome, config: &Config) -> Result<NodeKeys, Failure> {
    let files = KeyFiles::new(home.dir(), &config.keys);
    install::finish(&files)?;
    store::load(&files).map_err(|error| {
        let missing = matches!(error, KeyError::Missing(_));
        let failure = Failure::from(error);
        if missing {
            let dir = home.dir().display();
            failure.with_advice(format_args!(
                "restore it from your backup or, to make a new node, move {dir} away and run `init`"
            ))
        } else {
            failure
        }
    })
}

/// Prints the start-up text of the 0.9.2 manual, or logs one line if the log format is JSON.
fn print_start(role: Role, config: &Config, found: Option<&Detection>, keys: &NodeKeys, supervised: bool) {
    if config.log.format == LogFormat::Json {
        tracing::info!(
            id = config.node.id,
            identity_key = keys.identity_public,
            sphinx_key = keys.sphinx.public_base58(),
            "Starting {}",
            role.name()
        );
        return;
    }
    let hello = format!("{}\n{}", banner(role), summary(role, config, found, keys));
    // A failed write must not fail the start.
    print_to(best_effort(supervised), hello).ok();
}

fn banner(role: Role) -> String {
    let own = env!("CARGO_PKG_VERSION");
    format!(
        "{LOGO}\n             ({} - version {PROTOCOL_VERSION})\n             (nym-mixnode {own})\n\n    ",
        role.name()
    )
}

fn summary(role: Role, config: &Config, found: Option<&Detection>, keys: &NodeKeys) -> String {
    let mut lines = vec![
        format!("Starting {} {}...", role.name(), config.node.id),
        String::new(),
        format!("Directory server [presence]: {}", without_last_slash(&config.directory.url)),
        format!("Directory server [metrics]: {}", without_last_slash(&config.directory.metrics_url)),
    ];
    let listening = config.listen.bind_addresses().into_iter();
    lines.extend(listening.map(|address| format!("Listening for incoming packets on {address}")));
    lines.extend(found.into_iter().flat_map(announcing));
    let announced = config.announce.addresses.iter();
    lines.extend(announced.map(|announced| announcing_line(announced.address, None)));
    lines.push(format!("Public key: {}", keys.identity_public));
    lines.push(format!("Sphinx key: {}", keys.sphinx.public_base58()));
    lines.push(String::new());
    lines.join("\n")
}

/// Sources of stop requests.
struct Stops {
    signals: StopSignals,
    /// Completes at the end of standard input, under a supervisor.
    supervisor_gone: Option<oneshot::Receiver<()>>,
}

impl Stops {
    fn install(supervised: bool) -> Result<Self, Failure> {
        let signals = stop_signals()?;
        Ok(Self { signals, supervisor_gone: supervised.then(end_of_standard_input) })
    }

    /// Forwards the first request; returns at a second signal, which means to stop at once.
    async fn watch(mut self, stop: oneshot::Sender<()>) -> Failure {
        let supervised = self.supervisor_gone.is_some();
        tokio::select! {
            signal = self.signals.next() => tracing::info!("Stopping on {signal:?}"),
            _ = if_some(self.supervisor_gone) => tracing::info!("Stopping: the supervisor is gone"),
        }
        // The node may already have ended by itself.
        stop.send(()).ok();
        if supervised {
            // A ctrl-c reaches the whole process group, so the supervisor may send a second stop;
            // to stop the node at once, it kills the node.
            return pending().await;
        }
        let second = self.signals.next().await;
        Failure::new(exit_of(second), format_args!("stopped at once by a second signal, {second:?}"))
    }
}

/// Exit code after a second signal.
fn exit_of(signal: StopSignal) -> Exit {
    match signal {
        StopSignal::SIGINT => Exit::INTERRUPTED,
        StopSignal::SIGTERM => Exit::TERMINATED,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nym_mixnode_config::{Source, settings as s};
    use rustix::process::{Signal, getpid, kill_process};

    #[tokio::test]
    async fn the_first_signal_asks_and_the_second_ends() {
        let (stop, stopped) = oneshot::channel();
        let stops = Stops::install(false).unwrap();
        let watch = tokio::spawn(stops.watch(stop));
        kill_process(getpid(), Signal::TERM).unwrap();
        stopped.await.unwrap();
        assert!(!watch.is_finished());
        kill_process(getpid(), Signal::INT).unwrap();
        let failure = watch.await.unwrap();
        assert_eq!(failure.exit, Exit::INTERRUPTED);
        assert_eq!(failure.to_string(), "stopped at once by a second signal, SIGINT");
    }

    #[test]
    fn the_start_reads_as_in_the_manual() {
        let mut values = Values::default();
        values.set(&s::NODE_ID.about, "winston-smithnode", &Source::Program);
        values.set(&s::NODE_LAYER.about, "1", &Source::Program);
        values.set(&s::LISTEN_ADDRESSES.about, "167.70.75.75", &Source::Program);
        values.set(&s::DIRECTORY_URL.about, "https://testnet-validator1.nymtech.net", &Source::Program);
        values.set(&s::DIRECTORY_METRICS_URL.about, "https://metrics.nymtech.net", &Source::Program);
        let config = Config::from_values(&values).unwrap();
        let keys = NodeKeys {
            identity: Arc::new(nym_mixnode_keys::IdentityKeyPair::generate().unwrap()),
            identity_public: "HHWAJ1zwpbb1uPLCvoTCUrtyUEuW9KKbUUnz3EUF1Xd9".to_owned(),
            sphinx: nym_mixnode_keys::SphinxKeyPair::generate().unwrap(),
        };
        assert!(
            banner(Role::Mixnode).contains(LOGO)
                && banner(Role::Mixnode).contains("\n             (mixnode - version 0.9.2)\n")
        );
        let summary = summary(Role::Mixnode, &config, None, &keys);
        assert_eq!(
            summary.split("\nSphinx key: ").next().unwrap(),
            "Starting mixnode winston-smithnode...\n\n\
             Directory server [presence]: https://testnet-validator1.nymtech.net\n\
             Directory server [metrics]: https://metrics.nymtech.net\n\
             Listening for incoming packets on 167.70.75.75:1789\n\
             Announcing the following socket address: 167.70.75.75:1789\n\
             Public key: HHWAJ1zwpbb1uPLCvoTCUrtyUEuW9KKbUUnz3EUF1Xd9"
        );
    }
}
