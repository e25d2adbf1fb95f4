//! Receipts: a recipient that has a file whole returns one through a reply block of its sender. Replies are sent once and may
//! be lost, so that a sender asks again, with a new reply block.

use std::time::Duration;

use nym_mixnode_base::backoff::Backoff;
use nym_mixnode_message::address::ClientAddress;
use nym_mixnode_message::file::{Receipt, TransferId, question};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::SendFileError;
use crate::daemon::Command;

/// Wait for a receipt before the first question, which is in the inbox of a recipient that is away.
const QUESTION_AFTER: Duration = Duration::from_secs(10);
/// Longest wait between two questions.
const QUESTION_AFTER_MAX: Duration = Duration::from_mins(10);

/// Waits for a receipt. Asks the recipient again and again, each time later; at once if nothing was sent before
/// (`asks_first`).
///
/// # Errors
/// When the client stops.
pub async fn wait_for(
    receipt: Receipt,
    recipient: &ClientAddress,
    commands: &mpsc::Sender<Command>,
    mut receipts: mpsc::Receiver<Receipt>,
    asks_first: bool,
) -> Result<(), SendFileError> {
    if asks_first {
        ask(receipt.transfer, recipient, commands).await?;
    }
    let mut backoff = Backoff::new(QUESTION_AFTER, QUESTION_AFTER_MAX);
    loop {
        match timeout(backoff.wait(), receipts.recv()).await {
            Ok(Some(found)) if found == receipt => return Ok(()),
            // Of an earlier transfer.
            Ok(Some(_)) => {}
            Ok(None) => return Err(SendFileError::Stopped),
            Err(_) => ask(receipt.transfer, recipient, commands).await?,
        }
    }
}

/// A question that the client cannot send now, such as without a route, is followed by another one.
async fn ask(
    transfer: TransferId,
    recipient: &ClientAddress,
    commands: &mpsc::Sender<Command>,
) -> Result<(), SendFileError> {
    let (queued, answer) = oneshot::channel();
    let command = Command::Send { recipient: *recipient, data: question(&transfer), with_reply_block: true, queued };
    commands.send(command).await.map_err(|_| SendFileError::Stopped)?;
    answer.await.map_err(|_| SendFileError::Stopped)?.ok();
    Ok(())
}
