//! Text messages between a client and its gateway, and the gateway's answers to requests that it does not serve.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{ForwardError, HandshakeError, SharedKeyError};

/// Length of the longest text that is parsed. The longest of the protocol has 600 bytes.
pub const TEXT_LEN_MAX: usize = 16 << 10;

/// What a client sends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase")]
pub enum ClientText {
    /// See [`Authentication`](super::Authentication).
    Authenticate { address: String, enc_address: String, iv: String },
    /// The first message of a handshake, under another name.
    RegisterHandshakeInitRequest { data: Vec<u8> },
    /// A message of a handshake.
    HandshakePayload { data: Vec<u8> },
    /// The client ends a handshake.
    HandshakeError { message: String },
}

/// What a gateway sends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase")]
pub enum GatewayText {
    /// A message of a handshake.
    HandshakePayload { data: Vec<u8> },
    /// The gateway ends a handshake.
    HandshakeError { message: String },
    /// The end of a registration.
    Register { status: bool },
    /// Whether the client is authenticated.
    Authenticate { status: bool },
    /// A packet is queued.
    Send { status: bool },
    /// See [`Refusal`].
    Error { message: String },
}

/// A text that is no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the text is no message of the protocol")]
pub struct TextError;

/// Why a gateway does not serve a request. The connection stays open. The texts are those of 0.9.2.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Refusal {
    /// No message of the protocol, before authentication.
    #[error("malformed request")]
    MalformedRequest,
    /// A packet before authentication.
    #[error("binary request without prior authentication")]
    NotAuthenticated,
    /// The identity in an `authenticate`.
    #[error("malformed destination address")]
    DestinationAddress,
    /// The encrypted identity.
    #[error("malformed encrypted address")]
    EncryptedAddress,
    /// The initialisation vector.
    #[error("malformed iv")]
    Iv,
    /// The client is connected already.
    #[error("Authentication failure - duplicate connection detected")]
    AuthenticatedTwice,
    /// The client is connected already.
    #[error("Registration failure - duplicate connection detected")]
    RegisteredTwice,
    /// Any text after authentication.
    #[error("invalid request")]
    InvalidRequest,
    /// A binary message that cannot be opened.
    #[error(transparent)]
    Sealed(#[from] SharedKeyError),
    /// An opened binary message that is no packet.
    #[error("provided mix packet was malformed - {0}")]
    Forward(#[from] ForwardError),
    /// The end of a handshake.
    #[error("failed to perform the handshake - {0}")]
    Handshake(#[from] HandshakeError),
}

impl From<&Refusal> for GatewayText {
    fn from(refusal: &Refusal) -> Self {
        Self::Error { message: refusal.to_string() }
    }
}

impl ClientText {
    /// # Errors
    /// When the text is no message of a client.
    pub fn parse(text: &str) -> Result<Self, TextError> {
        parse(text)
    }

    /// JSON as 0.9.2 writes it: no spaces, the type first.
    #[must_use]
    pub fn to_json(&self) -> String {
        to_json(self)
    }
}

impl GatewayText {
    /// # Errors
    /// When the text is no message of a gateway.
    pub fn parse(text: &str) -> Result<Self, TextError> {
        parse(text)
    }

    /// JSON as 0.9.2 writes it: no spaces, the type first.
    #[must_use]
    pub fn to_json(&self) -> String {
        to_json(self)
    }
}

fn parse<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, TextError> {
    if text.len() > TEXT_LEN_MAX {
        return Err(TextError);
    }
    serde_json::from_str(text).map_err(|_| TextError)
}

/// Fails only for maps whose keys are no strings, which these types do not have.
fn to_json(message: &impl Serialize) -> String {
    serde_json::to_string(message).unwrap_or_default()
}
