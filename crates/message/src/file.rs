//! Files as messages: chunks that say which file they belong to, and what the whole file must be; and receipts.
//!
//! Ours, unlike the rest of this crate. A chunk is
//! `magic 8 ‖ transfer 16 ‖ length u64 ‖ SHA-256 32 ‖ index u32 ‖ name length u8 ‖ name ‖ data`, numbers big-endian. Every
//! chunk but the last has [`CHUNK_LEN`] bytes of data. A receipt is `magic 8 ‖ transfer 16 ‖ SHA-256 32`, and the question
//! for one `magic 8 ‖ transfer 16`.

use thiserror::Error;

const RECEIPT: &[u8; 8] = b"nymrcpt\x01";
const QUESTION: &[u8; 8] = b"nymask?\x01";
/// Data of a chunk. With its header it is one set of fragments.
pub const CHUNK_LEN: u64 = 400_000;
/// Bytes of the longest name.
pub const NAME_LEN_MAX: usize = 200;

const MAGIC: &[u8; 8] = b"nymfile\x01";
/// Without the name.
const HEADER_LEN: usize = 8 + 16 + 8 + 32 + 4 + 1;

/// Random number of one sending of a file.
pub type TransferId = [u8; 16];

/// What all chunks of a file have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileFacts {
    /// Bytes of the file.
    pub len: u64,
    /// SHA-256 of the file.
    pub digest: [u8; 32],
    /// As the sender wrote it; not to be used as a path.
    pub name: String,
}

/// One chunk of a file.
#[derive(Clone, PartialEq, Eq)]
pub struct Chunk<'a> {
    pub transfer: TransferId,
    pub facts: FileFacts,
    /// From 0.
    pub index: u32,
    pub data: &'a [u8],
}

/// A message that begins as a chunk does, and is invalid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ChunkError {
    /// Its header ends early.
    #[error("the chunk has no complete header")]
    Short,
    /// The name is not UTF-8, empty or too long.
    #[error("the name of the file is not a text of 1 to {NAME_LEN_MAX} bytes")]
    Name,
    /// No file of this length has such a chunk.
    #[error("a file of {len} bytes has no chunk {index} of {data} bytes")]
    Place { len: u64, index: u32, data: usize },
}

impl FileFacts {
    /// Number of chunks, at least 1; `None` for a file that is too long for their numbers.
    #[must_use]
    pub fn chunks(&self) -> Option<u32> {
        u32::try_from(self.len.div_ceil(CHUNK_LEN).max(1)).ok()
    }

    /// Length of the data in a chunk, if there is such a chunk.
    #[must_use]
    pub fn chunk_len(&self, index: u32) -> Option<u64> {
        if index >= self.chunks()? {
            return None;
        }
        Some((self.len - u64::from(index) * CHUNK_LEN).min(CHUNK_LEN))
    }
}

/// Whether a message is about a file: a chunk, also an invalid one, or the question of a sender.
#[must_use]
pub fn is_about_file(message: &[u8]) -> bool {
    message.starts_with(MAGIC) || asked_about(message).is_some()
}

impl<'a> Chunk<'a> {
    /// The message with this chunk.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let name = &self.facts.name.as_bytes()[..self.facts.name.len().min(NAME_LEN_MAX)];
        let mut bytes = Vec::with_capacity(HEADER_LEN + name.len() + self.data.len());
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&self.transfer);
        bytes.extend_from_slice(&self.facts.len.to_be_bytes());
        bytes.extend_from_slice(&self.facts.digest);
        bytes.extend_from_slice(&self.index.to_be_bytes());
        bytes.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
        bytes.extend_from_slice(name);
        bytes.extend_from_slice(self.data);
        bytes
    }

    /// Parses a message; `None` if it is not about a file at all.
    ///
    /// # Errors
    /// When it begins as a chunk does, and is invalid.
    pub fn decode(message: &'a [u8]) -> Option<Result<Self, ChunkError>> {
        let rest = message.strip_prefix(MAGIC)?;
        Some(Self::decode_rest(rest))
    }

    fn decode_rest(rest: &'a [u8]) -> Result<Self, ChunkError> {
        let (transfer, rest) = rest.split_first_chunk().ok_or(ChunkError::Short)?;
        let (len, rest) = rest.split_first_chunk().ok_or(ChunkError::Short)?;
        let (digest, rest) = rest.split_first_chunk().ok_or(ChunkError::Short)?;
        let (index, rest) = rest.split_first_chunk().ok_or(ChunkError::Short)?;
        let (name_len, rest) = rest.split_first().ok_or(ChunkError::Short)?;
        let (name, data) = rest.split_at_checked(usize::from(*name_len)).ok_or(ChunkError::Short)?;
        let name = std::str::from_utf8(name).map_err(|_| ChunkError::Name)?;
        if name.is_empty() || name.len() > NAME_LEN_MAX {
            return Err(ChunkError::Name);
        }
        let facts = FileFacts { len: u64::from_be_bytes(*len), digest: *digest, name: name.to_owned() };
        let index = u32::from_be_bytes(*index);
        if facts.chunk_len(index) != Some(data.len() as u64) {
            return Err(ChunkError::Place { len: facts.len, index, data: data.len() });
        }
        Ok(Self { transfer: *transfer, facts, index, data })
    }
}

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
}

/// The message that asks the recipient of a transfer for a receipt.
#[must_use]
pub fn question(transfer: &TransferId) -> Vec<u8> {
    [&QUESTION[..], transfer].concat()
}

/// The transfer that a message asks about; `None` for other messages.
#[must_use]
pub fn asked_about(message: &[u8]) -> Option<TransferId> {
    message.strip_prefix(QUESTION)?.try_into().ok()
}

#[cfg(test)]
mod tests;
