//! `nym-mixnode probe`: tests whether each node mixes, over IPv4 and over IPv6.

mod output;
mod progress;
mod rounds;
mod table;
mod words;

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use nym_mixnode_api::LAYERS_MAX;
use nym_mixnode_base::count::noun;
use nym_mixnode_base::exit::Exit;
use nym_mixnode_config::http_url;
use nym_mixnode_directory::{Client, ClientLimits, Directory, DirectoryError, JoinTokenError, MonitorTokenError};
use nym_mixnode_monitor::check::{self, Label, Plan, Target};
use nym_mixnode_monitor::own_address::{self, OwnAddressError, OwnAddressRequest, parse_host};
use nym_mixnode_monitor::{Prober, ProberError, Registration, RegistrationError};
use nym_mixnode_net::Reach;
use nym_mixnode_sphinx::BuildError;
use thiserror::Error;
use tokio::time::{Instant, sleep};
use url::{Host, Url};

use self::output::Outcome;
use self::progress::ProgressLine;
use super::ca_file::CaFileFlag;
use crate::stop_request::StopSignals;
use crate::times;

/// Mean delay requested of the node under test: long enough to measure, short enough not to slow the test.
const MEAN_DELAY: Duration = Duration::from_millis(50);

/// Interval between two looks at the active set.
const ACTIVE_POLL: Duration = Duration::from_secs(1);

/// Test that nodes mix: send Sphinx packets through each of them and back, over IPv4 and IPv6.
///
/// During the test the directory lists the prober as a gateway, because nodes forward to listed
/// addresses only. A node learns of it at its next topology refresh (every 30 s by default): until then, packets are
/// sent once a second and not counted.
#[derive(Debug, Clone, Args)]
pub struct ProbeArgs {
    /// URL of the directory that lists the nodes.
    #[arg(long, value_name = "URL", value_parser = http_url)]
    pub directory: Url,
    /// Test only this node, given by its identity key or Sphinx key in base58, or the beginning of either.
    #[arg(long, value_name = "KEY")]
    pub node: Option<String>,
    /// Layers of the network, each of which must have a node [default: the directory's number, or else 3].
    #[arg(long, value_name = "N", conflicts_with = "node")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=LAYERS_MAX))]
    pub layers: Option<u64>,
    /// Local address, with or without port, that receives returning packets; one of each family [default: detected].
    #[arg(long, value_name = "ADDR", num_args = 1.., value_parser = parse_host)]
    pub host: Vec<SocketAddr>,
    /// Address at which the nodes reach the local address, if it differs; one of each family.
    #[arg(long, value_name = "ADDR", num_args = 1.., value_parser = parse_host)]
    pub announce_host: Vec<SocketAddr>,
    /// Packets to count for each node and family.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    pub packets: u32,
    /// Time after which a packet counts as lost.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = times::positive)]
    pub timeout: Duration,
    /// Longest wait for a node to learn of the prober; 0s counts from the first packet on. Below 35s, a node from
    /// which nothing returned is undecided.
    #[arg(long, value_name = "TIME", default_value = "40s", value_parser = times::any)]
    pub settle: Duration,
    /// Longest wait for an active node in each layer: clients use no others, and nodes earn their place by passing the
    /// tests of a monitor.
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = times::any)]
    #[arg(conflicts_with_all = ["every", "node"])]
    pub wait_active: Duration,
    /// Print the result as JSON.
    #[arg(long, conflicts_with = "every")]
    pub json: bool,
    /// Repeat the test at this interval until ctrl-c or SIGTERM, and log one line for each round.
    #[arg(long, value_name = "TIME", value_parser = parse_pause)]
    pub every: Option<Duration>,
    /// After each round, report to the directory which nodes are up; needs its token.
    #[arg(long, requires = "every")]
    pub report: bool,
    /// File with the directory's token: its monitor.token, read before each report.
    #[arg(long, value_name = "FILE", requires = "report")]
    pub monitor_token_file: Option<PathBuf>,
    #[command(flatten)]
    pub ca_file: CaFileFlag,
    /// File with the token that a closed directory requires of the prober (`registry --join-token-file`).
    #[arg(long, value_name = "FILE")]
    pub join_token_file: Option<PathBuf>,
}

