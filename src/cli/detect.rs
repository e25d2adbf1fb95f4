//! `detect`: bind and announce addresses that a node on this machine would use.

use std::fmt::Write;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use nym_mixnode_address::{AddressReport, Announced, Detection, Detector, Step};
use nym_mixnode_base::backoff::Backoff;
use nym_mixnode_config as config;
use nym_mixnode_config::environment::{self, Environment};
use nym_mixnode_config::{AnnounceConfig, Layers, ListenConfig, NodeHome, NodeId, Values};
use nym_mixnode_net::Listening;
use serde::Serialize;
use tokio::time::{Instant, sleep};

use super::addresses::AddressFlags;
use super::load::Sources;
use super::output::print_to;
use super::table_flags::TableFlags;
use super::{Exit, Failure, stop_signals};
use crate::times;

/// First and longest pause between two attempts under `--wait`.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(10));

/// Find this machine's addresses: where to listen, and what to announce to the others
///
/// It detects them as `init` and `run` do: from the configuration, the cloud's metadata, this machine's interfaces and
/// an echo service if one is set. It reads the environment and, with --id, the node's file, and changes nothing.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  nym-mixnode detect --explain\n  nym-mixnode detect --cloud aws --json")]
pub(super) struct Args {
    /// Node whose configuration file is read as well; also `NYM_MIXNODE_ID`
    #[arg(long, value_name = "ID")]
    id: Option<NodeId>,
    /// Directory of all nodes' files, instead of ~/.nym; also `NYM_MIXNODE_HOME`
    #[arg(long, value_name = "DIR")]
    home: Option<PathBuf>,
    #[command(flatten)]
    addresses: AddressFlags,
    /// Retry for this long while no announce address is found, such as 15m
    ///
    /// A cloud may take minutes to give a load balancer or a machine its address.
    #[arg(long, value_name = "TIME", value_parser = times::any)]
    wait: Option<Duration>,
    /// Print every step that was tried, and its result
    #[arg(long)]
    explain: bool,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
    // Must be last: it adds only flags that the other groups do not define.
    #[command(flatten)]
    table: TableFlags,
}

/// Output of `--json`, described in `docs/addresses.md`.
#[derive(Serialize)]
struct Document<'a> {
    bind: Vec<AddressReport>,
    announce: Vec<AddressReport>,
    steps: &'a [Step],
}

pub(super) async fn run(args: Args) -> Result<(), Failure> {
    let values = settings(&args)?;
    let listen = config::listening(&values)?;
    let configured = config::announced(&values)?;
    let verb = if configured.addresses.is_empty() { "found" } else { "configured" };
    let detection = match args.wait {
        Some(wait) => await_address(&configured, wait).await?,
        None => announced(configured).await,
    };
    if args.json {
        let document = serde_json::to_string_pretty(&document(&listen, &detection)).unwrap_or_default();
        print_to(io::stdout(), document)?;
    } else {
        print_to(io::stdout(), text(&listen, &detection, verb, args.explain))?;
    }
    detection.found()?;
    Ok(())
}

/// Detects until an announce address is found or the time is over.
///
/// # Errors
/// When a signal arrives first: the kernel's default action does not end the first process of a container.
async fn await_address(config: &AnnounceConfig, wait: Duration) -> Result<Detection, Failure> {
    let mut signals = stop_signals()?;
    let began = Instant::now();
    let mut pauses = Backoff::new(PAUSES.0, PAUSES.1);
    let mut logged = false;
    let looking = async {
        loop {
            let detection = announced(config.clone()).await;
            let pause = pauses.wait();
            if !detection.announce.is_empty() || began.elapsed() + pause > wait {
                return detection;
            }
            if !logged {
                tracing::info!("no announce address yet, looking again for up to {}", humantime::format_duration(wait));
                logged = true;
            }
            sleep(pause).await;
        }
    };
    tokio::select! {
        detection = looking => Ok(detection),
        signal = signals.next() => {
            Err(Failure::new(Exit::TRY_AGAIN, format_args!("stopped by {signal:?} before an address was found")))
        }
    }
}

/// Settings of the selected node, or else those of the environment and the flags alone.
fn settings(args: &Args) -> Result<Values, Failure> {
    let mut flags = args.table.values().clone();
    flags.replace_with(&args.addresses.values());
    let environment = Environment::of_process();
    let id = match &args.id {
        Some(id) => Some(id.clone()),
        None => environment.parse(environment::ID)?,
    };
    if let Some(id) = id {
        let root = args.home.clone().or_else(|| environment.path(environment::HOME));
        let home = NodeHome::new(root.as_deref(), &id)?;
        return Sources::read(&home, &id, &flags).checked();
    }
    let mut layers = Layers::default();
    layers.environment(&environment);
    layers.values(&flags);
    Ok(layers.check_places()?)
}

/// Configured addresses, which need no detection, or else the detected ones.
async fn announced(config: AnnounceConfig) -> Detection {
    let AnnounceConfig { addresses, port, detection } = config;
    if addresses.is_empty() {
        return Detector::new(detection, port).detect().await;
    }
    let step = |Announced { address, source }: &Announced| Step {
        asked: "configuration".to_owned(),
        answer: format!("{address} ({source})"),
        failed: false,
    };
    Detection { steps: addresses.iter().map(step).collect(), announce: addresses, is_awaited: false }
}

fn document<'a>(listen: &ListenConfig, detection: &'a Detection) -> Document<'a> {
    Document {
        bind: listen.addresses.iter().map(AddressReport::from).collect(),
        announce: detection.announce.iter().map(AddressReport::from).collect(),
        steps: &detection.steps,
    }
}

fn text(listen: &ListenConfig, detection: &Detection, verb: &str, explain: bool) -> String {
    let line = |listening: &Listening| format!("bind      {} ({})", listening.address, listening.source);
    let bind: Vec<_> = listen.addresses.iter().map(line).collect();
    let mut text = bind.join("\n");
    for is_v4 in [true, false] {
        let found = detection.announce.iter().find(|found| found.address.get().is_ipv4() == is_v4);
        let family = if is_v4 { "IPv4" } else { "IPv6" };
        match found {
            Some(found) => write!(text, "\nannounce  {} ({})", found.address, found.source),
            None => write!(text, "\nannounce  no {family} address {verb}"),
        }
        .ok();
    }
    if explain {
        text.push_str("\n\nTried, in this order:");
        for Step { asked, answer, failed } in &detection.steps {
            write!(text, "\n  {} {asked}: {answer}", if *failed { "!" } else { "-" }).ok();
        }
    }
    text
}
