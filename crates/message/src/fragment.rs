//! Messages in fragments that each fill a packet, and in sets of at most 255 fragments.

use std::num::NonZeroU8;

use rand::CryptoRng;
use thiserror::Error;
use zeroize::{Zeroize, Zeroizing};

use crate::ciphers::take;
use crate::content::Content;

/// Length of every fragment with its header in bytes.
pub const FRAGMENT_LEN: usize = 1611;
const UNLINKED_HEADER_LEN: usize = 7;
const LINKED_HEADER_LEN: usize = 10;
/// Bytes of a message in a fragment without a link.
pub const UNLINKED_LEN: usize = FRAGMENT_LEN - UNLINKED_HEADER_LEN;
/// Bytes of a message in a fragment with a link.
pub const LINKED_LEN: usize = FRAGMENT_LEN - LINKED_HEADER_LEN;

/// Fragments in a full set.
const SET_LEN: usize = 255;
/// Bytes of a message in the only set, in the first or last of several, and in those between.
const ONLY_SET_LEN: usize = SET_LEN * UNLINKED_LEN;
const OUTER_SET_LEN: usize = ONLY_SET_LEN - UNLINKED_LEN + LINKED_LEN;
const INNER_SET_LEN: usize = OUTER_SET_LEN - UNLINKED_LEN + LINKED_LEN;

const _: () = assert!(ONLY_SET_LEN == 409_020);
const _: () = assert!(OUTER_SET_LEN == 409_017);
const _: () = assert!(INNER_SET_LEN == 409_014);

/// The highest bit of a set's number on the wire.
const FLAG: u32 = 1 << 31;

/// Number of a set, from 1 to 2³¹ − 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SetId(u32);

impl SetId {
    /// `None` for 0 and from 2³¹ on.
    #[must_use]
    pub const fn new(id: u32) -> Option<Self> {
        if id == 0 || id >= FLAG { None } else { Some(Self(id)) }
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }

    /// Draws a number as 0.9.2 does: the absolute value of a random integer. The two values without one are drawn again.
    #[must_use]
    pub fn random(rng: &mut impl CryptoRng) -> Self {
        loop {
            if let Some(id) = Self::new(rng.next_u32().cast_signed().unsigned_abs()) {
                return id;
            }
        }
    }

    fn to_wire(self) -> [u8; 4] {
        (self.0 | FLAG).to_be_bytes()
    }

    fn from_wire(bytes: [u8; 4]) -> Option<Self> {
        let number = u32::from_be_bytes(bytes);
        if number & FLAG == 0 { None } else { Self::new(number & !FLAG) }
    }
}

/// Place of a fragment in its message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FragmentHeader {
    set: SetId,
    total: u8,
    current: NonZeroU8,
    link: Option<SetId>,
}

/// Why bytes are no fragment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum FragmentError {
    /// Shorter than its header.
    #[error("the fragment is too short")]
    TooShort,
    /// A fragment on the wire has exactly [`FRAGMENT_LEN`] bytes.
    #[error("the fragment has {0} bytes instead of {FRAGMENT_LEN}")]
    Length(usize),
    /// The number of the set, or of the linked one.
    #[error("the number of the set is malformed")]
    SetId,
    /// The number of the fragment, or of all.
    #[error("fragment {current} of {total} does not exist")]
    Number { current: u8, total: u8 },
    /// Only the first fragment of a set and the last of a full one have a link, to another set.
    #[error("the fragment must not have this link")]
    Link,
}

impl FragmentHeader {
    /// # Errors
    /// When there is no such fragment.
    pub fn new(set: SetId, total: u8, current: u8, link: Option<SetId>) -> Result<Self, FragmentError> {
        let wrong = FragmentError::Number { current, total };
        let current = NonZeroU8::new(current).filter(|current| current.get() <= total).ok_or(wrong)?;
        let can_link = current == NonZeroU8::MIN || current == NonZeroU8::MAX;
        if link.is_some_and(|link| link == set || !can_link) {
            return Err(FragmentError::Link);
        }
        Ok(Self { set, total, current, link })
    }

    /// The set of this fragment.
    #[must_use]
    pub fn set(&self) -> SetId {
        self.set
    }

    /// Fragments in the set, from 1.
    #[must_use]
    pub fn total(&self) -> u8 {
        self.total
    }

    /// Number of this fragment, from 1.
    #[must_use]
    pub fn current(&self) -> NonZeroU8 {
        self.current
    }

    /// The set before this one.
    #[must_use]
    pub fn previous_set(&self) -> Option<SetId> {
        if self.current == NonZeroU8::MIN { self.link } else { None }
    }

    /// The set after this one.
    #[must_use]
    pub fn next_set(&self) -> Option<SetId> {
        if self.current == NonZeroU8::MIN { None } else { self.link }
    }

    /// Parses a header; returns it and the bytes after it.
    ///
    /// # Errors
    /// When the bytes are too short, or no header of 0.9.2.
    pub fn decode(bytes: &[u8]) -> Result<(Self, &[u8]), FragmentError> {
        let (set, rest) = take(bytes).ok_or(FragmentError::TooShort)?;
        let ([total, current, unlinked], after) = take(rest).ok_or(FragmentError::TooShort)?;
        let set = SetId::from_wire(set).ok_or(FragmentError::SetId)?;
        if unlinked == 0 {
            return Ok((Self::new(set, total, current, None)?, after));
        }
        let (link, rest) = take(&rest[2..]).ok_or(FragmentError::TooShort)?;
        let link = SetId::from_wire(link).ok_or(FragmentError::SetId)?;
        Ok((Self::new(set, total, current, Some(link))?, rest))
    }

