//! What a SOCKS5 client and a network requester send each other, as ordinary messages.

mod order;

use std::fmt;

use thiserror::Error;

pub use order::{OrderedReceiver, OrderedSender, OutOfOrder};

use crate::address::{ADDRESS_LEN, AddressError, ClientAddress};
use crate::ciphers::take;
use crate::text::Hidden;

const CONNECT: u8 = 0;
const SEND: u8 = 1;

/// Number of a TCP connection, random, chosen by the client.
pub type ConnectionId = u64;

/// What a client sends to its requester.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SocksRequest {
    /// Opens a connection to `host:port`.
    Connect { connection: ConnectionId, target: Target, return_address: ClientAddress },
    /// Sends data on it, or closes it.
    Send { connection: ConnectionId, is_closed: bool, part: Part },
}

/// `host:port`, of at most 65 535 bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct Target(String);

/// What a requester sends to its client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SocksResponse {
    pub connection: ConnectionId,
    pub is_closed: bool,
    pub part: Part,
}

/// A piece of a stream with its place.
#[derive(Clone, PartialEq, Eq)]
pub struct Part {
    /// From 0 for each connection and direction.
    pub index: u64,
    pub data: Vec<u8>,
}

/// Prints nothing of the destination.
impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Target").field(&Hidden(self.0.as_bytes())).finish()
    }
}

/// Prints nothing of the stream.
impl fmt::Debug for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Part").field("index", &self.index).field("data", &Hidden(&self.data)).finish()
    }
}

/// Why bytes are no message between client and requester.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SocksError {
    #[error("no data provided")]
    Empty,
    #[error("{0} is not a valid request")]
    UnknownRequest(u8),
    #[error("{0} is not a valid closed flag")]
    Flag(u8),
    #[error("not enough bytes to recover the connection id")]
    Connection,
    #[error("not enough bytes to recover the length of the address")]
    TargetLen,
    #[error("not enough bytes to recover the address")]
    Target,
    #[error("the address is not UTF-8")]
    TargetText,
    #[error("an address of {0} bytes is too long")]
    TargetTooLong(usize),
    #[error("the return address is malformed: {0}")]
    ReturnAddress(AddressError),
    #[error("not enough bytes to recover the index of the data")]
    Index,
}

impl Target {
    /// # Errors
    /// When the text is too long.
    pub fn new(text: &str) -> Result<Self, SocksError> {
        u16::try_from(text.len()).map_err(|_| SocksError::TargetTooLong(text.len()))?;
        Ok(Self(text.to_owned()))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Checked when it was made.
    fn len(&self) -> u16 {
        u16::try_from(self.0.len()).unwrap_or(u16::MAX)
    }
}

impl SocksRequest {
    /// The bytes of the message.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::Connect { connection, target, return_address } => {
                let mut bytes = vec![CONNECT];
                bytes.extend_from_slice(&connection.to_be_bytes());
                bytes.extend_from_slice(&target.len().to_be_bytes());
                bytes.extend_from_slice(target.as_str().as_bytes());
                bytes.extend_from_slice(&return_address.to_bytes());
                bytes
            }
            Self::Send { connection, is_closed, part } => {
                let mut bytes = vec![SEND];
                bytes.extend_from_slice(&connection.to_be_bytes());
                bytes.push(u8::from(*is_closed));
                bytes.extend_from_slice(&part.to_bytes());
                bytes
            }
        }
    }

    /// # Errors
    /// When the bytes are no request.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SocksError> {
        let (tag, rest) = bytes.split_first().ok_or(SocksError::Empty)?;
        if !matches!(*tag, CONNECT | SEND) {
            return Err(SocksError::UnknownRequest(*tag));
        }
        let (connection, rest) = connection(rest)?;
        if *tag == SEND {
            let (flag, rest) = rest.split_first().ok_or(SocksError::Index)?;
            return Ok(Self::Send { connection, is_closed: closed(*flag)?, part: Part::from_bytes(rest)? });
        }
        let (len, rest) = take(rest).ok_or(SocksError::TargetLen)?;
        let (target, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(len))).ok_or(SocksError::Target)?;
        let target = Target::new(std::str::from_utf8(target).map_err(|_| SocksError::TargetText)?)?;
        let address: &[u8; ADDRESS_LEN] = rest.try_into().map_err(|_| SocksError::ReturnAddress(AddressError::Form))?;
        let return_address = ClientAddress::from_bytes(address).map_err(SocksError::ReturnAddress)?;
        Ok(Self::Connect { connection, target, return_address })
    }
}

impl SocksResponse {
    /// The bytes of the message.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![u8::from(self.is_closed)];
        bytes.extend_from_slice(&self.connection.to_be_bytes());
        bytes.extend_from_slice(&self.part.to_bytes());
        bytes
    }

    /// # Errors
    /// When the bytes are no response.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SocksError> {
        let (flag, rest) = bytes.split_first().ok_or(SocksError::Empty)?;
        let is_closed = closed(*flag)?;
        let (connection, rest) = connection(rest)?;
        Ok(Self { connection, is_closed, part: Part::from_bytes(rest)? })
    }
}

impl Part {
    /// Index and data.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        [&self.index.to_be_bytes()[..], &self.data].concat()
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, SocksError> {
        let (index, data) = take(bytes).ok_or(SocksError::Index)?;
        Ok(Self { index: u64::from_be_bytes(index), data: data.to_vec() })
    }
}

fn connection(bytes: &[u8]) -> Result<(ConnectionId, &[u8]), SocksError> {
    let (id, rest) = take(bytes).ok_or(SocksError::Connection)?;
    Ok((u64::from_be_bytes(id), rest))
}

fn closed(flag: u8) -> Result<bool, SocksError> {
    match flag {
        0 => Ok(false),
        1 => Ok(true),
        flag => Err(SocksError::Flag(flag)),
    }
}

#[cfg(test)]
mod tests;
