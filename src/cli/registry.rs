//! `nym-mixnode registry`: runs a directory server.

mod backup;
mod database;
mod operator;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand, value_parser};
use nym_mixnode_base::exit::Exit;
use nym_mixnode_base::open_files::{LimitsConfig, raise_nofile};
use nym_mixnode_directory::{DirectoryError, MonitorTokenError};
use nym_mixnode_monitor::rounds::RoundSettings;
use nym_mixnode_registry::{
    Caps, IpNet, LAYERS_DEFAULT, Registry, RegistryError, RegistryEvent, RegistrySettings, ReputationRules, TOKEN_FILE,
    TlsFiles,
};
use thiserror::Error;
use tokio::sync::oneshot;
use tracing::{info, warn};

use super::monitor;
use super::output::{BestEffortOutput, print_to};
use database::{DATABASE_VARIABLE, DatabaseArgument, DatabaseError};

use crate::stop_request::{StopSignals, die_with_parent, end_of_standard_input};
use crate::systemd::{Notice, ServiceManager};

const STORE_FILE: &str = "registry.sqlite";

/// Number of open files to request: client connections, the store's files, and a reserve of the same size.
const OPEN_FILES: u64 = 4096;

/// Run a directory server: nodes register with it, clients and nodes read the topology from it
#[derive(Debug, Clone, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct RegistryArgs {
    /// Command for a running registry.
    #[command(subcommand)]
    command: Option<RegistryCommand>,
    /// Address to listen on; may be given several times or as a comma-separated list.
    #[arg(long, value_name = "IP:PORT", value_delimiter = ',', default_value = "127.0.0.1:8081")]
    pub listen: Vec<SocketAddr>,
    #[command(flatten)]
    tls: TlsFlags,
    /// File of the store, or a folder for it [default: ~/.nym/registry/registry.sqlite].
    #[arg(long, value_name = "PATH")]
    pub data: Option<PathBuf>,
    /// URL of a PostgreSQL database for the store, such as `postgres://nym@db.example/nym`. Several registries may share
    /// it. A URL with a password is accepted only from the environment variable or from --database-file.
    #[arg(long, value_name = "URL", env = DATABASE_VARIABLE, hide_env_values = true)]
    pub database: Option<DatabaseArgument>,
    /// File with the URL of the database.
    #[arg(long, value_name = "FILE", conflicts_with = "database")]
    pub database_file: Option<PathBuf>,
    /// Accept nodes with addresses that the internet cannot reach, for a private network. Loopback addresses are valid
    /// only if --listen has loopback addresses alone.
    #[arg(long)]
    pub allow_private: bool,
    /// Number of layers of the network; mixnodes of other layers are rejected.
    #[arg(long, value_name = "N", default_value_t = LAYERS_DEFAULT, value_parser = value_parser!(u64).range(1..=255))]
    pub layers: u64,
    /// Maximum entries of one IPv4 address or IPv6 /64 until its nodes have earned a permanent entry.
    #[arg(long, value_name = "N", default_value_t = Caps::default().per_subscriber)]
    pub entries_per_address: u64,
    /// Maximum of such entries of one IPv4 /24 or IPv6 /48.
    #[arg(long, value_name = "N", default_value_t = Caps::default().per_network)]
    pub entries_per_network: u64,
    /// Maximum entries in total.
    #[arg(long, value_name = "N", default_value_t = Caps::TOTAL_MAX)]
    #[arg(value_parser = value_parser!(u64).range(1..=Caps::TOTAL_MAX))]
    pub entries_max: u64,
    #[command(flatten)]
    monitoring: MonitorFlags,
    #[command(flatten)]
    reputation: ReputationFlags,
    /// File with the token that monitors (`monitor`, `probe --report`) and operators send; created when missing [default:
    /// monitor.token beside the store].
    #[arg(long, value_name = "FILE")]
    pub monitor_token_file: Option<PathBuf>,
    /// File with the tokens of single monitors, one `NAME TOKEN` per line; `#` begins a comment. The majority of the
    /// monitors decides about a node, and each name counts once. These tokens allow nothing but reports of measurements.
    #[arg(long, value_name = "FILE")]
    pub named_tokens_file: Option<PathBuf>,
    /// Accept measurements from this address without the token. Deprecated: use the token.
    #[arg(long, value_name = "IP", value_delimiter = ',')]
    pub monitor: Vec<IpAddr>,
    /// Accept measurements from this machine without the token, for the network monitor of 0.9.2. Never use it behind a
    /// proxy on this machine.
    #[arg(long)]
    pub legacy_loopback_monitor: bool,
    /// Network of trusted proxies that set X-Forwarded-For, such as 10.0.0.0/8; may be given several times or as
    /// a comma-separated list.
    #[arg(long, value_name = "CIDR", value_delimiter = ',', value_parser = network)]
    pub trusted_proxy: Vec<IpNet>,
    /// Host name accepted in requests over loopback or with the token, besides addresses and localhost; may be
    /// given several times or as a comma-separated list.
    #[arg(long, value_name = "NAME", value_delimiter = ',', value_parser = host_name)]
    pub host_name: Vec<String>,
    /// Accept only the identities in this file, one per line; `#` begins a comment. The file is read again when
    /// it changes. With --join-token-file as well, either one is sufficient.
    #[arg(long, value_name = "FILE")]
    pub admit: Option<PathBuf>,
    /// Accept registrations only with the token in this file (`directory.join_token_file` of a node).
    #[arg(long, value_name = "FILE")]
    pub join_token_file: Option<PathBuf>,
    /// Return address of the test packets that verify node addresses: nodes must reach it, and it must lead to the same
    /// port of this machine [default: a free port of the address that the registry listens on].
    #[arg(long, value_name = "IP:PORT", value_delimiter = ',', value_parser = test_address)]
    pub test_address: Vec<SocketAddr>,
    /// The port for returning test packets on the address that the registry listens on; 0 is any free one.
    #[arg(long, value_name = "PORT", default_value_t = 0, conflicts_with = "test_address")]
    pub test_port: u16,
    /// Run under a parent process: print one JSON line on standard output when ready; stop when standard input ends.
    #[arg(long, hide = true)]
    pub supervised: bool,
}

