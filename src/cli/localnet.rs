//! `nym-mixnode localnet`: runs a whole mix network on this machine and sends packets through it.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use console::Term;

use super::output::{write_json, write_stdout};
use crate::localnet::{self, LocalnetError, Options, View};

/// Line width when the output is not a terminal.
const WIDTH_WITHOUT_TERMINAL: u16 = 80;

/// Run a whole mix network on this machine: a registry, layers of nodes, and a prober that sends packets through all
/// of them, over IPv4 and IPv6, and counts what comes back.
///
/// On a terminal it shows each node's packets per second and lag; elsewhere, or with TERM=dumb or CI set, it prints a
/// line every five seconds. Ctrl-C (or q) stops it in order: it waits for the packets on their way. A second Ctrl-C
/// kills everything at once.
///
/// It offers no more packets than this machine can take, and reports what it offered if that is less than --rate.
#[derive(Debug, Clone, Args)]
pub struct LocalnetArgs {
    #[command(flatten)]
    pub options: Options,
    /// Print the result as JSON.
    #[arg(long)]
    pub json: bool,
    /// Internal: wait for the end of a network, then remove its files.
    #[arg(long, hide = true, value_name = "DIR")]
    pub remove_at_end: Option<PathBuf>,
}

/// Runs the command.
///
/// # Errors
/// When the network does not start, loses a packet or a process, or a node's counters do not add up.
pub async fn run(args: LocalnetArgs) -> Result<(), LocalnetError> {
    if let Some(dir) = &args.remove_at_end {
        return localnet::remove_at_end(dir).await;
    }
    let summary = {
        let mut view = View::new(args.json);
        localnet::run(&args.options, &mut view).await?
        // Dropping the view restores the terminal, also after an error.
    };
    write_stdout(|out| {
        if args.json {
            return write_json(out, &summary);
        }
        let width = Term::stdout().size_checked().map_or(WIDTH_WITHOUT_TERMINAL, |(_, columns)| columns).into();
        writeln!(out, "{}\n{}", summary.table(width), summary.words(width))
    })?;
    let complaints = summary.complaints().join("; ");
    match (complaints.is_empty(), summary.nodes_are_well()) {
        (true, _) => Ok(()),
        (false, true) => Err(LocalnetError::Lost(complaints)),
        (false, false) => Err(LocalnetError::Unwell(complaints)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::localnet::MEAN_DELAY_MAX;
    use clap::Parser;
    use std::time::Duration;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        localnet: LocalnetArgs,
    }

    fn parse(line: &str) -> Result<LocalnetArgs, clap::Error> {
        Cli::try_parse_from(std::iter::once("localnet").chain(line.split_whitespace())).map(|cli| cli.localnet)
    }

    #[test]
    fn defaults_and_every_flag() {
        let options = parse("").unwrap().options;
        assert_eq!((options.layers, options.nodes_per_layer, options.rate), (3, 2, 100));
        assert_eq!((options.mean_delay, options.duration), (Duration::from_millis(50), None));
        let args = parse(
            "--layers 1 --nodes 4 --rate 10 --mean-delay 5ms --duration 20s --json --keep --keep-going \
             --base-port 4000",
        );
        let args = args.unwrap();
        assert!(args.json && args.options.keep == Some(None) && args.options.keep_going);
        assert_eq!(parse("").unwrap().options.keep, None);
        assert_eq!(parse("--keep dir --json").unwrap().options.keep, Some(Some("dir".into())));
        let options = args.options;
        assert_eq!((options.base_port, options.duration), (Some(4000), Some(Duration::from_secs(20))));
    }

    #[test]
    fn nonsense_is_refused() {
        for line in [
            "--mean-delay 121s",
            "--layers 0",
            "--layers 5",
            "--nodes 0",
            "--rate 0",
            "--base-port 0",
            "--mean-delay 5",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }

    #[test]
    fn a_mean_delay_beyond_what_nodes_allow_is_refused_with_the_range() {
        assert_eq!(parse("--mean-delay 20s").unwrap().options.mean_delay, Duration::from_secs(20));
        assert_eq!(parse("--mean-delay 2m").unwrap().options.mean_delay, MEAN_DELAY_MAX);
        let words = parse("--mean-delay 3m").unwrap_err().to_string();
        assert!(words.contains("0s to 2m"), "{words}");
    }
}
