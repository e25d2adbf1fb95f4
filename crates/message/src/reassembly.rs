//! Messages from their fragments, in any order and within bounds.
//!
//! Any sender can send any fragment, so everything is bounded: what is incomplete leaves when it is old, or the least
//! recently continued message leaves when memory is short. Sets that belong to one message leave together.

mod chain;

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::time::{Duration, Instant};

use thiserror::Error;
use zeroize::Zeroizing;

use crate::content::{Content, ContentError};
use crate::fragment::{FRAGMENT_LEN, Fragment, SetId};
use chain::Chain;

/// Bounds on incomplete messages, and on what is remembered of complete ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Bytes of all fragments; also the longest message.
    pub bytes: usize,
    /// Time without a new fragment after which a message is forgotten.
    pub idle: Duration,
    /// Sets that are recognised when they arrive again.
    pub remembered: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { bytes: 64 << 20, idle: Duration::from_secs(600), remembered: 1 << 16 }
    }
}

/// What a fragment has led to.
#[derive(Debug)]
pub enum Progress {
    /// More fragments are needed.
    Incomplete,
    /// The fragment, or its whole message, was there before.
    Repeated,
    /// The last missing fragment.
    Complete(Content),
}

/// Why a fragment, or the message that it completes, is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ReassemblyError {
    /// Another fragment of the set gives another number.
    #[error("the set has {known} fragments, and this fragment belongs to one of {claimed}")]
    Total { known: u8, claimed: u8 },
    /// The sets contradict each other about their order.
    #[error("the sets of the message are not in one chain")]
    Links,
    /// Longer than all memory for fragments.
    #[error("the message is longer than {0} bytes")]
    TooLong(usize),
    /// The joined fragments are no message.
    #[error(transparent)]
    Content(#[from] ContentError),
}

/// Incomplete messages.
pub struct Reassembly {
    bounds: Bounds,
    sets: HashMap<SetId, PartialSet>,
    messages: HashMap<u64, PartialMessage>,
    /// Messages in the order in which they were continued.
    order: BTreeMap<u64, u64>,
    turn: u64,
    fragments: usize,
    done: HashSet<SetId>,
    done_order: VecDeque<SetId>,
    forgotten: u64,
}

struct PartialSet {
    message: u64,
    total: u8,
    fragments: BTreeMap<u8, Fragment>,
}

/// Sets that are known to be linked.
struct PartialMessage {
    sets: Vec<SetId>,
    turn: u64,
    continued: Instant,
}

impl PartialSet {
    fn is_complete(&self) -> bool {
        self.fragments.len() == usize::from(self.total)
    }

    fn previous(&self) -> Option<SetId> {
        self.fragments.get(&1)?.header().previous_set()
    }

    fn next(&self) -> Option<SetId> {
        self.fragments.get(&u8::MAX)?.header().next_set()
    }
}

