//! The text form: JSON, with addresses and reply blocks in base58.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

use super::{ApplicationError, ErrorKind, Origin, Request, Response};

#[derive(Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
enum RequestText {
    Send { message: String, recipient: String, with_reply_surb: bool },
    Reply { message: String, reply_surb: BlockText },
    SelfAddress,
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
enum ResponseText {
    Error {
        message: String,
    },
    Received {
        message: String,
        // Required, and `null` without a reply block.
        #[serde(deserialize_with = "Option::deserialize")]
        reply_surb: Option<BlockText>,
    },
    SelfAddress {
        address: String,
    },
}

/// A reply block in base58, which has keys.
struct BlockText(Zeroizing<String>);

impl Serialize for BlockText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for BlockText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(Zeroizing::new(text)))
    }
}

impl Request {
    /// The text form. Data that is not UTF-8 is changed: the binary form keeps it.
    #[must_use]
    pub fn to_json(&self) -> String {
        to_json(&match self {
            Self::Send { recipient, with_reply_block, data } => RequestText::Send {
                message: String::from_utf8_lossy(data).into_owned(),
                recipient: recipient.to_string(),
                with_reply_surb: *with_reply_block,
            },
            Self::Reply { reply_block, data } => RequestText::Reply {
                message: String::from_utf8_lossy(data).into_owned(),
                reply_surb: BlockText(reply_block.to_base58()),
            },
            Self::SelfAddress => RequestText::SelfAddress,
        })
    }

    /// Parses the text form.
    ///
    /// # Errors
    /// When the text is no request.
    pub fn from_json(text: &str) -> Result<Self, ApplicationError> {
        let origin = Origin::Application;
        Ok(match serde_json::from_str(text).map_err(|error| origin.malformed(&error))? {
            RequestText::Send { message, recipient, with_reply_surb } => Self::Send {
                recipient: recipient.parse().map_err(origin.address())?,
                with_reply_block: with_reply_surb,
                data: message.into_bytes(),
            },
            RequestText::Reply { message, reply_surb } => Self::Reply {
                reply_block: reply_surb.0.parse().map_err(origin.reply_block())?,
                data: message.into_bytes(),
            },
            RequestText::SelfAddress => Self::SelfAddress,
        })
    }
}

impl Response {
    /// The text form. Data that is not UTF-8 is changed: the binary form keeps it.
    #[must_use]
    pub fn to_json(&self) -> String {
        to_json(&match self {
            Self::Error { kind, message } => ResponseText::Error { message: format!("{kind}:{message}") },
            Self::Received { data, reply_block } => ResponseText::Received {
                message: String::from_utf8_lossy(data).into_owned(),
                reply_surb: reply_block.as_ref().map(|block| BlockText(block.to_base58())),
            },
            Self::SelfAddress(address) => ResponseText::SelfAddress { address: address.to_string() },
        })
    }

    /// Parses the text form. Texts name the kind of an error in words.
    ///
    /// # Errors
    /// When the text is no response.
    pub fn from_json(text: &str) -> Result<Self, ApplicationError> {
        let origin = Origin::Client;
        Ok(match serde_json::from_str(text).map_err(|error| origin.malformed(&error))? {
            ResponseText::Error { message } => error_of(&message),
            ResponseText::Received { message, reply_surb } => Self::Received {
                data: message.into_bytes(),
                reply_block: reply_surb.map(|text| text.0.parse()).transpose().map_err(origin.reply_block())?,
            },
            ResponseText::SelfAddress { address } => Self::SelfAddress(address.parse().map_err(origin.address())?),
        })
    }
}

fn error_of(text: &str) -> Response {
    let known = text.split_once(':').and_then(|(kind, message)| {
        let kind = ErrorKind::ALL.into_iter().find(|known| known.to_string() == kind)?;
        Some((kind, message))
    });
    let (kind, message) = known.unwrap_or((ErrorKind::Other, text));
    Response::Error { kind, message: message.to_owned() }
}

/// Fails only for maps whose keys are no strings, which these types do not have.
fn to_json(message: &impl Serialize) -> String {
    serde_json::to_string(message).unwrap_or_default()
}
