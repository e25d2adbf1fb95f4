//! `detect`: where a node on this machine would listen, and under which addresses others would reach it.

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
use super::output::say;
use super::table_flags::TableFlags;
use super::{Exit, Failure, load};
use crate::stop_request::StopSignals;

/// Between two looks under `--wait`, at first and at most.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(10));

/// Find this machine's addresses: where to listen, and what to announce to the others
///
/// It looks as `init` and `run` do: at what is configured, the cloud's metadata, this machine's interfaces, an echo
/// service if one is named. Nothing is changed. The environment and, with --id, the node's file have their say.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  nym-mixnode detect --explain\n  nym-mixnode detect --cloud aws --json")]
pub(super) struct Args {
    /// Node whose configuration file is read, too; also `NYM_MIXNODE_ID`
    #[arg(long, value_name = "ID")]
    id: Option<NodeId>,
    /// Directory of all nodes' files, instead of ~/.nym; also `NYM_MIXNODE_HOME`
    #[arg(long, value_name = "DIR")]
    home: Option<PathBuf>,
    #[command(flatten)]
    addresses: AddressFlags,
    /// Look again for this long while no announce address is found, as in 15m
    ///
    /// A cloud may take minutes to give a load balancer or a machine its address.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    wait: Option<Duration>,
    /// Print every step that was tried, and what it answered
    #[arg(long)]
    explain: bool,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
    // Last, for it adds only the flags that the others have left.
    #[command(flatten)]
    table: TableFlags,
}

/// The document of `--json`; `docs/addresses.md` explains it.
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
        say(io::stdout(), document)?;
    } else {
        say(io::stdout(), text(&listen, &detection, verb, args.explain))?;
    }
    detection.found()?;
    Ok(())
}

/// What is found once there is something to announce, or when the time is over.
///
/// # Errors
/// When a signal comes first: this may be the first process of a container, which no signal ends by itself.
async fn await_address(config: &AnnounceConfig, wait: Duration) -> Result<Detection, Failure> {
    let mut signals = StopSignals::new()
        .map_err(|error| Failure::new(Exit::TRY_AGAIN, format_args!("signals cannot be received: {error}")))?;
    let began = Instant::now();
    let mut pauses = Backoff::new(PAUSES.0, PAUSES.1);
    let mut told = false;
    let looking = async {
        loop {
            let detection = announced(config.clone()).await;
            let pause = pauses.wait();
            if !detection.announce.is_empty() || began.elapsed() + pause > wait {
                return detection;
            }
            if !told {
                tracing::info!("no announce address yet, looking again for up to {}", humantime::format_duration(wait));
                told = true;
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

/// What is set for the node that is named, if one is; or else by the environment and the flags alone.
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
        return Ok(load::layers(&home, &id, &flags).0.check_places()?);
    }
    let mut layers = Layers::default();
    layers.environment(&environment);
    layers.values(&flags);
    Ok(layers.check_places()?)
}

/// What is configured, which a node announces without looking; or else what is found.
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
        // Writing to a string cannot fail.
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
