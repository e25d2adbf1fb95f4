//! A message as its sender wrote it: data, and a reply block if the recipient may answer.

use std::fmt;

use thiserror::Error;
use zeroize::Zeroizing;

use crate::reply::{REPLY_BLOCK_LEN, ReplyBlock, ReplyBlockError};
use crate::text::Hidden;

const WITHOUT_REPLY_BLOCK: u8 = 0;
const WITH_REPLY_BLOCK: u8 = 1;
pub(crate) const END: u8 = 1;

/// What one message carries.
pub struct Content {
    pub data: Vec<u8>,
    /// Lets the recipient answer once, without learning who has sent the message.
    pub reply_block: Option<ReplyBlock>,
}

/// Prints nothing of the message but its length.
impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { data, reply_block } = self;
        f.debug_struct("Content").field("data", &Hidden(data)).field("reply_block", reply_block).finish()
    }
}

/// Why joined fragments, or a decrypted reply, are no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ContentError {
    /// No 01 between the data and the padding.
    #[error("the message has no end")]
    NoEnd,
    /// Nothing before the 01.
    #[error("the message is empty")]
    Empty,
    /// Neither with nor without a reply block.
    #[error("the flag {0} is neither 0 nor 1")]
    Flag(u8),
    /// A reply block is announced, and fewer bytes follow.
    #[error("the reply block is incomplete")]
    ShortReplyBlock,
    /// The bytes of the reply block are invalid.
    #[error(transparent)]
    ReplyBlock(#[from] ReplyBlockError),
}

impl Content {
    /// `flag ‖ [reply block] ‖ data ‖ 01`, without padding. The block has keys.
    pub(crate) fn into_padded(self) -> Zeroizing<Vec<u8>> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(REPLY_BLOCK_LEN + self.data.len() + 2));
        match &self.reply_block {
            None => bytes.push(WITHOUT_REPLY_BLOCK),
            Some(block) => {
                bytes.push(WITH_REPLY_BLOCK);
                bytes.extend_from_slice(&block.to_bytes());
            }
        }
        bytes.extend_from_slice(&self.data);
        bytes.push(END);
        bytes
    }

    /// Parses joined fragments.
    ///
    /// # Errors
    /// When they are no message.
    pub(crate) fn from_padded(bytes: &[u8]) -> Result<Self, ContentError> {
        let message = unpadded(bytes)?;
        let (flag, rest) = message.split_first().ok_or(ContentError::Empty)?;
        match *flag {
            WITHOUT_REPLY_BLOCK => Ok(Self { data: rest.to_vec(), reply_block: None }),
            WITH_REPLY_BLOCK => {
                let (block, data) = rest.split_first_chunk::<REPLY_BLOCK_LEN>().ok_or(ContentError::ShortReplyBlock)?;
                Ok(Self { data: data.to_vec(), reply_block: Some(ReplyBlock::from_bytes(block)?) })
            }
            flag => Err(ContentError::Flag(flag)),
        }
    }
}

/// What is before the last 01.
pub(crate) fn unpadded(bytes: &[u8]) -> Result<&[u8], ContentError> {
    let end = bytes.iter().rposition(|byte| *byte != 0).ok_or(ContentError::NoEnd)?;
    if bytes[end] == END { Ok(&bytes[..end]) } else { Err(ContentError::NoEnd) }
}
