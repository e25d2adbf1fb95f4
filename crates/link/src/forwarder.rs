//! Sending packets to next hops: each next hop has its own bounded queue and connection.

mod connection;
mod line;

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use nym_mixnode_mix::outgoing::{Counters, Rejected, Settings};
use nym_mixnode_mix::{DropCounters, DropReason, Outgoing, Scheduled};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::clock;
use crate::shutdown::PhaseSignal;
use crate::tasks::join_all;
use connection::Connection;
pub use line::Line;
use line::Pushed;

/// Number of next hops below which no search for ended ones is worth while.
const SEARCH_MIN: usize = 64;
/// Shortest time from a search in vain to the next one.
const SEARCH_EVERY: Duration = Duration::from_millis(100);
/// One of so many places is freed at a time when all are taken.
const EVICTED_SHARE: usize = 32;

/// How a forwarder and the tasks of its connections share state: on one thread without a lock, or on several.
pub trait Shared {
    fn new(line: Line) -> Self;
    fn with<R>(&self, f: impl FnOnce(&mut Line) -> R) -> R;
}

impl Shared for RefCell<Line> {
    fn new(line: Line) -> Self {
        Self::new(line)
    }

    fn with<R>(&self, f: impl FnOnce(&mut Line) -> R) -> R {
        f(&mut self.borrow_mut())
    }
}

impl Shared for Mutex<Line> {
    fn new(line: Line) -> Self {
        Self::new(line)
    }