/// HTTPS instead of HTTP.
#[derive(Debug, Clone, Args)]
struct TlsFlags {
    /// File with the certificate for HTTPS in PEM: the registry's own, then those of intermediate authorities. Without
    /// it the registry serves HTTP. A change of the file takes effect within seconds.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_certificate: Option<PathBuf>,
    /// File with the private key of the certificate in PEM, unreadable for other users.
    #[arg(long, value_name = "FILE", requires = "tls_certificate")]
    tls_key: Option<PathBuf>,
}

impl TlsFlags {
    fn files(&self) -> Option<TlsFiles> {
        let (certificate, key) = self.tls_certificate.clone().zip(self.tls_key.clone())?;
        Some(TlsFiles { certificate, key })
    }
}

/// The registry's own monitor.
#[derive(Debug, Clone, Copy, Args)]
struct MonitorFlags {
    /// Test all nodes in rounds with the registry's own monitor, so that they reach the active set, the only nodes that
    /// clients use.
    #[arg(long)]
    with_monitor: bool,
    /// Interval between the rounds of the registry's own monitor.
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = monitor::round, requires = "with_monitor")]
    monitor_every: Duration,
}

impl MonitorFlags {
    /// Rounds of the monitor, if there is one. A supervisor sends packets over all layers itself, and could not stop those
    /// of the monitor before the nodes.
    fn rounds(self, is_supervised: bool) -> Option<RoundSettings> {
        let rounds = RoundSettings { routes: !is_supervised, ..RoundSettings::every(self.monitor_every) };
        self.with_monitor.then_some(rounds)
    }
}

/// Effect of measurements on a node. The defaults are those of the 0.9.2 network.
#[derive(Debug, Clone, Copy, Args)]
struct ReputationFlags {
    /// Reputation that a node gains for each passed test of one IP version.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = value_parser!(i64).range(0..=POINTS_MAX))]
    reputation_passed: i64,
    /// Reputation that a node loses for each failed test; it never falls below 0.
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = value_parser!(i64).range(0..=POINTS_MAX))]
    reputation_failed: i64,
    /// Reputation from which a node is in the active set.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = value_parser!(i64).range(0..=POINTS_MAX))]
    reputation_active: i64,
    /// Uptime of the last day, in per cent, below which a node is not in the active set.
    #[arg(long, value_name = "PERCENT", default_value_t = 50, value_parser = value_parser!(i64).range(0..=100))]
    uptime_min: i64,
}

/// Maximum of the flags for reputation.
const POINTS_MAX: i64 = 1_000_000;

