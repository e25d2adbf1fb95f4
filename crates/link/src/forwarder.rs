//! Sending packets to next hops: each next hop has its own bounded queue and connection.

mod peer;
mod queue;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use nym_mixnode_mix::{DropCounters, DropReason, LAG_BOUNDS_MS, Scheduled};
use tokio::task::JoinSet;

use crate::shutdown::PhaseSignal;
use queue::PeerQueue;

/// Limits of the forwarder.
#[derive(Debug, Clone)]
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
}

/// Counters of the forwarders of all workers.
#[derive(Debug, Default)]
pub struct Counters {
    forwarded: AtomicU64,
    queued: AtomicUsize,
    queued_bytes: AtomicUsize,
    lag: [AtomicU64; LAG_BOUNDS_MS.len() + 1],
    connections: AtomicUsize,
    connect_failures: AtomicU64,
}

impl Counters {
    /// Packets that the kernel has accepted completely.
    #[must_use]
    pub fn forwarded(&self) -> u64 {
        self.forwarded.load(Ordering::Relaxed)
    }

    /// Packets in the queues of next hops.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.queued.load(Ordering::Relaxed)
    }

    /// Sent packets by lateness: one count per bound of [`LAG_BOUNDS_MS`], and one for all later packets.
    #[must_use]
    pub fn lag(&self) -> [u64; LAG_BOUNDS_MS.len() + 1] {
        std::array::from_fn(|bucket| self.lag[bucket].load(Ordering::Relaxed))
    }

    /// Counts a packet that the kernel accepted completely at `now`.
    pub fn sent(&self, scheduled: &Scheduled, now: Instant) {
        let late = now.saturating_duration_since(scheduled.due);
        let bucket = LAG_BOUNDS_MS.iter().position(|bound| late <= Duration::from_millis(*bound));
        self.lag[bucket.unwrap_or(LAG_BOUNDS_MS.len())].fetch_add(1, Ordering::Relaxed);
        self.forwarded.fetch_add(1, Ordering::Relaxed);
    }

    /// Open outgoing connections.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// Connection attempts that failed, and connections that broke.
    #[must_use]
    pub fn connect_failures(&self) -> u64 {
        self.connect_failures.load(Ordering::Relaxed)
    }
}

/// Sends the packets of the next hops that one worker owns. Runs on that worker's thread.
#[derive(Debug)]
pub struct Forwarder {
    peers: HashMap<SocketAddr, Rc<PeerQueue>>,
    tasks: JoinSet<()>,
    settings: Rc<Settings>,
    counters: Arc<Counters>,
    drops: Arc<DropCounters>,
    phase: PhaseSignal,
}

impl Forwarder {
    /// Creates a forwarder without next hops. Its tasks run on the current `LocalSet`.
    #[must_use]
    pub fn new(settings: Settings, counters: Arc<Counters>, drops: Arc<DropCounters>, phase: PhaseSignal) -> Self {
        Self { peers: HashMap::new(), tasks: JoinSet::new(), settings: Rc::new(settings), counters, drops, phase }
    }

    /// Queues a packet that is due. Never blocks: drops the packet if its queue is full or no further queue is allowed.
    pub fn send(&mut self, scheduled: Scheduled) {
        let next_hop = scheduled.next_hop;
        if let Err(reason) = self.queue(next_hop).and_then(|queue| queue.push(scheduled)) {
            self.drops.count(reason);
        }
    }

    /// Waits until every queue is empty, or until the node aborts; then closes all connections.
    pub async fn drain(mut self) {
        for queue in self.peers.values() {
            queue.close();
        }
        while let Some(result) = self.tasks.join_next().await {
            if let Err(error) = result
                && error.is_panic()
            {
                std::panic::resume_unwind(error.into_panic());
            }
        }
    }

    fn queue(&mut self, next_hop: SocketAddr) -> Result<&Rc<PeerQueue>, DropReason> {
        let is_open = self.peers.get(&next_hop).is_some_and(|queue| !queue.is_closed());
        if !is_open {
            self.open(next_hop)?;
        }
        self.peers.get(&next_hop).ok_or(DropReason::TooManyNextHops)
    }

    fn open(&mut self, next_hop: SocketAddr) -> Result<(), DropReason> {
        // Reap the tasks of idle peers, which have ended.
        while self.tasks.try_join_next().is_some() {}
        self.peers.retain(|_, queue| !queue.is_closed());
        if self.peers.len() >= self.settings.next_hops_max {
            return Err(DropReason::TooManyNextHops);
        }
        let queue = Rc::new(PeerQueue::new(&self.settings, Arc::clone(&self.counters)));
        self.peers.insert(next_hop, Rc::clone(&queue));
        let peer = peer::Peer::new(
            next_hop,
            queue,
            Rc::clone(&self.settings),
            Arc::clone(&self.counters),
            Arc::clone(&self.drops),
        );
        self.tasks.spawn_local(peer.run(self.phase.clone()));
        Ok(())
    }
}