    fn with<R>(&self, f: impl FnOnce(&mut Line) -> R) -> R {
        f(&mut self.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// State of a next hop, and the wake-up of its connection's task.
#[derive(Debug)]
struct NextHop<C> {
    line: C,
    changed: Notify,
}

impl<C: Shared> NextHop<C> {
    fn close(&self) {
        self.line.with(|line| line.outgoing.close());
        self.changed.notify_one();
    }

    fn evict(&self) {
        self.line.with(|line| line.outgoing.evict());
        self.changed.notify_one();
    }

    /// Writes what is queued without waiting, or wakes the task for what has to wait.
    fn write(&self, now: Instant) {
        if !self.line.with(|line| line.write_queued(now)) {
            self.changed.notify_one();
        }
    }
}

/// Sends packets to their next hops, with one task and at most one connection for each. Dropping it ends the tasks.
///
/// [`Forwarder::local`] belongs to one worker and its thread; [`Forwarder::threaded`] runs on any runtime.
#[derive(Debug)]
pub struct Forwarder<C = RefCell<Line>> {
    next_hops: HashMap<SocketAddr, Arc<NextHop<C>>>,
    /// Next hops with packets that were queued since the last write, empty between two calls.
    touched: Vec<Arc<NextHop<C>>>,
    tasks: JoinSet<()>,
    spawn: fn(&mut JoinSet<()>, Connection<C>, PhaseSignal),
    /// Number of next hops at which those that have ended are looked for.
    search_at: usize,
    /// The last search, if all places are still taken after it.
    searched_in_vain_at: Option<Instant>,
    settings: Arc<Settings>,
    counters: Arc<Counters>,
    drops: Arc<DropCounters>,
    phase: PhaseSignal,
}

impl Forwarder<RefCell<Line>> {
    /// Creates a forwarder whose tasks run on the current `LocalSet`.
    #[must_use]
    pub fn local(settings: Settings, counters: Arc<Counters>, drops: Arc<DropCounters>, phase: PhaseSignal) -> Self {
        let spawn = |tasks: &mut JoinSet<()>, connection: Connection<_>, phase| {
            tasks.spawn_local(connection.run(phase));
        };
        Self::new(settings, counters, drops, phase, spawn)
    }
}

impl Forwarder<Mutex<Line>> {
    /// Creates a forwarder whose tasks run on any thread of the current runtime.
    #[must_use]
    pub fn threaded(settings: Settings, phase: PhaseSignal) -> Self {
        let spawn = |tasks: &mut JoinSet<()>, connection: Connection<_>, phase| {
            tasks.spawn(connection.run(phase));
        };
        Self::new(settings, Arc::default(), Arc::default(), phase, spawn)
    }
}

impl<C: Shared> Forwarder<C> {
    fn new(
        settings: Settings,
        counters: Arc<Counters>,
        drops: Arc<DropCounters>,
        phase: PhaseSignal,
        spawn: fn(&mut JoinSet<()>, Connection<C>, PhaseSignal),
    ) -> Self {
        let settings = Arc::new(settings);
        Self {
            next_hops: HashMap::new(),
            touched: Vec::new(),
            tasks: JoinSet::new(),
            spawn,
            search_at: 0,
            searched_in_vain_at: None,
            settings,
            counters,
            drops,
            phase,
        }
    }

    /// Queues a packet that is due, as [`Forwarder::send_all`].
    pub fn send(&mut self, scheduled: Scheduled) {
        self.send_all(&mut std::iter::once(scheduled));
    }

    /// Queues packets that are due, then writes them, with one system call for each next hop. Never blocks: drops a
    /// packet if its queue is full or no further queue is allowed. The tasks of the next hops write what has to wait.
    pub fn send_all(&mut self, due: &mut dyn Iterator<Item = Scheduled>) {
        for scheduled in due {
            if let Err(reason) = self.queue(scheduled) {
                self.drops.count(reason);
            }
        }
        let now = clock::now();
        self.touched.drain(..).for_each(|next_hop| next_hop.write(now));
    }

    /// Whether the queue of this next hop accepts another packet.
    #[must_use]
    pub fn has_room(&self, next_hop: SocketAddr) -> bool {
        self.next_hops.get(&next_hop).is_none_or(|next_hop| next_hop.line.with(|line| !line.outgoing.is_full()))
    }

    /// Error of the last attempt to send to this next hop, if it failed.
    #[must_use]
    pub fn trouble(&self, next_hop: SocketAddr) -> Option<String> {
        self.next_hops.get(&next_hop)?.line.with(|line| line.outgoing.trouble().map(ToString::to_string))
    }

    /// Waits until every queue is empty, or until the node aborts; then closes all connections.
    pub async fn drain(self) {
        for next_hop in self.next_hops.values() {
            next_hop.close();
        }
        join_all(self.tasks).await;
    }

    fn queue(&mut self, mut scheduled: Scheduled) -> Result<(), DropReason> {
        let address = scheduled.next_hop;
        if let Some(next_hop) = self.next_hops.get(&address) {
            match next_hop.line.with(|line| line.push(scheduled)) {
                Ok(Pushed::First) => {
                    self.touched.push(Arc::clone(next_hop));
                    return Ok(());
                }
                Ok(Pushed::Further) => return Ok(()),
                Err(Rejected::Full) => return Err(DropReason::NextHopQueueFull),
                Err(Rejected::Closed(returned)) => scheduled = returned,
            }
        }
        let next_hop = self.open(address)?;
        next_hop.line.with(|line| line.push(scheduled)).map_err(|_| DropReason::NextHopQueueFull)?;
        self.touched.push(next_hop);
        Ok(())
    }

    fn open(&mut self, address: SocketAddr) -> Result<Arc<NextHop<C>>, DropReason> {
        if !self.has_place(clock::now()) {
            return Err(DropReason::TooManyNextHops);
        }
        let outgoing = Outgoing::new(Arc::clone(&self.settings), Arc::clone(&self.counters), Arc::clone(&self.drops));
        let next_hop = Arc::new(NextHop { line: C::new(Line::new(outgoing)), changed: Notify::new() });
        self.next_hops.insert(address, Arc::clone(&next_hop));
        let connection = Connection { address, next_hop: Arc::clone(&next_hop) };
        (self.spawn)(&mut self.tasks, connection, self.phase.clone());
        Ok(next_hop)
    }

    /// Whether another next hop has a place, if need be that of one that fails or is idle.
    ///
    /// Looks through all next hops only when their number has doubled, when all places are taken, and not again soon
    /// after a search without a result, so that a search costs each new next hop little.
    fn has_place(&mut self, now: Instant) -> bool {
        while self.tasks.try_join_next().is_some() {}
        if self.next_hops.len() < self.search_at {
            return true;
        }
        let places = self.settings.next_hops_max;
        if self.searched_in_vain_at.is_none_or(|at| now >= at + SEARCH_EVERY) {
            self.next_hops.retain(|_, next_hop| !next_hop.line.with(|line| line.outgoing.is_closed()));
            if self.next_hops.len() >= places {
                self.evict(now);
                self.counters.count_next_hops_short();
            }
            self.searched_in_vain_at = (self.next_hops.len() >= places).then_some(now);
            self.search_at = (2 * self.next_hops.len()).max(SEARCH_MIN).min(places);
        }
        self.next_hops.len() < places
    }

    /// Ends some of the next hops that fail or are idle, several at a time, because it looks at all of them.
    fn evict(&mut self, now: Instant) {
        let standing = |(address, next_hop): (&SocketAddr, &Arc<NextHop<C>>)| {
            let standing = next_hop.line.with(|line| line.outgoing.standing(now))?;
            Some((standing, *address))
        };
        let mut candidates: Vec<_> = self.next_hops.iter().filter_map(standing).collect();
        candidates.sort_unstable();
        for (_, address) in candidates.iter().take((self.settings.next_hops_max / EVICTED_SHARE).max(1)) {
            if let Some(next_hop) = self.next_hops.remove(address) {
                next_hop.evict();
            }
        }
    }
}

#[cfg(test)]
mod tests;