/// Commands for a running registry.
#[derive(Debug, Clone, Subcommand)]
enum RegistryCommand {
    Backup(backup::BackupArgs),
    /// Remove the entry of a node
    ///
    /// A node that signs stays out until it is started again, as after `nym-mixnode unregister`; one that does not sign,
    /// as of release 0.9.2, may register again at once. To keep a node out, close the registry with --admit or
    /// --join-token-file.
    Remove(operator::OperatorArgs),
    /// Remove the entry of an identity, and accept unsigned calls for it again
    ///
    /// An identity that has signed a call must sign all later ones, so release 0.9.2 cannot register it. After the
    /// release it can, and other nodes can use its addresses. Stop its node first: a node that signs claims the identity
    /// again when it is restarted. The identity's owner needs no token: `nym-mixnode unregister --release`.
    Release(operator::OperatorArgs),
}

/// Error of the command.
#[derive(Debug, Error)]
pub enum RegistryCommandError {
    /// The registry could not start.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The registry rejected the command.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// The registry's token cannot be read.
    #[error(transparent)]
    Token(#[from] MonitorTokenError),
    /// The URL of the database cannot be used.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// The home folder is unknown, so the store has no default path.
    #[error("cannot find the home folder for the store; pass --data")]
    NoHome,
    /// Binding to the supervisor or installing signal handlers failed.
    #[error("cannot {action}: {source}")]
    Io {
        /// Failed action.
        action: &'static str,
        source: io::Error,
    },
}

impl RegistryCommandError {
    /// Exit code of a command that fails with this error.
    pub fn exit_code(&self) -> Exit {
        match self {
            Self::Registry(error) => error.exit_code(),
            Self::Directory(error) => error.exit_code(),
            Self::Token(error) => error.exit_code(),
            Self::Database(error) => error.exit_code(),
            Self::NoHome => Exit::CONFIG,
            Self::Io { .. } => Exit::IO,
        }
    }
}

/// Runs the server, or the subcommand.
///
/// # Errors
/// When an address or the store is unavailable, or a running registry rejects the command.
pub async fn run(args: RegistryArgs) -> Result<(), RegistryCommandError> {
    match args.command {
        Some(RegistryCommand::Backup(args)) => backup::run(args).await,
        Some(RegistryCommand::Remove(args)) => operator::remove(args).await,
        Some(RegistryCommand::Release(args)) => operator::release(args).await,
        // Boxed because the future is large.
        None => Box::pin(serve(args)).await,
    }
}

/// Serves until SIGINT or SIGTERM (or, supervised, the end of standard input), then completes open requests; a second
/// signal stops it at once.
async fn serve(args: RegistryArgs) -> Result<(), RegistryCommandError> {
    if args.supervised {
        die_with_parent()
            .map_err(|source| RegistryCommandError::Io { action: "bind the registry to its supervisor", source })?;
    }
    let mut signals =
        StopSignals::new().map_err(|source| RegistryCommandError::Io { action: "wait for signals", source })?;
    if !args.monitor.is_empty() {
        warn!("--monitor is deprecated: addresses are weak proof; pass --monitor-token-file to the monitor instead");
    }
    let settings = settings(&args)?;
    let registry = Registry::bind(&settings).await?;
    // Each connection needs a file descriptor, and most systems' default is below the registry's connection limit.
    let nofile = if settings.monitor.is_some() { OPEN_FILES + monitor::OPEN_FILES } else { OPEN_FILES };
    if let Err(error) = raise_nofile(&LimitsConfig { nofile, nofile_strict: false }) {
        warn!("{error}");
    }
    // A failed write must not fail the start.
    print_to(BestEffortOutput::stdout(), announcement(registry.local_addrs(), &settings, args.supervised)).ok();
    let manager = ServiceManager::from_environment();
    let notify = |notice: Notice<'_>| manager.iter().for_each(|manager| manager.notify(notice));
    notify(Notice::Ready(&announcement(registry.local_addrs(), &settings, false)));

    let (stop, stopped) = oneshot::channel();
    let signalled_twice = async {
        if args.supervised {
            tokio::select! {
                _ = signals.next() => {}
                _ = end_of_standard_input() => {}
            }
        } else {
            signals.next().await;
        }
        info!("stopping");
        notify(Notice::Stopping("completing open requests"));
        // Fails only if the registry has already ended.
        stop.send(()).ok();
        signals.next().await;
    };
    let stopped = async { stopped.await.unwrap_or_default() };
    tokio::select! {
        () = registry.serve(stopped) => {}
        () = signalled_twice => {}
    }
    Ok(())
}

fn settings(args: &RegistryArgs) -> Result<RegistrySettings, RegistryCommandError> {
    Ok(RegistrySettings {
        tls: args.tls.files(),
        database: database::url(args.database.as_ref(), args.database_file.as_deref())?,
        allow_private: args.allow_private,
        layers: args.layers,
        caps: Caps {
            per_subscriber: args.entries_per_address,
            per_network: args.entries_per_network,
            total: args.entries_max,
        },
        reputation: ReputationRules {
            passed: args.reputation.reputation_passed,
            failed: args.reputation.reputation_failed,
            active: args.reputation.reputation_active,
            uptime_min: args.reputation.uptime_min,
        },
        monitor: args.monitoring.rounds(args.supervised),
        monitor_token_file: args.monitor_token_file.clone(),
        named_tokens_file: args.named_tokens_file.clone(),
        monitors: args.monitor.clone(),
        legacy_loopback_monitor: args.legacy_loopback_monitor,
        trusted_proxies: args.trusted_proxy.clone(),
        host_names: args.host_name.clone(),
        admit: args.admit.clone(),
        join_token_file: args.join_token_file.clone(),
        test_addresses: args.test_address.clone(),
        test_port: args.test_port,
        ..RegistrySettings::new(args.listen.clone(), store_path(args.data.clone())?)
    })
}

/// Parses a network or a single address.
fn network(text: &str) -> Result<IpNet, String> {
    let single = |_| text.parse::<IpAddr>().map(IpNet::from);
    text.parse().or_else(single).map_err(|_| "it is not a network such as 10.0.0.0/8 or an IP address".to_owned())
}

/// Checks a host name, which clients send without scheme and port. An empty one matches no request.
fn host_name(text: &str) -> Result<String, String> {
    let is_name = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
    if is_name { Ok(text.to_owned()) } else { Err("it is not a host name such as registry.example".to_owned()) }
}

fn test_address(text: &str) -> Result<SocketAddr, String> {
    let address: SocketAddr =
        text.parse().map_err(|_| "it is not an address such as 192.0.2.1:8082 or [2001:db8::1]:8082".to_owned())?;
    if address.port() == 0 {
        return Err("nodes send to a fixed port; for a free port of the listen address, omit this option".to_owned());
    }
    if address.ip().is_unspecified() {
        return Err("nodes cannot send to it; give the address at which they reach this machine".to_owned());
    }
    Ok(address)
}

/// Line printed when the registry is ready.
fn announcement(addresses: &[SocketAddr], settings: &RegistrySettings, supervised: bool) -> String {
    if supervised {
        let event = RegistryEvent::Ready { addresses: addresses.to_vec() };
        // Serializing addresses cannot fail.
        return serde_json::to_string(&event).unwrap_or_default();
    }
    let scheme = if settings.tls.is_some() { "https" } else { "http" };
    let urls: Vec<String> = addresses.iter().map(|address| format!("{scheme}://{address}")).collect();
    format!("Registry serving at {}", urls.join(" and "))
}

fn store_path(data: Option<PathBuf>) -> Result<PathBuf, RegistryCommandError> {
    let Some(path) = data else {
        let home = std::env::home_dir().filter(|home| !home.as_os_str().is_empty());
        let home = home.ok_or(RegistryCommandError::NoHome)?;
        return Ok(home.join(".nym").join("registry").join(STORE_FILE));
    };
    Ok(if names_a_folder(&path) { path.join(STORE_FILE) } else { path })
}

/// Whether the path is an existing folder, or ends in a slash.
fn names_a_folder(path: &Path) -> bool {
    path.is_dir() || path.as_os_str().as_encoded_bytes().ends_with(b"/")
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Command {
        #[command(flatten)]
        args: RegistryArgs,
    }

    fn parse(line: &str) -> Result<RegistryArgs, clap::Error> {
        Command::try_parse_from(line.split(' ')).map(|command| command.args)
    }

    #[test]
    fn addresses_are_repeated_or_separated_by_commas_and_default_to_loopback() {
        let default: Vec<SocketAddr> = vec!["127.0.0.1:8081".parse().unwrap()];
        assert_eq!(parse("registry").unwrap().listen, default);
        let two: Vec<SocketAddr> = vec!["127.0.0.1:0".parse().unwrap(), "[::1]:0".parse().unwrap()];
        assert_eq!(parse("registry --listen 127.0.0.1:0,[::1]:0").unwrap().listen, two);
        assert_eq!(parse("registry --listen 127.0.0.1:0 --listen [::1]:0").unwrap().listen, two);
        assert_eq!(parse("registry --monitor 192.0.2.1,2001:db8::1 --monitor 192.0.2.2").unwrap().monitor.len(), 3);
        assert!(parse("registry --monitor mix.example").is_err());
        let proxies = parse("registry --trusted-proxy 10.0.0.0/8,::1 --trusted-proxy 192.0.2.1").unwrap().trusted_proxy;
        assert_eq!(proxies.iter().map(IpNet::to_string).collect::<Vec<_>>(), ["10.0.0.0/8", "::1/128", "192.0.2.1/32"]);
        for bad in ["--trusted-proxy 10.0.0.0/33", "--trusted-proxy proxy.example", "--layers 0", "--layers 256"] {
            assert!(parse(&format!("registry {bad}")).is_err(), "{bad}");
        }
        assert!(parse(&format!("registry release {}", "1".repeat(32))).unwrap().command.is_some());
        assert!(parse(&format!("registry --layers 3 release {}", "1".repeat(32))).is_err(), "it starts no registry");
        assert!(parse("registry release 11").is_err());
        let rounds = |line: &str| settings(&parse(line).unwrap()).unwrap().monitor.map(|rounds| rounds.every);
        assert_eq!(rounds("registry"), None);
        assert_eq!(rounds("registry --with-monitor"), Some(Duration::from_mins(1)));
        assert_eq!(rounds("registry --with-monitor --monitor-every 1s"), Some(Duration::from_secs(1)));
        let default = settings(&parse("registry").unwrap()).unwrap().reputation;
        assert_eq!(default, ReputationRules::default());
        let own = settings(&parse("registry --reputation-active 12 --uptime-min 0").unwrap()).unwrap().reputation;
        assert_eq!((own.active, own.uptime_min), (12, 0));
        for bad in ["--tls-key k", "--tls-certificate c"] {
            assert!(parse(&format!("registry {bad}")).is_err(), "{bad}");
        }
        for bad in ["--monitor-every 1s", "--with-monitor --monitor-every 10ms", "--uptime-min 101"] {
            assert!(parse(&format!("registry {bad}")).is_err(), "{bad}");
        }
        assert_eq!(parse("registry --host-name a.example,b_2.example").unwrap().host_name.len(), 2);
        for bad in ["https://a.example", "a.example:8081", "a;id", "*.example", "ä.example"] {
            assert!(parse(&format!("registry --host-name {bad}")).is_err(), "{bad}");
        }
        let tests = parse("registry --test-address 192.0.2.1:8082,[2001:db8::1]:8082").unwrap().test_address;
        assert_eq!(tests.len(), 2);
        for bad in ["192.0.2.1:0", "[2001:db8::1]:0", "0.0.0.0:8082", "[::]:8082", "192.0.2.1", "mix.example:8082"] {
            let error = parse(&format!("registry --test-address {bad}")).unwrap_err().to_string();
            assert!(error.contains("--test-address") && error.contains(bad), "{error}");
        }
        let error = parse("registry --listen localhost").unwrap_err().to_string();
        assert!(error.contains("--listen") && error.contains("localhost"), "{error}");
    }

    #[test]
    fn data_is_a_file_or_a_folder_for_it() {
        let home = tempfile::tempdir().unwrap();
        let with_slash = format!("{}/new/", home.path().display());
        for (data, expected) in [
            (home.path().join("my.db"), home.path().join("my.db")),
            (home.path().to_owned(), home.path().join(STORE_FILE)),
            (with_slash.into(), home.path().join("new").join(STORE_FILE)),
        ] {
            assert_eq!(store_path(Some(data)).unwrap(), expected);
        }
        assert!(store_path(None).unwrap().ends_with(".nym/registry/registry.sqlite"));
    }

    #[test]
    fn the_announcement_is_one_line() {
        let addresses = ["127.0.0.1:8081".parse().unwrap(), "[::1]:8081".parse().unwrap()];
        let plain = settings(&parse("registry").unwrap()).unwrap();
        let tls = settings(&parse("registry --tls-certificate c --tls-key k").unwrap()).unwrap();
        let line = announcement(&addresses, &plain, false);
        assert_eq!(line, "Registry serving at http://127.0.0.1:8081 and http://[::1]:8081");
        let line = announcement(&addresses, &tls, false);
        assert_eq!(line, "Registry serving at https://127.0.0.1:8081 and https://[::1]:8081");
        let line = announcement(&addresses[..1], &plain, true);
        assert_eq!(line, "{\"event\":\"ready\",\"addresses\":[\"127.0.0.1:8081\"]}");
        let event: RegistryEvent = serde_json::from_str(&line).unwrap();
        assert_eq!(event, RegistryEvent::Ready { addresses: addresses[..1].to_vec() });
    }
}
