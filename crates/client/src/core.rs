//! What is sent, awaited and received. No I/O; randomness and the time are parameters.
//!
//! A packet is built when its turn comes, so that what waits is a message and not its packets. What is not acknowledged
//! is sent again, each time later than before, with new keys, along a new route.

mod packets;
mod waiting;

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use nym_mixnode_keys::SphinxKeyPair;
use nym_mixnode_message::ack::{AckKey, Acknowledged};
use nym_mixnode_message::address::ClientAddress;
use nym_mixnode_message::content::Content;
use nym_mixnode_message::fragment::{FRAGMENT_LEN, Fragment, Fragments};
use nym_mixnode_message::gateway::ForwardRequest;
use nym_mixnode_message::reassembly::{Bounds, Progress, Reassembly};
use nym_mixnode_message::reply::{ReplyBlock, ReplyDigest, ReplyKey, ReplyTooLong};
use nym_mixnode_message::sealed::{Opened, Pushed};
use rand::CryptoRng;
use thiserror::Error;

use crate::network::{Network, NoRoute};
use packets::Builder;
use waiting::Waiting;

/// Keys of replies that have not come. The oldest is forgotten first.
const REPLY_KEYS_MAX: usize = 1 << 16;

/// Growth of the wait from one attempt to the next. A retransmission takes the place of a cover packet, so it adds no
/// load; where half of the packets are lost, the last fragment of a large file takes some ten attempts.
const ACK_WAIT_GROWTH: f64 = 1.5;
/// Later attempts wait as long as this one: for more than a week, so the longest wait always decides.
const ATTEMPTS_OF_GROWTH: u32 = 32;

/// How packets are delayed, and when they are sent again.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// Mean delay at each mix, of packets.
    pub packet_delay: Duration,
    /// Mean delay at each mix, of acknowledgements.
    pub ack_delay: Duration,
    /// The first wait for an acknowledgement is the sum of all delays times this, plus `ack_wait_addition`.
    pub ack_wait_multiplier: f64,
    pub ack_wait_addition: Duration,
    /// The longest wait. Each attempt waits half as long again as the one before.
    pub ack_wait_max: Duration,
    /// Bytes of all messages that are not acknowledged.
    pub unsent_bytes_max: usize,
    pub reassembly: Bounds,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            packet_delay: Duration::from_millis(50),
            ack_delay: Duration::from_millis(50),
            ack_wait_multiplier: 1.5,
            ack_wait_addition: Duration::from_millis(1500),
            ack_wait_max: Duration::from_mins(1),
            unsent_bytes_max: 64 << 20,
            reassembly: Bounds::default(),
        }
    }
}

/// A client's own keys.
pub struct ClientKeys {
    pub address: ClientAddress,
    pub encryption: SphinxKeyPair,
    pub ack: AckKey,
}

/// Number of a message of this client.
pub type MessageId = u64;

/// What a message from the gateway has led to.
#[derive(Debug)]
pub enum Event {
    /// A message has arrived.
    Received(Content),
    /// A reply has arrived.
    ReceivedReply(Vec<u8>),
    /// All fragments of an own message are at the recipient's gateway.
    Acknowledged(MessageId),
    /// A new fragment of a message that is not complete.
    Part(Fragment),
    /// Nothing for the application: cover, or a repeated or unreadable message.
    Nothing,
}

