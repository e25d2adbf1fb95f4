//! The state of the connection to a next hop: dial, back-off, stale packets, progress. No socket and no clock.
//!
//! The owner of the socket asks for the [next step](Outgoing::next), takes it, and reports the result.

mod counters;
mod dials;
mod queue;

use std::cmp::Reverse;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nym_mixnode_base::backoff::Backoff;

pub use counters::Counters;
pub use dials::{DialRate, DialRates};
use queue::Queue;

use crate::{DropCounters, DropReason, Scheduled};

/// Time without packets after which a next hop counts as idle.
const IDLE_MIN: Duration = Duration::from_secs(1);

/// Limits of the outgoing connections.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// How long a connection attempt may take.
    pub connect_timeout: Duration,
    /// The first pause after a failed attempt; doubles up to `backoff_max`, each with jitter.
    pub backoff_initial: Duration,
    /// The longest pause between attempts.
    pub backoff_max: Duration,
    /// How long after its due time a packet waits for its next hop.
    pub stale_after: Duration,
    /// Packets queued for one next hop.
    pub queue_packets_max: usize,
    /// Byte budget of all packets in the node, of which each queue has a share.
    pub budget_bytes: usize,
    /// Maximum number of next hops with a queue, per worker.
    pub next_hops_max: usize,
    /// Idle time after which a connection is closed.
    pub idle_timeout: Duration,
    /// Limits on connection attempts, over all next hops.
    pub dial_rates: DialRates,
}

/// What the owner of the socket does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Connect until then, and report [`Outgoing::connected`] or [`Outgoing::failed`].
    Dial { until: Instant },
    /// Write the [frames](Outgoing::frames) once the socket is writable, and report [`Outgoing::wrote`] or
    /// [`Outgoing::failed`]; or [`Outgoing::blocked`] if it is not writable by then.
    Write { until: Instant },
    /// Wait until then, or for a change: a pushed packet, the end of the drain, or a connection that
    /// [is over](Outgoing::disconnected).
    Wait { until: Instant },
    /// Close the connection, if there is one. The queue is empty and accepts no more packets.
    End,
}

/// Why a packet was not queued.
#[derive(Debug)]
pub enum Rejected {
    /// The next hop accepts packets more slowly than they arrive.
    Full,
    /// The connection ends. The packet is for a new one.
    Closed(Scheduled),
}

/// How readily a next hop gives up its place when places are short, most readily first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// So many attempts in a row failed.
    Failing(Reverse<u32>),
    /// Has had no packets since then.
    Idle(Instant),
}

/// State of the connection to a next hop, with its queue of due packets, oldest first.
#[derive(Debug)]
pub struct Outgoing {
    queue: Queue,
    link: Link,
    backoff: Backoff,
    /// Failures since the last success.
    failures: u32,
    /// Since when the queue is empty.
    idle_since: Option<Instant>,
    is_closed: bool,
    trouble: Option<io::Error>,
    settings: Arc<Settings>,
    counters: Arc<Counters>,
    drops: Arc<DropCounters>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Link {
    Down,
    /// The last attempt failed; the next one begins then.
    Paused {
        until: Instant,
    },
    Up {
        /// Bytes of the first frame that are already written.
        offset: usize,
        /// Since when the first frame waits for the socket.
        waiting_since: Option<Instant>,
    },
}

impl Outgoing {
    /// A next hop without packets and without a connection.
    #[must_use]
    pub fn new(settings: Arc<Settings>, counters: Arc<Counters>, drops: Arc<DropCounters>) -> Self {
        Self {
            queue: Queue::new(&settings, Arc::clone(&counters)),
            link: Link::Down,
            backoff: Backoff::new(settings.backoff_initial, settings.backoff_max),
            failures: 0,
            idle_since: None,
            is_closed: false,
            trouble: None,
            settings,
            counters,
            drops,
        }
    }

    /// Queues a packet that is due.
    ///
    /// # Errors
    /// When the queue is full or closed.
    pub fn push(&mut self, scheduled: Scheduled) -> Result<(), Rejected> {
        if self.is_closed {
            return Err(Rejected::Closed(scheduled));
        }
        if self.queue.is_full() {
            return Err(Rejected::Full);
        }
        self.queue.push(scheduled);
        Ok(())
    }

    /// Whether the queue rejects packets.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.queue.is_full()
    }

    /// What to do next. Drops packets that have become stale, except a first packet that is partly written: slow next
    /// hops use no more memory than unreachable ones.
    pub fn next(&mut self, now: Instant) -> Step {
        self.drop_stale(now);
        if let Link::Paused { until } = self.link {
            if now < until && !(self.is_empty() && self.is_closed) {
                return Step::Wait { until: self.until_stale(until) };
            }
            self.link = Link::Down;
        }
        if self.is_empty() {
            return self.rest(now);
        }
        self.idle_since = None;
        let Link::Up { waiting_since, .. } = &mut self.link else { return self.dial(now) };
        let give_up_at = *waiting_since.get_or_insert(now) + self.settings.stale_after;
        Step::Write { until: self.until_stale(give_up_at) }
    }

    /// Dials, or waits for its turn while the node has made as many attempts as it may.
    fn dial(&mut self, now: Instant) -> Step {
        if self.counters.dials.permit(self.settings.dial_rates, self.failures > 0, now) {
            return Step::Dial { until: now + self.settings.connect_timeout };
        }
        // Jitter spreads the attempts of all that wait.
        let initial = self.settings.backoff_initial;
        let pause = if self.failures > 0 { self.backoff.wait() } else { Backoff::new(initial, initial).wait() };
        self.link = Link::Paused { until: now + pause };
        Step::Wait { until: self.until_stale(now + pause) }
    }

