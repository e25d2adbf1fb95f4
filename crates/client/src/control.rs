//! How other commands of a client use the one that runs: a socket in the client's directory.
//!
//! Frames: `length u32 ‖ kind u8 ‖ content`, numbers big-endian, the length without itself. A command sends [`Ask`]s, and
//! gets [`Tell`]s: an answer to each [`Ask::Send`], in their order, and events between them. The directory and the socket
//! are for the owner alone.

mod attached;
mod server;

use std::io::{self, ErrorKind};

use nym_mixnode_message::address::{ADDRESS_LEN, ClientAddress};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::core::MessageId;
use crate::transfer::Receipt;

pub use attached::Attached;
pub use server::{ControlServer, Subscribers};

/// Name of the socket.
pub const SOCKET: &str = "control";
/// Longest frame: a chunk of a file, and more than anything else.
const FRAME_LEN_MAX: usize = 1 << 20;

/// What a command asks of the running client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    Send {
        recipient: ClientAddress,
        with_reply_block: bool,
        data: Vec<u8>,
    },
    /// To report files that arrive, and whether to return receipts for them.
    Receive {
        receipts: bool,
    },
}

/// What the running client tells a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tell {
    /// The message has this number.
    Queued(MessageId),
    /// The message is not sent, for this reason.
    Refused(String),
    /// All of a message is at the recipient's gateway.
    Acknowledged(MessageId),
    /// A recipient has a file.
    Confirmed(Receipt),
    /// A file is complete in the directory of received files.
    Arrived,
}

/// Kind and content of a frame.
type Frame = (u8, Vec<u8>);

impl Ask {
    fn encode(self) -> Frame {
        match self {
            Self::Send { recipient, with_reply_block, data } => {
                let head = [u8::from(with_reply_block)];
                (1, [&head[..], &recipient.to_bytes(), &data].concat())
            }
            Self::Receive { receipts } => (2, vec![u8::from(receipts)]),
        }
    }

    fn decode((kind, content): &Frame) -> Option<Self> {
        match (kind, content.as_slice()) {
            (1, [with_reply_block @ (0 | 1), rest @ ..]) => {
                let (recipient, data) = rest.split_first_chunk::<ADDRESS_LEN>()?;
                let recipient = ClientAddress::from_bytes(recipient).ok()?;
                Some(Self::Send { recipient, with_reply_block: *with_reply_block == 1, data: data.to_vec() })
            }
            (2, [receipts @ (0 | 1)]) => Some(Self::Receive { receipts: *receipts == 1 }),
            _ => None,
        }
    }
}

impl Tell {
    fn encode(&self) -> Frame {
        match self {
            Self::Queued(id) => (1, id.to_be_bytes().to_vec()),
            Self::Refused(reason) => (2, reason.clone().into_bytes()),
            Self::Acknowledged(id) => (3, id.to_be_bytes().to_vec()),
            Self::Confirmed(receipt) => (4, receipt.encode()),
            Self::Arrived => (5, Vec::new()),
        }
    }

    fn decode((kind, content): Frame) -> Option<Self> {
        let id = |content: &[u8]| content.try_into().map(MessageId::from_be_bytes).ok();
        match kind {
            1 => id(&content).map(Self::Queued),
            2 => String::from_utf8(content).map(Self::Refused).ok(),
            3 => id(&content).map(Self::Acknowledged),
            4 => Receipt::decode(&content).map(Self::Confirmed),
            5 => content.is_empty().then_some(Self::Arrived),
            _ => None,
        }
    }
}

async fn read_frame(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Frame> {
    let len = usize::try_from(from.read_u32().await?).unwrap_or(usize::MAX);
    if !(1..=FRAME_LEN_MAX).contains(&len) {
        return Err(ErrorKind::InvalidData.into());
    }
    let kind = from.read_u8().await?;
    let mut content = vec![0; len - 1];
    from.read_exact(&mut content).await?;
    Ok((kind, content))
}

async fn write_frame(to: &mut (impl AsyncWrite + Unpin), (kind, content): Frame) -> io::Result<()> {
    let len = u32::try_from(content.len() + 1).map_err(|_| ErrorKind::InvalidInput)?;
    let mut frame = Vec::with_capacity(content.len() + 5);
    frame.extend_from_slice(&len.to_be_bytes());
    frame.push(kind);
    frame.extend_from_slice(&content);
    to.write_all(&frame).await
}

#[cfg(test)]
mod tests;