/// Why a message is not sent.
#[derive(Debug, Error)]
pub enum SendError {
    #[error(transparent)]
    NoRoute(#[from] NoRoute),
    #[error(transparent)]
    ReplyTooLong(#[from] ReplyTooLong),
    /// Too much waits for its turn, or for acknowledgements.
    #[error("{0} bytes of messages wait to be sent or acknowledged already")]
    Full(usize),
    /// The answer of a client in another process.
    #[error("{0}")]
    Refused(String),
    /// A key in the topology or the address.
    #[error("a key of the route or the recipient is a point of low order")]
    WeakKey,
}

/// State of a client.
pub struct Core {
    keys: ClientKeys,
    settings: Settings,
    network: Network,
    messages: HashMap<MessageId, Outgoing>,
    /// Fragments and replies in the order of their turns.
    queue: VecDeque<Turn>,
    waiting: Waiting,
    unsent_bytes: usize,
    next_id: MessageId,
    replies: HashMap<ReplyDigest, ReplyKey>,
    reply_order: VecDeque<ReplyDigest>,
    reassembly: Reassembly,
}

struct Outgoing {
    recipient: ClientAddress,
    fragments: Fragments,
    bytes: usize,
    unacknowledged: usize,
}

/// What is sent next.
enum Turn {
    /// A fragment of a message, and how often it was sent.
    Fragment {
        message: MessageId,
        index: usize,
        attempts: u32,
    },
    Reply {
        block: Box<ReplyBlock>,
        data: Vec<u8>,
    },
}

impl Core {
    #[must_use]
    pub fn new(keys: ClientKeys, settings: Settings) -> Self {
        Self {
            keys,
            settings,
            network: Network::default(),
            messages: HashMap::new(),
            queue: VecDeque::new(),
            waiting: Waiting::default(),
            unsent_bytes: 0,
            next_id: 0,
            replies: HashMap::new(),
            reply_order: VecDeque::new(),
            reassembly: Reassembly::new(settings.reassembly),
        }
    }

    /// The address of this client.
    #[must_use]
    pub fn address(&self) -> &ClientAddress {
        &self.keys.address
    }

    /// Replaces the nodes that packets take.
    pub fn set_network(&mut self, network: Network) {
        self.network = network;
    }

    /// Queues a message; it is sent fragment by fragment in [`real_packet`](Self::real_packet).
    ///
    /// # Errors
    /// When there is no route to the recipient, or too much waits.
    pub fn send(
        &mut self,
        recipient: ClientAddress,
        data: Vec<u8>,
        with_reply_block: bool,
        rng: &mut impl CryptoRng,
    ) -> Result<MessageId, SendError> {
        let bytes = data.len();
        if self.unsent_bytes + bytes > self.settings.unsent_bytes_max {
            return Err(SendError::Full(self.unsent_bytes));
        }
        self.network.route(recipient.gateway(), rng)?;
        let reply_block = if with_reply_block { Some(self.reply_block(rng)?) } else { None };
        let fragments = Fragments::of(Content { data, reply_block }, rng);
        let (id, count) = (self.next_id, fragments.count());
        self.next_id += 1;
        self.unsent_bytes += bytes;
        self.queue.extend((0..count).map(|index| Turn::Fragment { message: id, index, attempts: 0 }));
        self.messages.insert(id, Outgoing { recipient, fragments, bytes, unacknowledged: count });
        Ok(id)
    }

    /// Queues a reply. It is sent once and not acknowledged.
    ///
    /// # Errors
    /// When the reply is too long, or too much waits.
    pub fn reply(&mut self, block: ReplyBlock, data: Vec<u8>) -> Result<(), SendError> {
        if data.len() > nym_mixnode_message::reply::REPLY_LEN_MAX {
            return Err(ReplyTooLong(data.len()).into());
        }
        if self.unsent_bytes + data.len() > self.settings.unsent_bytes_max {
            return Err(SendError::Full(self.unsent_bytes));
        }
        self.unsent_bytes += data.len();
        self.queue.push_back(Turn::Reply { block: Box::new(block), data });
        Ok(())
    }

    /// Forgets a message; what is sent of it stays sent.
    pub fn cancel(&mut self, id: MessageId) {
        if let Some(message) = self.messages.remove(&id) {
            self.unsent_bytes -= message.bytes;
        }
    }

    /// The next packet of a message, if one waits and has a route. What it carries is awaited from `now` on.
    pub fn real_packet(&mut self, now: Instant, rng: &mut impl CryptoRng) -> Option<ForwardRequest> {
        while let Some(turn) = self.queue.pop_front() {
            let (message, index, attempts) = match turn {
                Turn::Fragment { message, index, attempts } => (message, index, attempts),
                Turn::Reply { block, data } => {
                    self.unsent_bytes -= data.len();
                    match self.builder().reply(*block, &data, rng) {
                        Ok(packet) => return Some(packet),
                        Err(_) => continue,
                    }
                }
            };
            // It may be acknowledged by the packet before, or cancelled.
            let Some(outgoing) = self.messages.get(&message) else { continue };
            let Some(fragment) = outgoing.fragments.get(index) else { continue };
            let acknowledged = Acknowledged::fragment(fragment.header());
            if attempts > 0 && !self.waiting.contains(acknowledged) {
                continue;
            }
            let Ok((packet, delays)) = self.builder().fragment(&fragment, &outgoing.recipient, rng) else {
                // Without a route, only the wait begins again.
                self.waiting.add(acknowledged, message, index, attempts, now + self.settings.ack_wait_addition);
                continue;
            };
            let until = now + self.wait(delays, attempts);
            self.waiting.add(acknowledged, message, index, attempts + 1, until);
            return Some(packet);
        }
        None
    }

    /// A packet to this client itself, which looks like every other packet.
    pub fn cover_packet(&self, rng: &mut impl CryptoRng) -> Option<ForwardRequest> {
        self.builder().cover(rng).ok()
    }

    /// Fragments whose acknowledgements have not come by `now` are queued again.
    pub fn expire(&mut self, now: Instant) {
        for (message, index, attempts) in self.waiting.expire(now) {
            if self.messages.contains_key(&message) {
                self.queue.push_back(Turn::Fragment { message, index, attempts });
            }
        }
        self.reassembly.forget_idle(now);
    }

    /// When [`expire`](Self::expire) has something to do.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        self.waiting.next_deadline()
    }

    /// Packets that wait for their turn.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.queue.len()
    }

