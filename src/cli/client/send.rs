//! `client send`: sends a file, and returns when it is at the recipient's gateway, or when the recipient has confirmed it.

use std::cell::Cell;
use std::io::{ErrorKind, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nym_mixnode_client::core::MessageId;
use nym_mixnode_client::transfer::{
    ACKNOWLEDGED_MAX, Receipt, ReceiverBounds, SendFileError, Sending, SourceFile, wait_for,
};
use nym_mixnode_message::address::{AddressError, ClientAddress};
use serde::Serialize;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::super::ca_file::CaFileFlag;
use super::super::output::{write_json, write_stdout};
use super::super::status_line::StatusLine;
use super::super::{Exit, Failure, stop_signals};
use super::ClientFlags;
use super::running::Event;
use super::way::Way;
use crate::times;

/// Send a file through the mix network
///
/// The exit code is 0 once all of the file is stored at the recipient's gateway, where the recipient collects it with
/// `client receive`. Gateways store 10 000 packets for an absent client, about 16 MB; the rest of a larger file is sent
/// while the recipient receives. With --confirm it is 0 once the recipient has received and checked the file. What arrives for this client meanwhile is kept for its next `client receive`.
///
/// After a kill, a failure or a timeout, the same command goes on where it was, for seven days.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    client: ClientFlags,
    /// Address of the recipient, as its `client address` prints it
    #[arg(long, value_name = "ADDRESS", value_parser = recipient)]
    to: ClientAddress,
    /// File to send
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Wait until `client receive` of the recipient has the file; the recipient does not learn who asks
    #[arg(long)]
    confirm: bool,
    /// Give up after this time [default: never]
    #[arg(long, value_name = "TIME", value_parser = times::positive)]
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
    /// Whether the recipient has received it.
    confirmed: bool,
}

fn recipient(text: &str) -> Result<ClientAddress, String> {
    text.parse().map_err(|error: AddressError| match error {
        // The text of 0.9.2 for applications.
        AddressError::Form => "an address is IDENTITY.ENCRYPTION@GATEWAY, as `client address` prints it".to_owned(),
        error => error.to_string(),
    })
}

pub(super) async fn run(args: Args) -> Result<(), Failure> {
    super::die_with_supervisor(args.supervised)?;
    let mut signals = stop_signals()?;
    tokio::select! {
        sent = send_file(args) => sent,
        _ = signals.next() => {
            Err(Failure::new(Exit::TRY_AGAIN, "stopped; the same command goes on where it was, for seven days"))
        }
    }
}

async fn send_file(args: Args) -> Result<(), Failure> {
    // Before the network is used: the file may be missing.
    let file = SourceFile::open(&args.file)?;
    let bytes = file.len();
    let profile = args.client.profile()?;
    let mut way = Way::open(&profile, &args.ca_file, ReceiverBounds::default()).await?;
    // Behind the lock: one command at a time goes on.
    let mut sending = file.to(&args.to, &profile.sending_dir())?;
    let receipt = args.confirm.then(|| sending.ask_for_receipt());
    let start = Instant::now();
    let is_stored = Cell::new(false);
    let status = StatusLine::new(!args.json);
    let work = send(&mut sending, receipt, &args.to, bytes, &mut way, &is_stored, &status);
    match args.timeout {
        None => work.await?,
        Some(limit) => timeout(limit, work).await.map_err(|_| too_late(limit, is_stored.get()))??,
    }
    status.clear();
    sending.finish()?;
    way.finish().await?;
    let sent = Sent { bytes, seconds: start.elapsed().as_secs_f64(), confirmed: args.confirm };
    let printed = write_stdout(|out| {
        if args.json {
            return write_json(out, &sent);
        }
        let place = if args.confirm { "received and checked by the recipient" } else { "at the recipient's gateway" };
        writeln!(out, "{bytes} bytes are {place}, after {:.1} s", sent.seconds)
    });
    printed.map_err(|error| Failure::new(Exit::IO, format_args!("the output cannot be written: {error}")))
}

fn too_late(limit: Duration, is_stored: bool) -> Failure {
    let limit = humantime::format_duration(limit);
    let problem = if is_stored {
        format!("no receipt after {limit}: the file is at the recipient's gateway, and the recipient may be away")
    } else {
        format!("the file is not at the recipient's gateway after {limit}; the same command goes on where it was")
    };
    Failure::new(Exit::TRY_AGAIN, problem)
}

async fn send(
    sending: &mut Sending,
    receipt: Option<Receipt>,
    to: &ClientAddress,
    total: u64,
    way: &mut Way,
    is_stored: &Cell<bool>,
    status: &StatusLine,
) -> Result<(), Failure> {
    let (acks, acknowledged) = mpsc::channel(ACKNOWLEDGED_MAX);
    let (confirmations, receipts) = mpsc::channel(ACKNOWLEDGED_MAX);
    let commands = way.commands().clone();
    let work = async {
        let was_stored = sending.is_stored();
        status.show(&progress(sending.sent(), total));
        sending.run(&commands, acknowledged, |bytes| status.show(&progress(bytes, total))).await?;
        is_stored.set(true);
        if let Some(receipt) = receipt {
            status.show("all of the file is at the recipient's gateway; waiting for the recipient's receipt");
            wait_for(receipt, to, &commands, receipts, was_stored).await?;
        }
        Ok(())
    };
    // Both run side by side: the client waits for a reader of its notices.
    tokio::select! {
        sent = work => sent,
        failed = forward(way, &acks, &confirmations) => Err(failed),
    }
}

/// A bar, and the share in words.
fn progress(bytes: u64, total: u64) -> String {
    // With the words it fits on 60 columns.
    const WIDTH: u64 = 16;
    let parts = |of: u64| bytes.saturating_mul(of).checked_div(total).unwrap_or(of);
    let bar: String = (0..WIDTH).map(|at| if at < parts(WIDTH) { '█' } else { '░' }).collect();
    format!("{bar} {} % of {total} bytes at the gateway", parts(100))
}

/// Hands acknowledgements and receipts over until the client fails.
async fn forward(way: &mut Way, acks: &mpsc::Sender<MessageId>, confirmations: &mpsc::Sender<Receipt>) -> Failure {
    loop {
        match way.next().await {
            Ok(Event::Acknowledged(id)) => {
                // At its end, the file needs none any more.
                acks.send(id).await.ok();
            }
            // One is enough: without it, the sender asks again.
            Ok(Event::Confirmed(receipt)) => drop(confirmations.try_send(receipt)),
            Ok(Event::Arrived | Event::Connected) => {}
            Err(failure) => return failure,
        }
    }
}

impl From<SendFileError> for Failure {
    fn from(error: SendFileError) -> Self {
        let exit = match &error {
            SendFileError::Read { source, .. } => super::super::failure::read_exit(source),
            SendFileError::Progress { source, .. } if source.kind() == ErrorKind::WouldBlock => Exit::TRY_AGAIN,
            SendFileError::Progress { .. } => Exit::IO,
            SendFileError::Changed(_) => Exit::TRY_AGAIN,
            SendFileError::TooLong(_) | SendFileError::NotAFile(_) => Exit::DATA,
            SendFileError::Send(_) => Exit::UNAVAILABLE,
            SendFileError::Stopped => Exit::INTERNAL,
        };
        Self::new(exit, error)
    }
}