    /// 7 bytes, or 10 with a link.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(LINKED_HEADER_LEN);
        bytes.extend_from_slice(&self.set.to_wire());
        bytes.extend_from_slice(&[self.total, self.current.get()]);
        match self.link {
            None => bytes.push(0),
            Some(link) => bytes.extend_from_slice(&link.to_wire()),
        }
        bytes
    }
}

/// One fragment, as it is sealed in a packet.
#[derive(Clone, PartialEq, Eq)]
pub struct Fragment {
    header: FragmentHeader,
    bytes: Box<[u8; FRAGMENT_LEN]>,
}

/// A part of a message, and perhaps of a reply block with its keys.
impl Drop for Fragment {
    fn drop(&mut self) {
        self.bytes.zeroize();
    }
}

impl Fragment {
    /// Parses a fragment.
    ///
    /// # Errors
    /// If the bytes are not a fragment.
    pub fn decode(bytes: &[u8]) -> Result<Self, FragmentError> {
        let (header, _) = FragmentHeader::decode(bytes)?;
        let bytes: &[u8; FRAGMENT_LEN] = bytes.try_into().map_err(|_| FragmentError::Length(bytes.len()))?;
        Ok(Self { header, bytes: Box::new(*bytes) })
    }

    /// Its place in the message.
    #[must_use]
    pub fn header(&self) -> &FragmentHeader {
        &self.header
    }

    /// Header and payload.
    #[must_use]
    pub fn bytes(&self) -> &[u8; FRAGMENT_LEN] {
        &self.bytes
    }

    /// Its bytes of the message.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        let header_len = if self.header.link.is_some() { LINKED_HEADER_LEN } else { UNLINKED_HEADER_LEN };
        &self.bytes[header_len..]
    }
}

/// Prints nothing of the message.
impl std::fmt::Debug for Fragment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fragment").field("header", &self.header).finish_non_exhaustive()
    }
}

/// All fragments of a message, made one at a time from one copy of it.
pub struct Fragments {
    content: Zeroizing<Vec<u8>>,
    sets: Vec<SetId>,
}

impl Fragments {
    /// Draws the numbers of the sets and keeps the message.
    #[must_use]
    pub fn of(content: Content, rng: &mut impl CryptoRng) -> Self {
        let content = content.into_padded();
        let count = set_count(content.len());
        let mut sets = Vec::with_capacity(count);
        while sets.len() < count {
            let id = SetId::random(rng);
            // 0.9.2 ends when it draws a number twice.
            if !sets.contains(&id) {
                sets.push(id);
            }
        }
        Self { content, sets }
    }

    /// The numbers of the sets, in the order of the message.
    #[must_use]
    pub fn sets(&self) -> &[SetId] {
        &self.sets
    }

    /// Number of fragments, at least 1.
    #[must_use]
    pub fn count(&self) -> usize {
        (self.sets.len() - 1) * SET_LEN + self.last_set_count()
    }

    /// The fragment at this index, from 0 over all sets.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<Fragment> {
        let (set, place) = (index / SET_LEN, index % SET_LEN);
        let id = *self.sets.get(set)?;
        let is_last_set = set + 1 == self.sets.len();
        let total = if is_last_set { self.last_set_count() } else { SET_LEN };
        if place >= total {
            return None;
        }
        let previous = if place == 0 { set.checked_sub(1) } else { None };
        let next = if place + 1 == SET_LEN && !is_last_set { Some(set + 1) } else { None };
        let link = previous.or(next).and_then(|linked| self.sets.get(linked).copied());
        let (total, current) = (u8::try_from(total).ok()?, u8::try_from(place + 1).ok()?);
        let header = FragmentHeader::new(id, total, current, link).ok()?;
        let start = set_start(set) + place_start(set, place);
        Some(Fragment { header, bytes: filled(&header, self.content.get(start..)?) })
    }

    /// All fragments in their order.
    pub fn iter(&self) -> impl Iterator<Item = Fragment> + '_ {
        (0..self.count()).map_while(|index| self.get(index))
    }

    fn last_set_count(&self) -> usize {
        let set = self.sets.len() - 1;
        let rest = self.content.len() - set_start(set);
        if set == 0 {
            return rest.div_ceil(UNLINKED_LEN);
        }
        1 + rest.saturating_sub(LINKED_LEN).div_ceil(UNLINKED_LEN)
    }
}

/// The header, what fits of the content, and zeros.
fn filled(header: &FragmentHeader, content: &[u8]) -> Box<[u8; FRAGMENT_LEN]> {
    let mut bytes = Box::new([0; FRAGMENT_LEN]);
    let encoded = header.encode();
    let (head, payload) = bytes.split_at_mut(encoded.len());
    head.copy_from_slice(&encoded);
    let len = payload.len().min(content.len());
    payload[..len].copy_from_slice(&content[..len]);
    bytes
}

/// Sets of a message of `len` bytes.
fn set_count(len: usize) -> usize {
    if len <= ONLY_SET_LEN {
        1
    } else if len <= 2 * OUTER_SET_LEN {
        2
    } else {
        2 + (len - 2 * OUTER_SET_LEN).div_ceil(INNER_SET_LEN)
    }
}

/// Bytes of the message before a set.
fn set_start(set: usize) -> usize {
    match set.checked_sub(1) {
        None => 0,
        Some(inner) => OUTER_SET_LEN + inner * INNER_SET_LEN,
    }
}

/// Bytes of a set before the fragment at this place.
fn place_start(set: usize, place: usize) -> usize {
    if set == 0 || place == 0 { place * UNLINKED_LEN } else { LINKED_LEN + (place - 1) * UNLINKED_LEN }
}

#[cfg(test)]
mod tests;
