//! `nym-mixnode monitor`: tests all nodes of a network in rounds, and reports the results to the registry.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use console::{Term, truncate_str};
use nym_mixnode_api::Topology;
use nym_mixnode_base::backoff::Backoff;
use nym_mixnode_base::open_files::{LimitsConfig, raise_nofile};
use nym_mixnode_config::http_url;
use nym_mixnode_directory::{Client, Directory, MonitorToken, MonitorTokenError};
use nym_mixnode_monitor::own_address::{self, OwnAddressRequest, parse_host};
use nym_mixnode_monitor::rounds::{Label, RoundSettings, Summary};
use nym_mixnode_monitor::{DirectoryNetwork, Monitor, Prober, Registration, RoundLog, run_monitor};
use nym_mixnode_net::Reach;
use tokio::time::{Instant, sleep};
use tracing::{info, warn};
use url::Url;

use super::ca_file::CaFileFlag;
use super::probe::{self, ProbeError, directory_addresses};
use crate::stop_request::StopSignals;
use crate::times;

/// Shortest interval between rounds.
const ROUND_MIN: Duration = Duration::from_secs(1);

/// Mean delay requested of each node.
const MEAN_DELAY: Duration = Duration::from_millis(20);

/// Number of open files to request: connections of 10 000 nodes over both IP versions, and those to nodes under test.
pub(super) const OPEN_FILES: u64 = 32_768;

/// Pauses between attempts to register at a registry that does not answer.
const RETRY_FROM: Duration = Duration::from_secs(1);
const RETRY_TO: Duration = Duration::from_secs(15);

/// Test all nodes of a network in rounds, and report to the registry which of them mix
///
/// In each round, every node gets one Sphinx packet over IPv4 and one over IPv6, on a route of this node alone, and a
/// second one if the first is lost. The results earn the nodes their reputation, and with it a place in the active
/// set. Random routes over all layers show whether the network as a whole mixes. The monitor runs until ctrl-c or
/// SIGTERM, also while the registry does not answer. The registry lists it as a gateway outside of the active set.
#[derive(Debug, Clone, Args)]
pub struct MonitorArgs {
    /// URL of the registry.
    #[arg(long, value_name = "URL", value_parser = http_url)]
    directory: Url,
    /// File with the registry's token: its monitor.token, read before each report.
    #[arg(long, value_name = "FILE")]
    monitor_token_file: PathBuf,
    /// Interval between rounds.
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = round)]
    every: Duration,
    /// Time after which a packet counts as lost [default: 5s, or half of --every if that is shorter].
    #[arg(long, value_name = "TIME", value_parser = times::positive)]
    timeout: Option<Duration>,
    /// Time in which nodes learn of the monitor; until then, lost packets do not count.
    #[arg(long, value_name = "TIME", default_value = "35s", value_parser = times::any)]
    settle: Duration,
    /// Local address, with or without port, that receives returning packets; one of each family [default: detected].
    #[arg(long, value_name = "ADDR", num_args = 1.., value_parser = parse_host)]
    host: Vec<SocketAddr>,
    /// Address at which the nodes reach the local address, if it differs; one of each family.
    #[arg(long, value_name = "ADDR", num_args = 1.., value_parser = parse_host)]
    announce_host: Vec<SocketAddr>,
    #[command(flatten)]
    ca_file: CaFileFlag,
    /// File with the token that a closed registry requires (`registry --join-token-file`).
    #[arg(long, value_name = "FILE")]
    join_token_file: Option<PathBuf>,
}

/// Parses an interval between rounds.
pub(super) fn round(text: &str) -> Result<Duration, String> {
    times::at_least(text, ROUND_MIN)
}

impl MonitorArgs {
    fn rounds(&self) -> RoundSettings {
        let rounds = RoundSettings::every(self.every);
        RoundSettings { timeout: self.timeout.unwrap_or(rounds.timeout), settle: self.settle, ..rounds }
    }
}

/// Runs the command until a signal.
///
/// # Errors
/// When the addresses are invalid or cannot be bound.
pub async fn run(args: MonitorArgs) -> Result<(), ProbeError> {
    let mut signals = StopSignals::new()?;
    check_token(&args.monitor_token_file)?;
    let client = probe::client(&args.directory, &args.ca_file, args.join_token_file.as_deref())?;
    let client = Arc::new(client);
    if let Err(error) = raise_nofile(&LimitsConfig { nofile: OPEN_FILES, nofile_strict: false }) {
        warn!("{error}");
    }
    let mut registration = None;
    let ended = tokio::select! {
        ended = watch(&args, &client, &mut registration) => ended.map(|never| match never {}),
        _ = signals.next() => Ok(()),
    };
    if let Some(registration) = registration
        && let Err(error) = registration.withdraw().await
    {
        warn!("{error}");
    }
    ended
}

