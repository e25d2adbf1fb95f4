//! The protocol between a client and an application on its machine, over WebSocket.
//!
//! Each message has a text form and a binary one. A client answers in the form of the request. Lengths in binary
//! messages must match exactly.

mod binary;
mod text;

use std::fmt;

use thiserror::Error;

use crate::address::{AddressError, ClientAddress};
use crate::reply::{ReplyBlock, ReplyBlockError};
use crate::text::Hidden;

/// What an application asks of its client.
#[derive(Clone)]
pub enum Request {
    /// Sends a message, with a reply block if the recipient may answer.
    Send { recipient: ClientAddress, with_reply_block: bool, data: Vec<u8> },
    /// Answers a message that had a reply block.
    Reply { reply_block: ReplyBlock, data: Vec<u8> },
    /// Asks for the client's own address.
    SelfAddress,
}

/// What a client sends to its application.
#[derive(Clone)]
pub enum Response {
    /// A request has failed.
    Error { kind: ErrorKind, message: String },
    /// A message has arrived.
    Received { data: Vec<u8>, reply_block: Option<ReplyBlock> },
    /// The client's own address.
    SelfAddress(ClientAddress),
}

/// Prints neither the message nor its recipient.
impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Send { data, .. } => f.debug_struct("Send").field("data", &Hidden(data)).finish_non_exhaustive(),
            Self::Reply { data, .. } => f.debug_struct("Reply").field("data", &Hidden(data)).finish_non_exhaustive(),
            Self::SelfAddress => f.write_str("SelfAddress"),
        }
    }
}

/// Prints nothing of a message but its length.
impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Error { kind, .. } => f.debug_struct("Error").field("kind", kind).finish_non_exhaustive(),
            Self::Received { data, .. } => {
                f.debug_struct("Received").field("data", &Hidden(data)).finish_non_exhaustive()
            }
            Self::SelfAddress(_) => f.write_str("SelfAddress"),
        }
    }
}

/// Kinds of errors; the discriminant is the byte in binary messages. The texts are those of 0.9.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[repr(u8)]
pub enum ErrorKind {
    #[error("received request contained no data")]
    EmptyRequest = 0x01,
    #[error("received request did not contain enough data")]
    ShortRequest = 0x02,
    #[error("unknown request type")]
    UnknownRequest = 0x03,
    #[error("malformed request")]
    MalformedRequest = 0x04,
    #[error("received response contained no data")]
    EmptyResponse = 0x80,
    #[error("received response did not contain enough data")]
    ShortResponse = 0x81,
    #[error("unknown response type")]
    UnknownResponse = 0x82,
    #[error("malformed response")]
    MalformedResponse = 0x83,
    #[error("other")]
    Other = 0xff,
}

/// Bytes or a text that are no message.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{kind}:{message}")]
pub struct ApplicationError {
    pub kind: ErrorKind,
    pub message: String,
}

/// Which side has sent a message that cannot be parsed.
#[derive(Clone, Copy)]
enum Origin {
    Application,
    Client,
}

impl Origin {
    fn empty(self) -> ApplicationError {
        let kind = match self {
            Self::Application => ErrorKind::EmptyRequest,
            Self::Client => ErrorKind::EmptyResponse,
        };
        ApplicationError { kind, message: "the message is empty".to_owned() }
    }

    fn short(self) -> ApplicationError {
        let kind = match self {
            Self::Application => ErrorKind::ShortRequest,
            Self::Client => ErrorKind::ShortResponse,
        };
        ApplicationError { kind, message: "the message ends before its last field".to_owned() }
    }

    fn unknown(self, tag: u8) -> ApplicationError {
        let kind = match self {
            Self::Application => ErrorKind::UnknownRequest,
            Self::Client => ErrorKind::UnknownResponse,
        };
        ApplicationError { kind, message: format!("type {tag}") }
    }

    fn malformed(self, reason: &impl ToString) -> ApplicationError {
        let kind = match self {
            Self::Application => ErrorKind::MalformedRequest,
            Self::Client => ErrorKind::MalformedResponse,
        };
        ApplicationError { kind, message: reason.to_string() }
    }

    fn address(self) -> impl Fn(AddressError) -> ApplicationError {
        move |error| self.malformed(&error)
    }

    fn reply_block(self) -> impl Fn(ReplyBlockError) -> ApplicationError {
        move |error| self.malformed(&error)
    }
}

impl ErrorKind {
    const ALL: [Self; 9] = [
        Self::EmptyRequest,
        Self::ShortRequest,
        Self::UnknownRequest,
        Self::MalformedRequest,
        Self::EmptyResponse,
        Self::ShortResponse,
        Self::UnknownResponse,
        Self::MalformedResponse,
        Self::Other,
    ];

    fn from_wire(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == byte)
    }
}

/// The answer to a request that cannot be parsed.
impl From<ApplicationError> for Response {
    fn from(error: ApplicationError) -> Self {
        Self::Error { kind: error.kind, message: error.message }
    }
}

#[cfg(test)]
mod tests;
