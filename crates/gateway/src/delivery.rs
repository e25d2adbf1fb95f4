//! Messages from the mix network: to the client's connection, or durably into its inbox; then the acknowledgement.
//!
//! Both ways take the same time: messages are handled once per [`TICK`], and all acknowledgements of a tick leave
//! together, in a random order, once [`ACKNOWLEDGED_AFTER`] has passed. Otherwise a sender would learn from the acknowledgement
//! whether the recipient is present, and an observer which message an acknowledgement is for. Before it leaves, each
//! message is safe: its client has confirmed it, or it is in the inbox.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use nym_mixnode_message::ack::ReturnPacket;
use rand::seq::SliceRandom;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tracing::warn;

use crate::ClientId;
use crate::connected::Connected;
use crate::store::{Message, Outcome, Store};
use crate::unstored::{Unstored, make_safe};

/// Time between two writes.
const TICK: Duration = Duration::from_millis(20);
/// Messages of one tick. While more arrive, the mix side waits.
const BATCH_MAX: usize = 1024;
/// More than the 100 ms after which a client answers a ping, which may wait for the answer to the one before, and a way
/// there and back. Much less than the 1.5 s that clients add to their wait for acknowledgements.
const ACKNOWLEDGED_AFTER: Duration = Duration::from_millis(500);
/// Ticks whose acknowledgements wait. While there are more, the mix side waits.
const TICKS_MAX: usize = 2 * (ACKNOWLEDGED_AFTER.as_millis() / TICK.as_millis()) as usize;

/// A message from a last mix.
pub struct Arrival {
    pub client: ClientId,
    pub content: Vec<u8>,
    /// Sent once the message is safe.
    pub return_packet: Option<ReturnPacket>,
}

/// Messages by what became of them.
#[derive(Debug, Default)]
pub struct Counters {
    pushed: AtomicU64,
    stored: AtomicU64,
    unknown: AtomicU64,
    full: AtomicU64,
    failed: AtomicU64,
}

impl Counters {
    /// Handed to a connection.
    #[must_use]
    pub fn pushed(&self) -> u64 {
        self.pushed.load(Ordering::Relaxed)
    }

    /// Put into an inbox.
    #[must_use]
    pub fn stored(&self) -> u64 {
        self.stored.load(Ordering::Relaxed)
    }

    /// Dropped: for no registered client, for a full inbox, or because the store failed.
    #[must_use]
    pub fn dropped(&self) -> [u64; 3] {
        [&self.unknown, &self.full, &self.failed].map(|counter| counter.load(Ordering::Relaxed))
    }
}

/// Delivers messages.
pub struct Delivery {
    pub store: Arc<Store>,
    pub connected: Arc<Connected>,
    /// Acknowledgements on their way back.
    pub acks: mpsc::Sender<ReturnPacket>,
    pub counters: Arc<Counters>,
    /// Seconds since 1970.
    pub now: fn() -> u64,
}

/// Messages of one tick and their acknowledgements.
struct Waiting {
    due: Instant,
    /// In inboxes.
    stored: Vec<ReturnPacket>,
    /// With connections.
    pushed: Vec<Pushed>,
}

struct Pushed {
    message: Arc<Unstored>,
    return_packet: ReturnPacket,
}

impl Delivery {
    /// Delivers until the sender of arrivals is dropped and everything is delivered.
    pub async fn run(self, arrivals: mpsc::Receiver<Arrival>) {
        let (waiting, due) = mpsc::channel(TICKS_MAX);
        tokio::join!(self.deliver_all(arrivals, waiting), self.acknowledge_all(due));
    }

    async fn deliver_all(&self, mut arrivals: mpsc::Receiver<Arrival>, waiting: mpsc::Sender<Waiting>) {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut batch = Vec::with_capacity(BATCH_MAX);
        while arrivals.recv_many(&mut batch, BATCH_MAX).await > 0 {
            // What it returns is long ago after a time without messages.
            ticks.tick().await;
            let due = Instant::now() + ACKNOWLEDGED_AFTER;
            while batch.len() < BATCH_MAX
                && let Ok(arrival) = arrivals.try_recv()
            {
                batch.push(arrival);
            }
            let (stored, pushed) = self.deliver(std::mem::take(&mut batch)).await;
            if waiting.send(Waiting { due, stored, pushed }).await.is_err() {
                return;
            }
        }
    }

    async fn acknowledge_all(&self, mut waiting: mpsc::Receiver<Waiting>) {
        while let Some(tick) = waiting.recv().await {
            sleep_until(tick.due).await;
            let mut acks = tick.stored;
            acks.extend(self.make_safe(tick.pushed).await);
            acks.shuffle(&mut rand::rng());
            for ack in acks {
                // A full queue makes the mix side wait. This fails when the gateway aborts, which sends no more packets.
                self.acks.send(ack).await.ok();
            }
        }
    }

    /// Returns what can be acknowledged of the messages in inboxes, and those with connections that are to be acknowledged.
    async fn deliver(&self, batch: Vec<Arrival>) -> (Vec<ReturnPacket>, Vec<Pushed>) {
        let (mut pushed, mut messages, mut return_packets) = (Vec::new(), Vec::new(), Vec::new());
        for Arrival { client, content, return_packet } in batch {
            match self.connected.push(Message { client, content }) {
                Ok(message) => {
                    self.counters.pushed.fetch_add(1, Ordering::Relaxed);
                    pushed.extend(return_packet.map(|return_packet| Pushed { message, return_packet }));
                }
                Err(message) => {
                    messages.push(message);
                    return_packets.push(return_packet);
                }
            }
        }
        let outcomes = self.store(&messages).await;
        let mut stored = Vec::new();
        for ((message, return_packet), outcome) in messages.iter().zip(return_packets).zip(outcomes) {
            if self.count(outcome) {
                stored.extend(return_packet);
                // It may have connected, or read its inbox, meanwhile.
                self.connected.notify(&message.client);
            }
        }
        (stored, pushed)
    }

    /// Puts what clients have not confirmed into their inboxes, so that a kill of the gateway does not lose what is
    /// acknowledged. A client that is only slow gets it twice, as it does when a sender sends again.
    async fn make_safe(&self, pushed: Vec<Pushed>) -> impl Iterator<Item = ReturnPacket> {
        let messages = pushed.iter().map(|pushed| &pushed.message);
        if let Err(error) = make_safe(messages, &self.store, &self.connected, (self.now)()).await {
            warn!(%error, "Cannot write inboxes");
        }
        let safe = pushed.into_iter().filter(|pushed| pushed.message.is_safe());
        safe.map(|pushed| pushed.return_packet)
    }

    /// `None` for a failure of the store.
    async fn store(&self, messages: &[Message]) -> Vec<Option<Outcome>> {
        if messages.is_empty() {
            return Vec::new();
        }
        match self.store.append(messages, (self.now)()).await {
            Ok(outcomes) => outcomes.into_iter().map(Some).collect(),
            Err(error) => {
                warn!(%error, "Cannot write inboxes");
                vec![None; messages.len()]
            }
        }
    }

    /// Whether the message is safe.
    fn count(&self, outcome: Option<Outcome>) -> bool {
        let counter = match outcome {
            Some(Outcome::Stored) => &self.counters.stored,
            Some(Outcome::Unknown) => &self.counters.unknown,
            Some(Outcome::Full) => &self.counters.full,
            None => &self.counters.failed,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        outcome == Some(Outcome::Stored)
    }
}

#[cfg(test)]
mod tests;
