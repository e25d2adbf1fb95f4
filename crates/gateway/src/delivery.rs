//! Messages from the mix network: to the client's connection, or durably into its inbox; then the acknowledgement.
//!
//! Both ways take the same time: messages are handled once per [`TICK`], and all acknowledgements of a tick leave after
//! its inboxes are written, in a random order. Otherwise a sender would learn from the acknowledgement whether the
//! recipient is present, and an observer which message an acknowledgement is for.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use nym_mixnode_message::ack::ReturnPacket;
use rand::seq::SliceRandom;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};
use tracing::warn;

use crate::ClientId;
use crate::connected::Connected;
use crate::store::{Message, Outcome, Store};

/// Time between two writes.
const TICK: Duration = Duration::from_millis(20);
/// Messages of one tick. While more arrive, the mix side waits.
const BATCH_MAX: usize = 1024;

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

impl Delivery {
    /// Delivers until the sender of arrivals is dropped and everything is delivered.
    pub async fn run(self, mut arrivals: mpsc::Receiver<Arrival>) {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut batch = Vec::with_capacity(BATCH_MAX);
        while arrivals.recv_many(&mut batch, BATCH_MAX).await > 0 {
            ticks.tick().await;
            while batch.len() < BATCH_MAX
                && let Ok(arrival) = arrivals.try_recv()
            {
                batch.push(arrival);
            }
            self.deliver(std::mem::take(&mut batch)).await;
        }
    }

    async fn deliver(&self, batch: Vec<Arrival>) {
        let (mut acks, mut messages, mut waiting) = (Vec::new(), Vec::new(), Vec::new());
        for Arrival { client, content, return_packet } in batch {
            match self.connected.push(&client, content) {
                Ok(()) => {
                    self.counters.pushed.fetch_add(1, Ordering::Relaxed);
                    acks.extend(return_packet);
                }
                Err(content) => {
                    messages.push(Message { client, content });
                    waiting.push(return_packet);
                }
            }
        }
        let outcomes = self.store(&messages).await;
        for ((message, return_packet), outcome) in messages.iter().zip(waiting).zip(outcomes) {
            if self.count(outcome) {
                acks.extend(return_packet);
                // It may have connected, or read its inbox, meanwhile.
                self.connected.notify(&message.client);
            }
        }
        acks.shuffle(&mut rand::rng());
        for ack in acks {
            // A full queue drops acknowledgements, as it drops packets; the sender sends again.
            if let Err(mpsc::error::TrySendError::Closed(_)) = self.acks.try_send(ack) {
                return;
            }
        }
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
