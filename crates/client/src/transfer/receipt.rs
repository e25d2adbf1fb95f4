//! Receipts: a recipient that has a file whole returns one through a reply block of its sender.
//!
//! A receipt is `magic 8 ‖ transfer 16 ‖ SHA-256 32`. Replies are sent once and may be lost, so that a sender asks again, with a
//! new reply block: `magic 8 ‖ transfer 16`.

use std::time::Duration;

use nym_mixnode_base::backoff::Backoff;
use nym_mixnode_message::address::ClientAddress;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::{SendFileError, TransferId};
use crate::daemon::Command;

const RECEIPT: &[u8; 8] = b"nymrcpt\x01";
const QUESTION: &[u8; 8] = b"nymask?\x01";
/// Wait for a receipt before the first question, which is in the inbox of a recipient that is away.
const QUESTION_AFTER: Duration = Duration::from_secs(10);
/// Longest wait between two questions.
const QUESTION_AFTER_MAX: Duration = Duration::from_mins(10);

/// The statement of a recipient that it has a file whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipt {
    pub transfer: TransferId,
    /// SHA-256 of the received file.
    pub digest: [u8; 32],
}

impl Receipt {
    /// The reply with this receipt.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        [&RECEIPT[..], &self.transfer, &self.digest].concat()
    }

    /// Parses a reply; `None` if it is something else.
    #[must_use]
    pub fn decode(reply: &[u8]) -> Option<Self> {
        let (transfer, rest) = reply.strip_prefix(RECEIPT)?.split_first_chunk()?;
        Some(Self { transfer: *transfer, digest: rest.try_into().ok()? })
    }

    /// Waits for this receipt. Asks the recipient again and again, each time later; at once if nothing was sent before
    /// (`asks_first`).
    ///
    /// # Errors
    /// When the client stops.
    pub async fn wait(
        self,
        recipient: &ClientAddress,
        commands: &mpsc::Sender<Command>,
        mut receipts: mpsc::Receiver<Self>,
        asks_first: bool,
    ) -> Result<(), SendFileError> {
        if asks_first {
            ask(self.transfer, recipient, commands).await?;
        }
        let mut backoff = Backoff::new(QUESTION_AFTER, QUESTION_AFTER_MAX);
        loop {
            match timeout(backoff.wait(), receipts.recv()).await {
                Ok(Some(receipt)) if receipt == self => return Ok(()),
                // Of an earlier transfer.
                Ok(Some(_)) => {}
                Ok(None) => return Err(SendFileError::Stopped),
                Err(_) => ask(self.transfer, recipient, commands).await?,
            }
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

pub(super) fn question(transfer: &TransferId) -> Vec<u8> {
    [&QUESTION[..], transfer].concat()
}

/// The transfer that a message asks about; `None` for other messages.
pub(super) fn asked_about(message: &[u8]) -> Option<TransferId> {
    message.strip_prefix(QUESTION)?.try_into().ok()
}
