//! The binary form: a tag, flags, and fields whose lengths are 64-bit numbers.

use super::{ApplicationError, ErrorKind, Origin, Request, Response};
use crate::address::{ADDRESS_LEN, ClientAddress};
use crate::reply::{REPLY_BLOCK_LEN, ReplyBlock};

const SEND: u8 = 0;
const REPLY: u8 = 1;
const SELF_ADDRESS: u8 = 2;
const ERROR: u8 = 0;
const RECEIVED: u8 = 1;

impl Request {
    /// The binary form.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::Send { recipient, with_reply_block, data } => {
                let mut bytes = vec![SEND, u8::from(*with_reply_block)];
                bytes.extend_from_slice(&recipient.to_bytes());
                with_field(bytes, data)
            }
            Self::Reply { reply_block, data } => with_field(with_field(vec![REPLY], &reply_block.to_bytes()), data),
            Self::SelfAddress => vec![SELF_ADDRESS],
        }
    }

    /// Parses the binary form.
    ///
    /// # Errors
    /// When the bytes are no request.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ApplicationError> {
        let (tag, mut fields) = Fields::begin(Origin::Application, bytes)?;
        let request = match tag {
            SEND => Self::Send {
                with_reply_block: fields.flag()?,
                recipient: fields.address()?,
                data: fields.field()?.to_vec(),
            },
            REPLY => Self::Reply { reply_block: fields.reply_block()?, data: fields.field()?.to_vec() },
            SELF_ADDRESS => Self::SelfAddress,
            tag => return Err(Origin::Application.unknown(tag)),
        };
        fields.end()?;
        Ok(request)
    }
}

impl Response {
    /// The binary form.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::Error { kind, message } => with_field(vec![ERROR, *kind as u8], message.as_bytes()),
            Self::Received { data, reply_block } => {
                let mut bytes = vec![RECEIVED, u8::from(reply_block.is_some())];
                if let Some(block) = reply_block {
                    bytes = with_field(bytes, &block.to_bytes());
                }
                with_field(bytes, data)
            }
            Self::SelfAddress(address) => [&[SELF_ADDRESS][..], &address.to_bytes()].concat(),
        }
    }

    /// Parses the binary form.
    ///
    /// # Errors
    /// When the bytes are no response.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ApplicationError> {
        let (tag, mut fields) = Fields::begin(Origin::Client, bytes)?;
        let response = match tag {
            ERROR => {
                let kind = fields.byte()?;
                let kind =
                    ErrorKind::from_wire(kind).ok_or_else(|| Origin::Client.malformed(&format!("kind {kind}")))?;
                let message = std::str::from_utf8(fields.field()?).map_err(|error| Origin::Client.malformed(&error))?;
                Self::Error { kind, message: message.to_owned() }
            }
            RECEIVED => {
                let reply_block = if fields.flag()? { Some(fields.reply_block()?) } else { None };
                Self::Received { reply_block, data: fields.field()?.to_vec() }
            }
            SELF_ADDRESS => Self::SelfAddress(fields.address()?),
            tag => return Err(Origin::Client.unknown(tag)),
        };
        fields.end()?;
        Ok(response)
    }
}

fn with_field(mut bytes: Vec<u8>, field: &[u8]) -> Vec<u8> {
    // No memory has 2⁶⁴ bytes.
    bytes.extend_from_slice(&(field.len() as u64).to_be_bytes());
    bytes.extend_from_slice(field);
    bytes
}

/// What follows the tag.
struct Fields<'a> {
    origin: Origin,
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    fn begin(origin: Origin, bytes: &'a [u8]) -> Result<(u8, Self), ApplicationError> {
        let (tag, rest) = bytes.split_first().ok_or_else(|| origin.empty())?;
        Ok((*tag, Self { origin, rest }))
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], ApplicationError> {
        let (field, rest) = self.rest.split_at_checked(len).ok_or_else(|| self.origin.short())?;
        self.rest = rest;
        Ok(field)
    }

    fn array<const LEN: usize>(&mut self) -> Result<[u8; LEN], ApplicationError> {
        let (field, rest) = crate::ciphers::take(self.rest).ok_or_else(|| self.origin.short())?;
        self.rest = rest;
        Ok(field)
    }

    fn byte(&mut self) -> Result<u8, ApplicationError> {
        self.array().map(|[byte]| byte)
    }

    fn flag(&mut self) -> Result<bool, ApplicationError> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            flag => Err(self.origin.malformed(&format!("invalid reply surb flag {flag}"))),
        }
    }

    fn address(&mut self) -> Result<ClientAddress, ApplicationError> {
        let bytes: [u8; ADDRESS_LEN] = self.array()?;
        ClientAddress::from_bytes(&bytes).map_err(self.origin.address())
    }

    /// A length and as many bytes.
    fn field(&mut self) -> Result<&'a [u8], ApplicationError> {
        let len = u64::from_be_bytes(self.array()?);
        let len = usize::try_from(len).map_err(|_| self.origin.short())?;
        self.take(len)
    }

    fn reply_block(&mut self) -> Result<ReplyBlock, ApplicationError> {
        let field = self.field()?;
        let bytes: &[u8; REPLY_BLOCK_LEN] =
            field.try_into().map_err(|_| self.origin.malformed(&format!("a reply SURB of {} bytes", field.len())))?;
        ReplyBlock::from_bytes(bytes).map_err(self.origin.reply_block())
    }

    fn end(&self) -> Result<(), ApplicationError> {
        if self.rest.is_empty() {
            return Ok(());
        }
        Err(self.origin.malformed(&format!("{} bytes after the last field", self.rest.len())))
    }
}
