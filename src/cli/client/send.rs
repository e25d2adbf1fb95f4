//! `client send`: sends files, and returns when they are at the recipient's gateway.

use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nym_mixnode_client::core::MessageId;
use nym_mixnode_client::transfer::{ACKNOWLEDGED_MAX, ReceiverBounds, SendFileError, Sending};
use nym_mixnode_message::address::ClientAddress;
use serde::Serialize;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::super::ca_file::CaFileFlag;
use super::super::output::{write_json, write_stdout};
use super::super::{Exit, Failure};
use super::ClientFlags;
use super::running::{Event, Running};
use crate::times;

/// Send a file through the mix network
///
/// The exit code is 0 once all of the file is stored at the recipient's gateway, where the recipient collects it with
/// `client receive`. Gateways store 10 000 packets for an absent client, about 16 MB; the rest of a larger file is sent
/// while the recipient receives. What arrives for this client meanwhile is kept for its next `client receive`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    client: ClientFlags,
    /// Address of the recipient, as its `client address` prints it
    #[arg(long, value_name = "ADDRESS")]
    to: ClientAddress,
    /// File to send
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Give up after this time [default: never]
    #[arg(long, value_name = "TIME", value_parser = times::any)]
    timeout: Option<Duration>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
    /// Internal: die with the parent process.
    #[arg(long, hide = true)]
    supervised: bool,
    #[command(flatten)]
    ca_file: CaFileFlag,
}

/// The result.
#[derive(Debug, Serialize)]
struct Sent {
    bytes: u64,
    seconds: f64,
}

pub(super) async fn run(args: Args) -> Result<(), Failure> {
    super::die_with_supervisor(args.supervised)?;
    // Before the network is used: the file may be missing.
    let sending = Sending::open(&args.file)?;
    let bytes = sending.len();
    let mut running = Running::start(&args.client.profile()?, &args.ca_file, ReceiverBounds::default()).await?;
    let start = Instant::now();
    let work = send(sending, &args.to, &mut running);
    match args.timeout {
        None => work.await?,
        Some(limit) => timeout(limit, work).await.map_err(|_| {
            let limit = humantime::format_duration(limit);
            Failure::new(Exit::TRY_AGAIN, format_args!("the file is not at the recipient's gateway after {limit}"))
        })??,
    }
    let sent = Sent { bytes, seconds: start.elapsed().as_secs_f64() };
    let printed = write_stdout(|out| {
        if args.json {
            return write_json(out, &sent);
        }
        writeln!(out, "{bytes} bytes are at the recipient's gateway, after {:.1} s", sent.seconds)
    });
    printed.map_err(|error| Failure::new(Exit::IO, format_args!("the output cannot be written: {error}")))
}

async fn send(sending: Sending, to: &ClientAddress, running: &mut Running) -> Result<(), Failure> {
    let (acks, acknowledged) = mpsc::channel(ACKNOWLEDGED_MAX);
    let (commands, total) = (running.commands.clone(), sending.len());
    let sending = sending.run(to, &commands, acknowledged, |bytes| {
        tracing::info!(bytes, total, "Stored at the recipient's gateway");
    });
    // Both run side by side: the client waits for a reader of its notices.
    tokio::select! {
        sent = sending => Ok(sent?),
        failed = forward(running, &acks) => Err(failed),
    }
}

/// Hands acknowledgements over until the client fails.
async fn forward(running: &mut Running, acks: &mpsc::Sender<MessageId>) -> Failure {
    loop {
        match running.next().await {
            Ok(Event::Acknowledged(id)) => {
                // At its end, the file needs none any more.
                acks.send(id).await.ok();
            }
            Ok(Event::Arrived(_) | Event::Connected) => {}
            Err(failure) => return failure,
        }
    }
}

impl From<SendFileError> for Failure {
    fn from(error: SendFileError) -> Self {
        let exit = match &error {
            SendFileError::Read { source, .. } => super::super::failure::read_exit(source),
            SendFileError::Changed(_) => Exit::TRY_AGAIN,
            SendFileError::TooLong(_) => Exit::DATA,
            SendFileError::Send(_) => Exit::UNAVAILABLE,
            SendFileError::Stopped => Exit::INTERNAL,
        };
        Self::new(exit, error)
    }
}
