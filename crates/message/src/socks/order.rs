//! The order of the parts of a stream, which the mix network does not keep.

use std::collections::BTreeMap;

use thiserror::Error;

use super::Part;

/// Gives each part of a stream its place.
#[derive(Debug, Default)]
pub struct OrderedSender {
    next: u64,
}

impl OrderedSender {
    /// The next part of the stream.
    pub fn part(&mut self, data: Vec<u8>) -> Part {
        let index = self.next;
        self.next += 1;
        Part { index, data }
    }
}

/// Puts the parts of a stream in their order.
#[derive(Debug)]
pub struct OrderedReceiver {
    next: u64,
    waiting: BTreeMap<u64, Vec<u8>>,
    bytes: usize,
    bytes_max: usize,
}

/// Too much of a stream has arrived before one of its parts. Only the end of the connection helps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("more than {bytes_max} bytes of the stream wait for part {missing}")]
pub struct OutOfOrder {
    pub missing: u64,
    pub bytes_max: usize,
}

impl OrderedReceiver {
    /// Memory of a part beside its data, so that empty parts are bounded, too.
    const PART_LEN: usize = 64;

    /// Keeps at most this many bytes that have arrived too early.
    #[must_use]
    pub fn new(bytes_max: usize) -> Self {
        Self { next: 0, waiting: BTreeMap::new(), bytes: 0, bytes_max }
    }

    /// Adds a part; returns what the stream continues with, if that is known. A repeated part is ignored.
    ///
    /// # Errors
    /// When too much waits for an earlier part.
    pub fn insert(&mut self, part: Part) -> Result<Option<Vec<u8>>, OutOfOrder> {
        if part.index > self.next {
            self.keep(part)?;
            return Ok(None);
        }
        if part.index < self.next {
            return Ok(None);
        }
        let mut data = part.data;
        self.next += 1;
        while let Some(next) = self.waiting.remove(&self.next) {
            self.bytes -= next.len() + Self::PART_LEN;
            self.next += 1;
            data.extend_from_slice(&next);
        }
        Ok(Some(data))
    }

    fn keep(&mut self, part: Part) -> Result<(), OutOfOrder> {
        if self.waiting.contains_key(&part.index) {
            return Ok(());
        }
        let len = part.data.len() + Self::PART_LEN;
        if self.bytes + len > self.bytes_max {
            return Err(OutOfOrder { missing: self.next, bytes_max: self.bytes_max });
        }
        self.bytes += len;
        self.waiting.insert(part.index, part.data);
        Ok(())
    }
}
