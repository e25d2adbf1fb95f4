//! `nym-mixnode localnet`: a whole mix network on this machine, with packets through it.

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use console::Term;

use crate::localnet::{self, LocalnetError, MEAN_DELAY_MAX, Options, Summary, View};

/// Of lines that no terminal shows.
const WIDTH_WITHOUT_TERMINAL: u16 = 80;

/// Run a whole mix network on this machine: a registry, layers of nodes, and a prober that sends packets through all
/// of them, over IPv4 and IPv6, and counts what comes back.
///
/// On a terminal it shows each node's packets per second and lag; elsewhere, or with TERM=dumb or CI set, it prints a
/// line every five seconds. Ctrl-C (or q) stops it in order: the packets on their way come home first. A second Ctrl-C
/// kills everything at once.
///
/// It offers no more packets than this machine can take, and reports what it offered if that is less than --rate.
#[derive(Debug, Clone, Args)]
pub struct LocalnetArgs {
    /// Mix layers that each packet passes.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=4))]
    pub layers: u8,
    /// Nodes in each layer.
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=100))]
    pub nodes: u8,
    /// Packets per second over the whole network, as far as this machine can take them.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub rate: u32,
    /// Mean delay asked of each node, up to 2m; the nodes allow the longest delays that come of it.
    #[arg(long, value_name = "TIME", default_value = "50ms", value_parser = mean_delay)]
    pub mean_delay: Duration,
    /// How long to send packets [default: until Ctrl-C].
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub duration: Option<Duration>,
    /// Print the result as JSON.
    #[arg(long)]
    pub json: bool,
    /// Leave configuration, keys and logs of all nodes behind, and say where.
    #[arg(long)]
    pub keep: bool,
    /// When a node or the registry dies, go on with the rest and send packets around it; the exit code tells of it at
    /// the end [default: end at once].
    #[arg(long)]
    pub keep_going: bool,
    /// The registry's port; the nodes take those behind it [default: free ports].
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub base_port: Option<u16>,
    /// Be the process that removes the files of a network when that ends, however it does.
    #[arg(long, hide = true, value_name = "DIR")]
    pub remove_at_end: Option<PathBuf>,
}

impl LocalnetArgs {
    fn options(&self) -> Options {
        Options {
            layers: self.layers.into(),
            nodes_per_layer: self.nodes.into(),
            rate: self.rate,
            mean_delay: self.mean_delay,
            duration: self.duration,
            base_port: self.base_port,
            keep: self.keep,
            keep_going: self.keep_going,
        }
    }
}

/// A delay whose exponential distribution nodes can be set to allow, to its very end.
fn mean_delay(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(delay) if delay <= MEAN_DELAY_MAX => Ok(delay),
        Ok(_) => {
            let longest = humantime::format_duration(MEAN_DELAY_MAX);
            Err(format!(
                "0s to {longest} are possible: no node allows a delay beyond 1h, and single delays are up to 30 times \
                 the mean"
            ))
        }
        Err(error) => Err(error.to_string()),
    }
}

/// Runs the command.
///
/// # Errors
/// When the network does not come up, and when it was not well: a packet lost, a process dead, books out of balance.
pub async fn run(args: LocalnetArgs) -> Result<(), LocalnetError> {
    if let Some(dir) = &args.remove_at_end {
        return localnet::remove_at_end(dir).await;
    }
    let summary = {
        let mut view = View::new(args.json);
        localnet::run(&args.options(), &mut view).await?
        // Here the view gives the terminal back, also after an error.
    };
    match print(&summary, args.json) {
        // Whoever closed the pipe has seen enough; the exit code still tells.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
        printed => printed?,
    }
    let complaints = summary.complaints().join("; ");
    match (complaints.is_empty(), summary.nodes_are_well()) {
        (true, _) => Ok(()),
        (false, true) => Err(LocalnetError::Lost(complaints)),
        (false, false) => Err(LocalnetError::Unwell(complaints)),
    }
}

fn print(summary: &Summary, json: bool) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if json {
        serde_json::to_writer_pretty(&mut out, summary)?;
        writeln!(out)?;
    } else {
        let width = Term::stdout().size_checked().map_or(WIDTH_WITHOUT_TERMINAL, |(_, columns)| columns).into();
        writeln!(out, "{}\n{}", summary.table(width), summary.words(width))?;
    }
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

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
        let options = parse("").unwrap().options();
        assert_eq!((options.layers, options.nodes_per_layer, options.rate), (3, 2, 100));
        assert_eq!((options.mean_delay, options.duration), (Duration::from_millis(50), None));
        let args = parse(
            "--layers 1 --nodes 4 --rate 10 --mean-delay 5ms --duration 20s --json --keep --keep-going \
             --base-port 4000",
        );
        let args = args.unwrap();
        assert!(args.json && args.keep && args.options().keep_going);
        let options = args.options();
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
        assert_eq!(parse("--mean-delay 20s").unwrap().options().mean_delay, Duration::from_secs(20));
        assert_eq!(parse("--mean-delay 2m").unwrap().options().mean_delay, MEAN_DELAY_MAX);
        let words = parse("--mean-delay 3m").unwrap_err().to_string();
        assert!(words.contains("0s to 2m"), "{words}");
    }
}
