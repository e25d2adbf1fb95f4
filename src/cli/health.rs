//! `health`: asks a running node whether it is alive and ready, for a container's health check.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use nym_mixnode_config::{NodeHome, NodeId, Role, http_url};
use nym_mixnode_directory::{Client, ClientLimits};
use nym_mixnode_keys::{KeyFile, KeyFiles, store};
use nym_mixnode_net::socket::next_free;
use nym_mixnode_telemetry::health::{self, AskError};
use url::{Host, Url};

use super::ca_file::CaFileFlag;
use super::flags::NodeFlags;
use super::load::{http_of_environment, load_config};
use super::output::print_to;
use super::{Exit, Failure};

/// Ask a running mixnode whether it is alive and ready
///
/// Prints one line. The exit code is 0 when the node is ready, and 1 when it is not or does not answer within 3 s. In a
/// container, where no --id is needed, it asks what runs: the mixnode or the gateway.
#[derive(Debug, clap::Args)]
#[command(after_help = "Without --url and --listen the address is http.listen of the node's configuration: its file, \
    overridden by the environment (NYM_MIXNODE_HTTP_LISTEN). If no node is selected, only the environment \
    is read, and the default address is used if the variable is not set.")]
pub(super) struct Args {
    /// Base URL of the node's HTTP server, without /livez
    #[arg(long, value_name = "URL", value_parser = http_url, conflicts_with_all = ["listen", "id"])]
    url: Option<Url>,
    /// Address of the node's HTTP server, as in the setting http.listen
    #[arg(long, value_name = "ADDRESS", conflicts_with = "id")]
    listen: Option<SocketAddr>,
    /// Name of a node on this machine, whose configuration has the address; also `NYM_MIXNODE_ID`
    #[arg(long, value_name = "ID")]
    id: Option<NodeId>,
    /// Directory of all nodes' files, instead of ~/.nym; also `NYM_MIXNODE_HOME`
    #[arg(long, value_name = "DIR", conflicts_with_all = ["url", "listen"])]
    home: Option<PathBuf>,
    /// Ask this directory server instead of a node: whether it answers and can store registrations
    #[arg(long, value_name = "URL", value_parser = http_url, conflicts_with_all = ["url", "listen", "id", "home"])]
    directory: Option<Url>,
    #[command(flatten)]
    ca_file: CaFileFlag,
    /// Also report the directory as unhealthy if a layer of its network has no active node, so that clients cannot use it
    #[arg(long, requires = "directory")]
    deep: bool,
    /// Also report the node as unhealthy if its limit of open files is below this
    #[arg(long, value_name = "N")]
    nofile_min: Option<u64>,
}

/// Deadline for a directory's answer.
const DIRECTORY_TIMEOUT: Duration = Duration::from_secs(3);

pub(super) async fn run(args: Args) -> Result<(), Failure> {
    ask(None, args).await
}

/// Asks a node of this role.
pub(super) async fn run_as(role: Role, args: Args) -> Result<(), Failure> {
    ask(Some(role), args).await
}

async fn ask(role: Option<Role>, args: Args) -> Result<(), Failure> {
    if let Some(directory) = &args.directory {
        let limits = ClientLimits { total_timeout: DIRECTORY_TIMEOUT, ..ClientLimits::default() };
        let client = Client::trusting(args.ca_file.path(), directory, directory, limits)?;
        let checked = if args.deep { client.check_network().await } else { client.check_health().await };
        checked.map_err(unhealthy)?;
        return print_to(io::stdout(), "ready");
    }
    let Asked { url, identity, running } = asked(role, &args)?;
    let health = health::ask(&url).await.map_err(|error| {
        let advice = match (&error, running) {
            (AskError::NoNode { .. }, _) => return unhealthy(error).with_advice(own_address(&url)),
            (AskError::NoAnswer { .. }, Some(true)) => {
                "the node runs: if that is not its http.listen, pass --listen or set http.listen in its configuration"
            }
            (AskError::NoAnswer { .. }, Some(false)) => "the node does not run",
            (AskError::NoAnswer { .. }, None) => "does the node run, and is that its http.listen?",
        };
        unhealthy(error).with_advice(advice)
    })?;
    if let Some(expected) = identity.filter(|expected| *expected != health.identity_key) {
        let other = health.identity_key;
        let message = format_args!("another node answers at {url}: {other} instead of {expected}");
        return Err(unhealthy(message).with_advice(own_address(&url)));
    }
    for answer in [health.live, health.ready] {
        if let Some(problem) = answer.problem {
            return Err(unhealthy(problem.message));
        }
    }
    if let (Some(min), Some(nofile)) = (args.nofile_min, health.limits.soft)
        && nofile < min
    {
        let remedy = health.limits.remedy;
        return Err(unhealthy(format_args!("the node may open {nofile} files at a time, fewer than {min}: {remedy}")));
    }
    print_to(io::stdout(), "ready")
}

