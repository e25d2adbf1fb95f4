//! Fragments that were sent and are not acknowledged.

use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

use nym_mixnode_message::ack::Acknowledged;

use super::MessageId;

/// Fragments by what acknowledges them, and by when they are sent again.
#[derive(Default)]
pub(super) struct Waiting {
    fragments: HashMap<Acknowledged, Fragment>,
    /// The number distinguishes equal times.
    deadlines: BTreeMap<(Instant, u64), Acknowledged>,
    next: u64,
}

struct Fragment {
    message: MessageId,
    index: usize,
    attempts: u32,
    deadline: (Instant, u64),
}

impl Waiting {
    pub(super) fn add(
        &mut self,
        acknowledged: Acknowledged,
        message: MessageId,
        index: usize,
        attempts: u32,
        until: Instant,
    ) {
        self.next += 1;
        let deadline = (until, self.next);
        self.deadlines.insert(deadline, acknowledged);
        let replaced = self.fragments.insert(acknowledged, Fragment { message, index, attempts, deadline });
        if let Some(replaced) = replaced {
            self.deadlines.remove(&replaced.deadline);
        }
    }

    /// The message of an acknowledged fragment, if it was awaited.
    pub(super) fn remove(&mut self, acknowledged: Acknowledged) -> Option<MessageId> {
        let fragment = self.fragments.remove(&acknowledged)?;
        self.deadlines.remove(&fragment.deadline);
        Some(fragment.message)
    }

    /// Message, index and attempts of each fragment whose deadline has passed.
    ///
    /// They stay known: an acknowledgement may still come while they wait for their turn.
    pub(super) fn expire(&mut self, now: Instant) -> Vec<(MessageId, usize, u32)> {
        let mut expired = Vec::new();
        while let Some(entry) = self.deadlines.first_entry()
            && entry.key().0 <= now
        {
            let acknowledged = entry.remove();
            if let Some(fragment) = self.fragments.get(&acknowledged) {
                expired.push((fragment.message, fragment.index, fragment.attempts));
            }
        }
        expired
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.first_key_value().map(|((deadline, _), _)| *deadline)
    }

    /// Whether a fragment that was sent is not acknowledged.
    pub(super) fn contains(&self, acknowledged: Acknowledged) -> bool {
        self.fragments.contains_key(&acknowledged)
    }
}