/// Parses the interval between rounds, which must not overlap.
fn parse_pause(text: &str) -> Result<Duration, String> {
    times::at_least(text, Duration::from_secs(1))
}

/// Reason for a failed or negative probe.
#[derive(Debug, Error)]
pub enum ProbeError {
    /// The directory's answer is missing or invalid.
    #[error("cannot get the topology from the directory {url}: {reason}")]
    Directory {
        /// URL of the directory.
        url: Url,
        /// Error of the client.
        reason: String,
    },
    /// The join token cannot be used.
    #[error("--join-token-file: {0}")]
    JoinToken(#[from] JoinTokenError),
    /// The monitors' token cannot be used.
    #[error(transparent)]
    MonitorToken(#[from] MonitorTokenError),
    /// The directory lists no mixnode.
    #[error(
        "the directory {0} lists no mixnode: start one, and wait until `nym-mixnode health --id …` on its machine \
         prints ready"
    )]
    NoNodes(Url),
    /// The directory lists no node with that key.
    #[error(
        "no node with the key '{key}' in the directory, which lists {}; is it running and registered?", words::count(*listed)
    )]
    NoSuchNode {
        /// As given.
        key: String,
        /// Number of listed nodes.
        listed: usize,
    },
    /// `--host` and `--announce-host` are invalid, or this machine has no address.
    #[error(transparent)]
    OwnAddress(#[from] OwnAddressError),
    /// The prober cannot listen.
    #[error(transparent)]
    Prober(#[from] ProberError),
    /// The prober cannot be listed.
    #[error(transparent)]
    Registration(#[from] RegistrationError),
    /// No packet can be built for a route.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// Ctrl-C or SIGTERM.
    #[error("stopped before the test was over")]
    Interrupted,
    /// The test found nodes that do not mix.
    #[error("{0}")]
    NotMixing(String),
    /// The test found no fault, but some nodes remain undecided.
    #[error(
        "{undecided} of {} {} undecided: see the result above for the reasons",
        words::count(*tested),
        noun(*undecided, "is", "are")
    )]
    Undecided {
        /// Nodes that could not be tested from here, or that may not know the prober yet.
        undecided: usize,
        /// Nodes under test.
        tested: usize,
    },
    /// Writing the result or installing the signal handlers failed.
    #[error("cannot write the result: {0}")]
    Io(#[from] io::Error),
}

impl ProbeError {
    /// Exit code of a command that fails with this error.
    #[must_use]
    pub fn exit_code(&self) -> Exit {
        match self {
            Self::OwnAddress(OwnAddressError::Twice { .. } | OwnAddressError::AnnounceUnknown(_)) => Exit::USAGE,
            Self::Directory { .. }
            | Self::NoNodes(_)
            | Self::NoSuchNode { .. }
            | Self::OwnAddress(OwnAddressError::NoAddress)
            | Self::Prober(_)
            | Self::Registration(_)
            | Self::Build(_)
            | Self::NotMixing(_) => Exit::UNAVAILABLE,
            Self::Io(_) => Exit::IO,
            Self::JoinToken(_) => Exit::CONFIG,
            Self::MonitorToken(error) => error.exit_code(),
            Self::Interrupted | Self::Undecided { .. } => Exit::TRY_AGAIN,
        }
    }
}

impl ProbeArgs {
    const fn plan(&self) -> Plan {
        Plan { packets: self.packets, timeout: self.timeout, settle: self.settle }
    }
}

/// Runs the command.
///
/// # Errors
/// When the test fails, or finds a node that does not mix.
pub async fn run(args: ProbeArgs) -> Result<(), ProbeError> {
    let ended = probe(&args).await;
    if let Err(error) = &ended
        && args.json
        && !matches!(error, ProbeError::NotMixing(_) | ProbeError::Undecided { .. } | ProbeError::Io(_))
    {
        output::print_failure(&args.directory, error)?;
    }
    ended
}

/// Client of a directory, with the authorities and the join token of these files.
pub(super) fn client(
    directory: &Url,
    ca_file: &CaFileFlag,
    join_token_file: Option<&Path>,
) -> Result<Client, ProbeError> {
    let client = Client::trusting(ca_file.path(), directory, directory, ClientLimits::default());
    client.and_then(|client| client.with_join_token(join_token_file)).map_err(|error| match error {
        DirectoryError::JoinToken(error) => error.into(),
        error => no_directory(directory, &error),
    })
}

async fn probe(args: &ProbeArgs) -> Result<(), ProbeError> {
    let mut signals = StopSignals::new()?;
    let client = client(&args.directory, &args.ca_file, args.join_token_file.as_deref())?;
    let client = Arc::new(client);
    if let Some(every) = args.every {
        return rounds::run(args, &client, every, signals).await;
    }
    let prepare = async {
        let targets = targets(args, &client).await?;
        Ok::<_, ProbeError>((open_prober(args, &targets.nodes).await?, targets))
    };
    let (mut prober, Targets { nodes, layers }) = tokio::select! {
        prepared = prepare => prepared?,
        _ = signals.next() => return Err(ProbeError::Interrupted),
    };
    let registration = Registration::register(&client, &prober).await?;
    let plan = args.plan();
    let test = async {
        let reports = check::run(&mut prober, nodes, &plan, ProgressLine::new(args).draw()).await?;
        Ok(Outcome::new(&args.directory, reports, network_layers(args, &client, layers).await?))
    };
    let outcome = tokio::select! {
        outcome = test => outcome,
        _ = signals.next() => Err(ProbeError::Interrupted),
    };
    if let Err(error) = registration.withdraw().await {
        tracing::warn!("{error}");
    }
    finish(&outcome?, args.json)
}

/// Layers of the network, and where it has active nodes.
#[derive(Debug, Clone)]
struct NetworkLayers {
    count: u64,
    /// Layer of each active node.
    active: Vec<u64>,
}

/// Reads the active set, until each layer has an active node or the time for that is over.
async fn network_layers(
    args: &ProbeArgs,
    client: &Client,
    layers: Option<u64>,
) -> Result<Option<NetworkLayers>, ProbeError> {
    let Some(count) = layers else { return Ok(None) };
    let deadline = Instant::now() + args.wait_active;
    loop {
        let topology = client.active_topology().await.map_err(|error| no_directory(&args.directory, &error))?;
        let active: Vec<u64> = topology.mix_nodes.iter().map(|mix| mix.registration.layer).collect();
        if (1..=count).all(|layer| active.contains(&layer)) || Instant::now() >= deadline {
            return Ok(Some(NetworkLayers { count, active }));
        }
        sleep(ACTIVE_POLL).await;
    }
}

fn no_directory(url: &Url, error: &dyn std::error::Error) -> ProbeError {
    ProbeError::Directory { url: url.clone(), reason: error.to_string() }
}

/// Nodes under test.
struct Targets {
    nodes: Vec<Target>,
    /// Layers of the network; `None` when only one node is tested.
    layers: Option<u64>,
}

/// Reads the topology and picks the nodes.
async fn targets(args: &ProbeArgs, client: &Client) -> Result<Targets, ProbeError> {
    let topology = client.topology().await.map_err(|error| no_directory(&args.directory, &error))?;
    let layers = args.node.is_none().then(|| args.layers.unwrap_or_else(|| topology.layer_count()));
    let listed = topology.mix_nodes;
    if listed.is_empty() {
        return Err(ProbeError::NoNodes(args.directory.clone()));
    }
    let directory = directory_addresses(&args.directory).await;
    let reach = Reach::of_directory(directory.iter().map(SocketAddr::ip));
    let mut targets = Vec::with_capacity(listed.len());
    for node in &listed {
        if is_wanted(args.node.as_deref(), &node.registration.identity_key, &node.registration.sphinx_key) {
            targets.push(Target::resolve(&node.registration).await.within(reach));
        }
    }
    if targets.is_empty() {
        return Err(ProbeError::NoSuchNode { key: args.node.clone().unwrap_or_default(), listed: listed.len() });
    }
    targets.sort_by(|a, b| (a.layer, &a.identity).cmp(&(b.layer, &b.identity)));
    Ok(Targets { nodes: targets, layers })
}

/// Opens the prober on addresses that can reach the nodes.
async fn open_prober(args: &ProbeArgs, targets: &[Target]) -> Result<Prober<Label>, ProbeError> {
    let request = OwnAddressRequest { hosts: args.host.clone(), announce_hosts: args.announce_host.clone() };
    let nodes: Vec<SocketAddr> = targets.iter().flat_map(|target| target.addresses.clone()).collect();
    let endpoints = own_address::choose(&request, &directory_addresses(&args.directory).await, &nodes)?;
    Ok(Prober::bind(&endpoints, MEAN_DELAY)?)
}

fn is_wanted(wanted: Option<&str>, identity: &str, sphinx_key: &str) -> bool {
    wanted.is_none_or(|key| !key.is_empty() && (identity.starts_with(key) || sphinx_key.starts_with(key)))
}

/// Addresses of the directory's host; empty if its name does not resolve.
pub(super) async fn directory_addresses(url: &Url) -> Vec<SocketAddr> {
    let port = url.port_or_known_default().unwrap_or(80);
    match url.host() {
        Some(Host::Ipv4(ip)) => vec![(ip, port).into()],
        Some(Host::Ipv6(ip)) => vec![(ip, port).into()],
        Some(Host::Domain(name)) => {
            tokio::net::lookup_host((name, port)).await.map(Iterator::collect).unwrap_or_default()
        }
        None => Vec::new(),
    }
}

fn finish(outcome: &Outcome, json: bool) -> Result<(), ProbeError> {
    outcome.print(json)?;
    let tested = outcome.nodes.len();
    let mut problems = Vec::new();
    if outcome.not_mixing > 0 {
        let fails = noun(outcome.not_mixing, "does not mix as it should", "do not mix as they should");
        problems.push(format!("{} of {} {fails}", outcome.not_mixing, words::count(tested)));
    }
    problems.extend(words::empty_layers(outcome));
    problems.extend(words::inactive_layers(outcome));
    match outcome.undecided {
        _ if !problems.is_empty() => Err(ProbeError::NotMixing(problems.join("; "))),
        0 => Ok(()),
        undecided => Err(ProbeError::Undecided { undecided, tested }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        probe: ProbeArgs,
    }

    fn parse(line: &str) -> Result<ProbeArgs, clap::Error> {
        Cli::try_parse_from(std::iter::once("probe").chain(line.split_whitespace())).map(|cli| cli.probe)
    }

    #[test]
    fn defaults_and_every_flag() {
        let args = parse("--directory http://127.0.0.1:8081").unwrap();
        assert_eq!((args.packets, args.timeout, args.settle), (20, Duration::from_secs(10), Duration::from_secs(40)));
        let args = parse(
            "--directory http://d.example --node KEY --host 10.0.0.1 ::1 --announce-host 192.0.2.1:1789 \
             --packets 5 --timeout 2s --settle 0s --json",
        )
        .unwrap();
        assert_eq!(args.host.len(), 2);
        assert_eq!(args.announce_host[0].port(), 1789);
        assert!(args.json && args.settle.is_zero() && args.every.is_none());
        let args = parse("--directory http://d.example --every 1min --report").unwrap();
        assert!(args.report && args.every == Some(Duration::from_secs(60)) && args.monitor_token_file.is_none());
        let args = parse("--directory http://d.example --every 1min --report --monitor-token-file t").unwrap();
        assert_eq!(args.monitor_token_file, Some("t".into()));
    }

    #[test]
    fn nonsense_is_refused() {
        let options = [
            "--packets 0",
            "--layers 0",
            "--layers 3 --node KEY",
            "--host mix.example",
            "--every 999ms",
            "--every soon",
            "--every 1m --json",
            "--report",
            "--every 1m --wait-active 1s",
            "--every 1m --monitor-token-file t",
        ];
        for line in ["", "--directory d"]
            .map(str::to_owned)
            .into_iter()
            .chain(options.map(|option| format!("--directory http://d {option}")))
        {
            assert!(parse(&line).is_err(), "{line}");
        }
    }

    #[test]
    fn a_node_is_found_by_either_key_or_its_beginning() {
        assert!(is_wanted(None, "identity", "sphinx"));
        for wanted in ["identity", "sphinx", "ident"] {
            assert!(is_wanted(Some(wanted), "identity", "sphinx"), "{wanted}");
        }
        for other in ["x", "", "dentity", "identity2"] {
            assert!(!is_wanted(Some(other), "identity", "sphinx"), "{other}");
        }
    }
}
