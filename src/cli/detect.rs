//! `detect`: where a node on this machine would listen, and under which addresses others would reach it.

use std::fmt::Write;
use std::io;

use serde::Serialize;

use crate::address::{BindAddr, Detection, Detector, Step};
use crate::config::{self, settings as s};

use super::Failure;
use super::addresses::AddressFlags;
use super::output::say;

const EVERYWHERE: &str = "default: every address of this machine";

/// Find this machine's addresses: where to listen, and what to announce to the others
///
/// It looks in the order in which `init` and `run` do: the cloud's metadata, this machine's interfaces, an echo service
/// if one is configured. Nothing is changed.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  nym-mixnode detect --explain\n  nym-mixnode detect --cloud aws --json")]
pub(super) struct Args {
    #[command(flatten)]
    addresses: AddressFlags,
    /// Print every step that was tried, and what it answered
    #[arg(long)]
    explain: bool,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

/// The document of `--json`; `docs/addresses.md` explains it.
#[derive(Serialize)]
struct Document<'a> {
    bind: [Entry; 1],
    announce: Vec<Entry>,
    steps: &'a [Step],
}

#[derive(Serialize)]
struct Entry {
    family: &'static str,
    address: String,
    source: String,
}

pub(super) async fn run(args: Args) -> Result<(), Failure> {
    let detection = config::detection(&args.addresses.values())?;
    let bind = BindAddr::everywhere(s::DEFAULT_PORT);
    let detection = Detector::new(detection, s::DEFAULT_PORT).detect().await;
    if args.json {
        let document = serde_json::to_string_pretty(&document(bind, &detection)).unwrap_or_default();
        say(io::stdout(), document)?;
    } else {
        say(io::stdout(), text(bind, &detection, args.explain))?;
    }
    detection.found()?;
    Ok(())
}

fn document(bind: BindAddr, detection: &Detection) -> Document<'_> {
    let entry = |address: std::net::SocketAddr, source: &str| Entry {
        family: if address.is_ipv4() { "ipv4" } else { "ipv6" },
        address: address.to_string(),
        source: source.to_owned(),
    };
    Document {
        bind: [entry(bind.get(), EVERYWHERE)],
        announce: detection.announce.iter().map(|found| entry(found.address.get(), &found.source)).collect(),
        steps: &detection.steps,
    }
}

fn text(bind: BindAddr, detection: &Detection, explain: bool) -> String {
    let mut text = format!("bind      {bind} ({EVERYWHERE})");
    for is_v4 in [true, false] {
        let found = detection.announce.iter().find(|found| found.address.get().is_ipv4() == is_v4);
        let family = if is_v4 { "IPv4" } else { "IPv6" };
        // Writing to a string cannot fail.
        match found {
            Some(found) => write!(text, "\nannounce  {} ({})", found.address, found.source),
            None => write!(text, "\nannounce  no {family} address found"),
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