/// Advice for nodes with the same HTTP address.
fn own_address(taken: &Url) -> String {
    let ip = match taken.host() {
        Some(Host::Ipv4(ip)) => Some(IpAddr::V4(ip)),
        Some(Host::Ipv6(ip)) => Some(IpAddr::V6(ip)),
        _ => None,
    };
    let taken = ip.zip(taken.port_or_known_default()).map(SocketAddr::from);
    let example = taken.map(|taken| format!(", such as {}", next_free(taken))).unwrap_or_default();
    format!(
        "give each node of this machine a different HTTP address: set http.listen in this node's configuration{example}, \
         or start it with --http-listen and ask with --listen"
    )
}

/// The HTTP server to ask.
struct Asked {
    url: Url,
    /// Whether the node's process runs; `None` if unknown.
    running: Option<bool>,
    /// Expected identity, if known: another node of the machine may use the same address.
    identity: Option<String>,
}

fn asked(role: Option<Role>, args: &Args) -> Result<Asked, Failure> {
    if let Some(url) = &args.url {
        return Ok(Asked { url: with_last_slash(url), running: None, identity: None });
    }
    if args.listen.is_some() {
        return Ok(Asked { url: url_of(args.listen)?, running: None, identity: None });
    }
    let Some(node) = NodeFlags::if_given(args.id.clone(), args.home.clone())? else {
        return Ok(Asked { url: url_of(http_of_environment()?.listen)?, running: None, identity: None });
    };
    let home = match role {
        Some(role) => node.home_of(role)?,
        // A name on the command line is that of a mixnode.
        None if args.id.is_some() => node.home()?,
        None => existing(&node)?,
    };
    let config = load_config(&home, &node.id, &node.values())?;
    let identity = store::load_public(&KeyFiles::new(home.dir(), &config.keys), KeyFile::PublicIdentity)?;
    Ok(Asked { url: url_of(config.http.listen)?, running: home.is_running(), identity: Some(identity) })
}

/// The mixnode or gateway of this name, whichever exists; of two, the one that runs.
fn existing(node: &NodeFlags) -> Result<NodeHome, Failure> {
    let (mixnode, gateway) = (node.home_of(Role::Mixnode)?, node.home_of(Role::Gateway)?);
    let only_gateway_runs = || mixnode.is_running() != Some(true) && gateway.is_running() == Some(true);
    let is_gateway = gateway.dir().exists() && (!mixnode.dir().exists() || only_gateway_runs());
    Ok(if is_gateway { gateway } else { mixnode })
}

/// The URL of a server with this `http.listen`.
fn url_of(listen: Option<SocketAddr>) -> Result<Url, Failure> {
    let Some(listen) = listen else {
        return Err(Failure::new(Exit::CONFIG, "cannot ask the node: http.listen is off"));
    };
    health::url_of(listen).ok_or_else(|| {
        let message = format_args!("http.listen {listen} means any free port: pass the port in use with --url");
        Failure::new(Exit::CONFIG, message)
    })
}

/// Appends a slash to the URL if it has none, so that paths are joined below it.
fn with_last_slash(url: &Url) -> Url {
    let mut url = url.clone();
    if !url.path().ends_with('/') {
        url.set_path(&format!("{}/", url.path()));
    }
    url
}

fn unhealthy(message: impl std::fmt::Display) -> Failure {
    Failure::new(Exit::UNHEALTHY, message)
}