impl Reassembly {
    #[must_use]
    pub fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            sets: HashMap::new(),
            messages: HashMap::new(),
            order: BTreeMap::new(),
            turn: 0,
            fragments: 0,
            done: HashSet::new(),
            done_order: VecDeque::new(),
            forgotten: 0,
        }
    }

    /// Messages that were forgotten before they were complete.
    #[must_use]
    pub fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// Bytes of all incomplete messages.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.fragments * FRAGMENT_LEN
    }

    /// Fragments of all incomplete messages.
    pub fn fragments(&self) -> impl Iterator<Item = &Fragment> {
        self.sets.values().flat_map(|set| set.fragments.values())
    }

    /// Adds a fragment that arrived at `now`.
    ///
    /// # Errors
    /// When the fragment contradicts others, or completes what is no message. That message is then dropped, and its
    /// fragments are recognised as repeated.
    pub fn insert(&mut self, fragment: &Fragment, now: Instant) -> Result<Progress, ReassemblyError> {
        self.forget_idle(now);
        let header = *fragment.header();
        let id = header.set();
        if self.done.contains(&id) {
            return Ok(Progress::Repeated);
        }
        if !self.sets.contains_key(&id) {
            self.begin(id, header.total(), now);
        }
        let Some(set) = self.sets.get_mut(&id) else { return Ok(Progress::Incomplete) };
        if set.total != header.total() {
            return Err(ReassemblyError::Total { known: set.total, claimed: header.total() });
        }
        if set.fragments.contains_key(&header.current().get()) {
            return Ok(Progress::Repeated);
        }
        set.fragments.insert(header.current().get(), fragment.clone());
        self.fragments += 1;
        if let Some(linked) = header.previous_set().or(header.next_set()) {
            self.join(id, linked);
        }
        self.touch(id, now);
        self.make_room(id)?;
        self.complete(id)
    }

    /// Forgets messages that have not been continued for too long.
    pub fn forget_idle(&mut self, now: Instant) {
        while let Some((_, message)) = self.order.first_key_value() {
            let message = *message;
            let is_idle = self
                .messages
                .get(&message)
                .is_none_or(|m| now.saturating_duration_since(m.continued) > self.bounds.idle);
            if !is_idle {
                return;
            }
            self.forgotten += 1;
            self.remove(message);
        }
    }

    fn begin(&mut self, id: SetId, total: u8, now: Instant) {
        self.turn += 1;
        let message = self.turn;
        self.sets.insert(id, PartialSet { message, total, fragments: BTreeMap::new() });
        self.messages.insert(message, PartialMessage { sets: vec![id], turn: message, continued: now });
        self.order.insert(message, message);
    }

    /// Moves the message to the end of the order.
    fn touch(&mut self, id: SetId, now: Instant) {
        let Some(key) = self.sets.get(&id).map(|set| set.message) else { return };
        let Some(message) = self.messages.get_mut(&key) else { return };
        self.turn += 1;
        self.order.remove(&message.turn);
        (message.turn, message.continued) = (self.turn, now);
        self.order.insert(self.turn, key);
    }

    /// Makes one message of those of two sets. The longer list takes the sets of the other.
    fn join(&mut self, one: SetId, other: SetId) {
        let message = |id| self.sets.get(id).map(|set| set.message);
        let (Some(one), Some(other)) = (message(&one), message(&other)) else { return };
        let len = |key| self.messages.get(key).map_or(0, |message| message.sets.len());
        let (kept, given) = if len(&one) >= len(&other) { (one, other) } else { (other, one) };
        if kept == given {
            return;
        }
        let Some(given) = self.messages.remove(&given) else { return };
        self.order.remove(&given.turn);
        for id in &given.sets {
            if let Some(set) = self.sets.get_mut(id) {
                set.message = kept;
            }
        }
        if let Some(message) = self.messages.get_mut(&kept) {
            message.sets.extend(given.sets);
        }
    }

    /// Forgets the messages that were continued before the one of `id` until the rest fits.
    fn make_room(&mut self, id: SetId) -> Result<(), ReassemblyError> {
        let own = self.sets.get(&id).map(|set| set.message);
        while self.bytes() > self.bounds.bytes {
            let Some((_, message)) = self.order.first_key_value() else { return Ok(()) };
            let message = *message;
            self.forgotten += 1;
            if Some(message) == own {
                self.finish(message);
                return Err(ReassemblyError::TooLong(self.bounds.bytes));
            }
            self.remove(message);
        }
        Ok(())
    }

    fn complete(&mut self, id: SetId) -> Result<Progress, ReassemblyError> {
        let Some(set) = self.sets.get(&id) else { return Ok(Progress::Incomplete) };
        let message = set.message;
        if !set.is_complete() {
            return Ok(Progress::Incomplete);
        }
        let joined = match chain::of(&self.sets, id) {
            Chain::Incomplete => return Ok(Progress::Incomplete),
            Chain::Broken => Err(ReassemblyError::Links),
            Chain::Complete(sets) => Ok(self.joined(&sets)),
        };
        self.finish(message);
        Ok(Progress::Complete(Content::from_padded(&joined?)?))
    }

    fn joined(&self, sets: &[SetId]) -> Zeroizing<Vec<u8>> {
        let sets: Vec<_> = sets.iter().filter_map(|id| self.sets.get(id)).collect();
        // Enough at once: a buffer that grows leaves copies behind.
        let len = sets.iter().map(|set| set.fragments.len() * FRAGMENT_LEN).sum();
        let mut bytes = Zeroizing::new(Vec::with_capacity(len));
        for fragment in sets.iter().flat_map(|set| set.fragments.values()) {
            bytes.extend_from_slice(fragment.payload());
        }
        bytes
    }

    /// Removes a message and remembers its sets.
    fn finish(&mut self, message: u64) {
        for id in self.remove(message) {
            if self.done.insert(id) {
                self.done_order.push_back(id);
            }
        }
        while self.done_order.len() > self.bounds.remembered {
            if let Some(id) = self.done_order.pop_front() {
                self.done.remove(&id);
            }
        }
    }

    /// Removes a message and returns its sets.
    fn remove(&mut self, message: u64) -> Vec<SetId> {
        let Some(removed) = self.messages.remove(&message) else {
            self.order.retain(|_, known| *known != message);
            return Vec::new();
        };
        self.order.remove(&removed.turn);
        for id in &removed.sets {
            if let Some(set) = self.sets.remove(id) {
                self.fragments -= set.fragments.len();
            }
        }
        removed.sets
    }
}

#[cfg(test)]
mod tests;
