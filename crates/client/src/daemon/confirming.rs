//! When the gateway may forget what it has pushed: once all of it is on this client's disk.
//!
//! Gateways ask with a ping behind what they push. Its answer leaves at fixed times, whatever was pushed: an answer that
//! waits for the disk after a message, and not after cover, would tell them apart.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use nym_mixnode_message::fragment::Fragment;
use tokio::task::JoinHandle;

use crate::core::Core;
use crate::journal::Journal;

/// Interval of writes and answers. A ping is answered at the second one after its arrival, or later if the disk is slow.
pub(super) const TICK: Duration = Duration::from_millis(50);
/// Records that may be in the journal beside twice those that are needed.
const RECORDS_SPARE: u64 = 1024;

/// Where a client keeps what has arrived.
pub struct Storage {
    /// Fragments of incomplete messages.
    pub journal: Journal,
    /// Number of notices with a message whose receiver has stored it.
    pub stored: Arc<AtomicU64>,
}

/// State of the confirmations.
#[derive(Default)]
pub(super) struct Confirming {
    /// `None` without storage, and during a write.
    journal: Option<Journal>,
    stored: Option<Arc<AtomicU64>>,
    writing: Option<JoinHandle<(Journal, io::Result<()>)>>,
    unwritten: Vec<Fragment>,
    /// Messages that were handed over.
    handed: u64,
    /// Messages of the gateway.
    received: u64,
    /// Those of them that were confirmed.
    confirmed: u64,
    ping: Option<Ping>,
    /// Whether this gateway asks at all; those of 0.9.2 do not.
    has_asked: bool,
}

/// A ping that is not answered yet.
struct Ping {
    content: Vec<u8>,
    received: u64,
    handed: u64,
    state: PingState,
}

#[derive(PartialEq, Eq)]
enum PingState {
    Arrived,
    /// What came before the ping is being written.
    Writing,
    Written,
}

impl Confirming {
    pub(super) fn new(storage: Storage) -> Self {
        Self { journal: Some(storage.journal), stored: Some(storage.stored), ..Self::default() }
    }

    /// Forgets the ping of a connection that has ended. The next one asks again.
    pub(super) fn disconnected(&mut self) {
        self.ping = None;
    }

    /// Counts a message of the gateway.
    pub(super) fn received(&mut self) {
        self.received += 1;
    }

    /// Takes a part of a message that is not complete.
    pub(super) fn keep(&mut self, fragment: Fragment) {
        if self.stored.is_some() {
            self.unwritten.push(fragment);
        }
    }

    /// Counts a message that was handed over.
    pub(super) fn handed_over(&mut self) {
        self.handed += 1;
    }

    pub(super) fn pinged(&mut self, content: Vec<u8>) {
        self.has_asked = true;
        let (received, handed) = (self.received, self.handed);
        self.ping = Some(Ping { content, received, handed, state: PingState::Arrived });
    }

    /// The number of messages so far, for [`is_confirmed`](Self::is_confirmed).
    pub(super) fn position(&self) -> u64 {
        self.received
    }

    /// Whether the gateway knows that these messages have arrived, as far as it wants to.
    pub(super) fn is_confirmed(&self, position: u64) -> bool {
        self.confirmed >= position || !self.has_asked
    }

    /// Writes what has come since the last tick. Returns the content of a ping that can be answered.
    ///
    /// # Errors
    /// When the disk fails. The next tick writes again.
    pub(super) async fn tick(&mut self, core: &Core) -> io::Result<Option<Vec<u8>>> {
        if let Some(writing) = self.writing.take_if(|writing| writing.is_finished()) {
            let (journal, written) = writing.await.map_err(io::Error::other)?;
            self.journal = Some(journal);
            if written.is_err() {
                // Also what could not be written.
                self.unwritten = core.incomplete();
                self.advance(&PingState::Writing, PingState::Arrived);
            }
            written?;
            self.advance(&PingState::Writing, PingState::Written);
        }
        let answered = self.ping.take_if(|ping| {
            let stored = self.stored.as_ref().map_or(u64::MAX, |stored| stored.load(Ordering::Acquire));
            ping.state == PingState::Written && stored >= ping.handed
        });
        if self.writing.is_none() {
            self.write(core);
        }
        Ok(answered.map(|ping| {
            self.confirmed = ping.received;
            ping.content
        }))
    }

    /// Begins to write, if there is something to write.
    fn write(&mut self, core: &Core) {
        let is_all_stored = self.stored.as_ref().is_some_and(|stored| stored.load(Ordering::Acquire) >= self.handed);
        let needed = core.incomplete_count();
        let is_long = |journal: &Journal| match needed {
            0 => journal.records() > 0,
            needed => journal.records() > 2 * needed + RECORDS_SPARE,
        };
        let shrinks = is_all_stored && self.journal.as_ref().is_some_and(is_long);
        let journal = self.journal.take_if(|_| shrinks || !self.unwritten.is_empty());
        let Some(mut journal) = journal else {
            self.advance(&PingState::Arrived, PingState::Written);
            return;
        };
        let unwritten = std::mem::take(&mut self.unwritten);
        let all = shrinks.then(|| core.incomplete());
        self.writing = Some(tokio::task::spawn_blocking(move || {
            let written = match all {
                Some(all) => journal.replace(&all),
                None => journal.append(&unwritten),
            };
            (journal, written)
        }));
        self.advance(&PingState::Arrived, PingState::Writing);
    }

    fn advance(&mut self, from: &PingState, to: PingState) {
        if let Some(ping) = self.ping.as_mut().filter(|ping| ping.state == *from) {
            ping.state = to;
        }
    }
}

#[cfg(test)]
mod tests;