    /// Whether a reply waits for its turn.
    #[must_use]
    pub fn has_replies(&self) -> bool {
        self.queue.iter().any(|turn| matches!(turn, Turn::Reply { .. }))
    }

    /// Reads what the gateway has pushed.
    pub fn received(&mut self, pushed: &[u8], now: Instant) -> Event {
        match Pushed::decode(pushed) {
            Ok(Pushed::Ack(ack)) => self.keys.ack.open(&ack).map_or(Event::Nothing, |ack| self.acknowledged(ack)),
            Ok(Pushed::Message(message)) => {
                if let Some(key) = self.replies.get(message.digest()).cloned() {
                    // The key stays until it is old: a copy of the reply must not be taken for a fragment.
                    return message.open_reply(&key).map_or(Event::Nothing, Event::ReceivedReply);
                }
                match message.open(self.keys.encryption.private()) {
                    Ok(Opened::Fragment(fragment)) => match self.reassembly.insert(&fragment, now) {
                        Ok(Progress::Complete(content)) => Event::Received(content),
                        Ok(Progress::Incomplete) => Event::Part(fragment),
                        Ok(Progress::Repeated) | Err(_) => Event::Nothing,
                    },
                    Ok(Opened::Cover) | Err(_) => Event::Nothing,
                }
            }
            Err(_) => Event::Nothing,
        }
    }

    /// Fragments of messages that are not complete.
    #[must_use]
    pub fn incomplete(&self) -> Vec<Fragment> {
        self.reassembly.fragments().cloned().collect()
    }

    /// Number of these fragments.
    #[must_use]
    pub fn incomplete_count(&self) -> u64 {
        (self.reassembly.bytes() / FRAGMENT_LEN) as u64
    }

    /// Takes what [`incomplete`](Self::incomplete) was in an earlier process. Returns messages that are complete.
    pub fn restore(&mut self, fragments: &[Fragment], now: Instant) -> Vec<Content> {
        let complete = |fragment| match self.reassembly.insert(fragment, now) {
            Ok(Progress::Complete(content)) => Some(content),
            _ => None,
        };
        fragments.iter().filter_map(complete).collect()
    }

    fn acknowledged(&mut self, acknowledged: Acknowledged) -> Event {
        let Some(id) = self.waiting.remove(acknowledged) else { return Event::Nothing };
        let Some(message) = self.messages.get_mut(&id) else { return Event::Nothing };
        message.unacknowledged -= 1;
        if message.unacknowledged > 0 {
            return Event::Nothing;
        }
        self.cancel(id);
        Event::Acknowledged(id)
    }

    fn builder(&self) -> Builder<'_> {
        Builder { keys: &self.keys, network: &self.network, settings: &self.settings }
    }

    fn reply_block(&mut self, rng: &mut impl CryptoRng) -> Result<ReplyBlock, SendError> {
        let block = self.builder().reply_block(rng)?;
        let digest = block.key().digest();
        self.replies.insert(digest, block.key().clone());
        self.reply_order.push_back(digest);
        if self.reply_order.len() > REPLY_KEYS_MAX
            && let Some(oldest) = self.reply_order.pop_front()
        {
            self.replies.remove(&oldest);
        }
        Ok(block)
    }

    fn wait(&self, delays: Duration, attempts: u32) -> Duration {
        let first = delays.mul_f64(self.settings.ack_wait_multiplier) + self.settings.ack_wait_addition;
        let growth = ACK_WAIT_GROWTH.powf(f64::from(attempts.min(ATTEMPTS_OF_GROWTH)));
        first.mul_f64(growth).min(self.settings.ack_wait_max)
    }
}

#[cfg(test)]
mod tests;