    /// Waits for packets, and ends after the idle timeout, or after the longest back-off if the last attempt failed.
    fn rest(&mut self, now: Instant) -> Step {
        let Settings { idle_timeout, backoff_max, .. } = *self.settings;
        let rest = if self.failures > 0 { backoff_max.min(idle_timeout) } else { idle_timeout };
        let until = *self.idle_since.get_or_insert(now) + rest;
        if now < until && !self.is_closed {
            return Step::Wait { until };
        }
        self.is_closed = true;
        self.disconnected();
        Step::End
    }

    /// Reports a new connection.
    pub fn connected(&mut self) {
        self.counters.opened();
        self.link = Link::Up { offset: 0, waiting_since: None };
    }

    /// Reports that the connection is over although nothing failed: its peer has closed it between two packets, or has
    /// sent data, which mixes never do.
    pub fn disconnected(&mut self) {
        if matches!(self.link, Link::Up { .. }) {
            self.counters.closed();
        }
        self.link = Link::Down;
    }

    /// Reports that an attempt to connect or to write failed. The first frame will be sent again from its beginning.
    pub fn failed(&mut self, error: io::Error, now: Instant) {
        self.disconnected();
        self.counters.failed();
        self.failures = self.failures.saturating_add(1);
        self.link = Link::Paused { until: now + self.backoff.wait() };
        self.trouble = Some(error);
    }

    /// The frames to write, oldest first, without the part of the first one that is already written.
    pub fn frames(&self) -> impl Iterator<Item = &[u8]> {
        let mut written = self.offset();
        self.queue.iter().map(move |scheduled| &scheduled.packet.frame()[std::mem::take(&mut written)..])
    }

    /// Reports that the kernel has accepted so many bytes of the frames.
    pub fn wrote(&mut self, bytes: usize, now: Instant) {
        let Link::Up { mut offset, mut waiting_since } = self.link else { return };
        if offset == 0 {
            waiting_since = None;
        }
        offset += bytes;
        while let Some(first) = self.queue.pop_if(false, |first| first.packet.frame().len() <= offset) {
            offset -= first.packet.frame().len();
            waiting_since = None;
            self.counters.sent(&first, now);
        }
        self.link = Link::Up { offset, waiting_since };
        self.backoff.reset();
        self.failures = 0;
        self.trouble = None;
    }

    /// Reports that the socket was not writable for as long as the last step allowed.
    ///
    /// # Errors
    /// When the next hop has needed too long for one packet: the connection [failed](Self::failed).
    pub fn blocked(&self, now: Instant) -> io::Result<()> {
        match self.link {
            Link::Up { waiting_since: Some(since), .. } if now >= since + self.settings.stale_after => {
                Err(io::Error::new(io::ErrorKind::TimedOut, "the peer does not read"))
            }
            _ => Ok(()),
        }
    }

    /// Accepts no more packets: the connection ends when the queue is empty.
    pub fn close(&mut self) {
        self.is_closed = true;
    }

    /// Whether the queue accepts no more packets.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// Ends at once, and drops the packets in the queue.
    pub fn abort(&mut self) {
        self.end(DropReason::Shutdown);
    }

    /// How readily it gives up its place; `None` for one that works: it has or had packets, and has not failed.
    #[must_use]
    pub fn standing(&self, now: Instant) -> Option<Standing> {
        match self.link {
            Link::Paused { .. } if self.failures > 0 => Some(Standing::Failing(Reverse(self.failures))),
            Link::Paused { .. } | Link::Down | Link::Up { .. } => {
                let is_idle = |since: &Instant| self.is_empty() && *since + IDLE_MIN <= now;
                self.idle_since.filter(is_idle).map(Standing::Idle)
            }
        }
    }

    /// Gives up its place: ends at once, and drops the packets in the queue, if any, as unreachable.
    pub fn evict(&mut self) {
        self.end(DropReason::NextHopUnreachable);
    }

    fn end(&mut self, reason: DropReason) {
        self.is_closed = true;
        self.disconnected();
        while self.queue.pop_if(false, |_| true).is_some() {
            self.drops.count(reason);
        }
    }

    /// Why the last attempt to connect or to write failed; `None` after a success.
    #[must_use]
    pub fn trouble(&self) -> Option<&io::Error> {
        self.trouble.as_ref()
    }

    fn is_empty(&self) -> bool {
        self.queue.oldest(false).is_none()
    }

    fn offset(&self) -> usize {
        match self.link {
            Link::Up { offset, .. } => offset,
            Link::Down | Link::Paused { .. } => 0,
        }
    }

    fn drop_stale(&mut self, now: Instant) {
        let (has_begun, stale_after) = (self.offset() > 0, self.settings.stale_after);
        while self.queue.pop_if(has_begun, |oldest| oldest.due + stale_after <= now).is_some() {
            self.drops.count(DropReason::NextHopUnreachable);
        }
    }

    /// The given time, or an earlier one at which a packet becomes stale.
    fn until_stale(&self, until: Instant) -> Instant {
        let oldest = self.queue.oldest(self.offset() > 0);
        oldest.map_or(until, |oldest| until.min(oldest.due + self.settings.stale_after))
    }
}

#[cfg(test)]
mod tests;