/// Reports an unusable token before the first round. A registry that has not started yet may still create it.
fn check_token(file: &Path) -> Result<(), MonitorTokenError> {
    match MonitorToken::read(file) {
        Err(error) if error.is_missing() => warn!("{error}; waiting for the registry to create it"),
        result => drop(result?),
    }
    Ok(())
}

async fn watch(
    args: &MonitorArgs,
    client: &Arc<Client>,
    registration: &mut Option<Registration>,
) -> Result<Infallible, ProbeError> {
    let topology = first_topology(client).await;
    let directory = directory_addresses(&args.directory).await;
    let mut prober = open_prober(args, &directory, &topology)?;
    *registration = Some(register(client, &prober).await);
    let network = DirectoryNetwork {
        client: Arc::clone(client),
        identity: prober.identity().to_owned(),
        token_file: Some(args.monitor_token_file.clone()),
        reach: Reach::of_directory(directory.iter().map(SocketAddr::ip)),
    };
    let monitor = Monitor::new(network, args.rounds(), &prober);
    let mut view = View::new();
    let never = run_monitor(monitor, &mut prober, |summary| view.show(summary)).await;
    Ok(never)
}

/// Waits for a registry that answers.
async fn first_topology(client: &Client) -> Topology {
    let mut backoff = Backoff::new(RETRY_FROM, RETRY_TO);
    loop {
        match client.topology().await {
            Ok(topology) => return topology,
            Err(error) => {
                warn!("{error}; trying again");
                sleep(backoff.wait()).await;
            }
        }
    }
}

fn open_prober(args: &MonitorArgs, directory: &[SocketAddr], topology: &Topology) -> Result<Prober<Label>, ProbeError> {
    let request = OwnAddressRequest { hosts: args.host.clone(), announce_hosts: args.announce_host.clone() };
    let nodes: Vec<SocketAddr> = topology.announced_addresses().collect();
    let endpoints = own_address::choose(&request, directory, &nodes)?;
    Ok(Prober::bind(&endpoints, MEAN_DELAY)?)
}

/// Registers until the registry lists the monitor.
async fn register(client: &Arc<Client>, prober: &Prober<Label>) -> Registration {
    let mut backoff = Backoff::new(RETRY_FROM, RETRY_TO);
    loop {
        match Registration::register(client, prober).await {
            Ok(registration) => {
                info!("the registry lists this monitor; its nodes learn of it when they read the list again");
                return registration;
            }
            Err(error) => {
                warn!("{error}; trying again");
                sleep(backoff.wait()).await;
            }
        }
    }
}

/// One line on a terminal, rewritten after each round; elsewhere log lines.
struct View {
    terminal: Option<Term>,
    log: RoundLog,
}

impl View {
    fn new() -> Self {
        let terminal = Some(Term::stderr()).filter(Term::is_term);
        Self { terminal, log: RoundLog::default() }
    }

    fn show(&mut self, summary: &Summary) {
        let Some(terminal) = &self.terminal else { return self.log.note(summary, Instant::now()) };
        let settling = if summary.settling { "waiting until the nodes know this monitor; " } else { "" };
        let width = terminal.size_checked().map_or(usize::MAX, |(_, columns)| usize::from(columns).saturating_sub(1));
        let line = format!("{settling}{summary}");
        // Write errors are ignored: the line only shows progress.
        drop(terminal.clear_line().and_then(|()| terminal.write_str(&truncate_str(&line, width, "…"))));
    }
}

impl Drop for View {
    fn drop(&mut self) {
        if let Some(terminal) = &self.terminal {
            drop(terminal.write_line(""));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Command {
        #[command(flatten)]
        args: MonitorArgs,
    }

    fn parse(line: &str) -> Result<MonitorArgs, clap::Error> {
        Command::try_parse_from(line.split(' ')).map(|command| command.args)
    }

    const BASE: &str = "monitor --directory http://127.0.0.1:8081 --monitor-token-file t";

    #[test]
    fn a_short_round_has_a_short_timeout_unless_it_is_given() {
        let rounds = |flags: &str| parse(&format!("{BASE}{flags}")).unwrap().rounds();
        let second = Duration::from_secs(1);
        let default = rounds("");
        assert_eq!((default.every, default.timeout, default.settle), (60 * second, 5 * second, 35 * second));
        assert_eq!(rounds(" --every 1s").timeout, second / 2);
        assert_eq!(rounds(" --every 1s --timeout 3s --settle 2s").timeout, 3 * second);
    }

    #[test]
    fn invalid_flags_are_refused() {
        for flags in [" --every 999ms", " --host mix.example", " --timeout soon"] {
            assert!(parse(&format!("{BASE}{flags}")).is_err(), "{flags}");
        }
        assert!(parse("monitor --directory http://127.0.0.1:8081").is_err(), "the token is required");
    }
}
