//! `client receive`: collects files until a signal, or until there are enough.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nym_mixnode_client::transfer::{Arrived, ReceiverBounds};
use serde::Serialize;
use tokio::time::timeout;

use super::super::ca_file::CaFileFlag;
use super::super::output::write_stdout;
use super::super::{Exit, Failure, stop_signals};
use super::ClientFlags;
use super::way::Way;
use crate::times;

/// Receive files from the mix network
///
/// Writes each file that arrives into a directory and prints its path, until ctrl-c. No file there is replaced: a name
/// that is taken gets a number. While it runs it sends cover traffic, as `client send` does, so that nobody can see
/// whether something arrives.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    client: ClientFlags,
    /// Directory for the files
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Stop after this number of files [default: only at ctrl-c]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// Stop after this time, with an error if --count files have not arrived [default: never]
    #[arg(long, value_name = "TIME", value_parser = times::positive)]
    timeout: Option<Duration>,
    /// Bytes of the longest file
    #[arg(long, value_name = "N", default_value_t = ReceiverBounds::default().file_len)]
    max_len: u64,
    /// Return no receipts to senders that ask for them; a receipt shows them when this client was connected
    #[arg(long)]
    no_receipts: bool,
    /// Print each file as a JSON line
    #[arg(long)]
    json: bool,
    /// Internal: die with the parent process.
    #[arg(long, hide = true)]
    supervised: bool,
    #[command(flatten)]
    ca_file: CaFileFlag,
}

/// A line of the output.
#[derive(Debug, Serialize)]
struct ReceivedFile<'a> {
    path: &'a Path,
    bytes: u64,
}

pub(super) async fn run(args: Args) -> Result<(), Failure> {
    super::die_with_supervisor(args.supervised)?;
    let mut signals = stop_signals()?;
    fs::create_dir_all(&args.out).map_err(|error| cannot_write(&args.out, &error, ""))?;
    let bounds = ReceiverBounds { file_len: args.max_len, ..ReceiverBounds::default() };
    let mut way = Way::open(&args.client.profile()?, &args.ca_file, bounds).await?;
    way.receive(!args.no_receipts).await;
    tokio::select! {
        received = within(&args, receive(&args, way)) => received,
        _ = signals.next() => Ok(()),
    }
}

async fn within(args: &Args, work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let Some(limit) = args.timeout else { return work.await };
    match (timeout(limit, work).await, args.count) {
        (Ok(received), _) => received,
        (Err(_), None) => Ok(()),
        (Err(_), Some(count)) => {
            let limit = humantime::format_duration(limit);
            let problem = if count == 1 {
                format!("no file has arrived after {limit}")
            } else {
                format!("fewer than {count} files have arrived after {limit}")
            };
            Err(Failure::new(Exit::TRY_AGAIN, problem))
        }
    }
}

async fn receive(args: &Args, mut way: Way) -> Result<(), Failure> {
    let mut left = args.count.unwrap_or(u64::MAX);
    loop {
        for arrived in way.complete()? {
            if left == 0 {
                break;
            }
            take(args, &arrived)?;
            left -= 1;
        }
        if left == 0 {
            return way.finish().await;
        }
        way.wait_for_files().await?;
    }
}

/// Moves a file to its directory and prints it.
fn take(args: &Args, arrived: &Arrived) -> Result<(), Failure> {
    let advice = "; what has arrived is kept for the next `client receive`";
    let path = arrived.deliver(&args.out).map_err(|error| cannot_write(&args.out, &error, advice))?;
    let printed = write_stdout(|out| {
        if args.json {
            serde_json::to_writer(&mut *out, &ReceivedFile { path: &path, bytes: arrived.len })?;
            return writeln!(out);
        }
        writeln!(out, "{}", path.display())
    });
    printed.map_err(|error| Failure::new(Exit::IO, format_args!("the output cannot be written: {error}")))
}

fn cannot_write(path: &Path, error: &io::Error, advice: &str) -> Failure {
    let problem = match error.kind() {
        // Of the directory itself: files get another name.
        io::ErrorKind::AlreadyExists => "it is not a directory".to_owned(),
        _ => error.to_string(),
    };
    Failure::new(Exit::CANNOT_CREATE, format_args!("cannot write to {}: {problem}{advice}", path.display()))
}
