//! `telemetry`: prints the reference of a node's metrics and spans.

use std::io;

use clap::Subcommand;
use nym_mixnode_telemetry::reference;

use super::Failure;
use super::output::print_to;

/// Document the metrics and spans of a node
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print the reference of all metrics and spans, in Markdown
    Reference {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let Command::Reference { json } = args.command;
    let text = if json { reference::json() } else { reference::markdown() };
    print_to(io::stdout(), text.trim_end())
}
