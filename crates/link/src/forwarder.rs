//! Getting packets to their next hops: one bounded queue and one connection for each, whatever happens to the others.

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

/// What bounds the forwarder.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How long a connection attempt may take.
    pub connect_timeout: Duration,
    /// The first pause after a failed attempt; doubles up to `backoff_max`, each with jitter.
    pub backoff_initial: Duration,
    /// The longest pause between attempts.
    pub backoff_max: Duration,
    /// How long past its due time a packet waits for its next hop.
    pub stale_after: Duration,
    /// Packets queued for one next hop.
    pub queue_packets_max: usize,
    /// What all packets in the node may take; the queues have shares of it.
    pub budget_bytes: usize,
    /// Next hops of one worker that have a queue at one time.
    pub next_hops_max: usize,
    /// A connection without packets is closed after this.
    pub idle_timeout: Duration,
}

/// What the forwarders of all workers count.
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
    /// Packets handed whole to the network.
    #[must_use]
    pub fn forwarded(&self) -> u64 {
        self.forwarded.load(Ordering::Relaxed)
    }

    /// Packets that wait for their next hops.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.queued.load(Ordering::Relaxed)
    }

    /// How many packets went out by each of [`LAG_BOUNDS_MS`] after their time, and how many even later.
    #[must_use]
    pub fn lag(&self) -> [u64; LAG_BOUNDS_MS.len() + 1] {
        std::array::from_fn(|bucket| self.lag[bucket].load(Ordering::Relaxed))
    }

    /// Counts a packet that was handed whole to the network, `now`.
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

/// The next hops that one worker owns. Lives on that worker's thread.
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
    /// A forwarder without next hops. Its tasks run on the current `LocalSet`.
    #[must_use]
    pub fn new(settings: Settings, counters: Arc<Counters>, drops: Arc<DropCounters>, phase: PhaseSignal) -> Self {
        Self { peers: HashMap::new(), tasks: JoinSet::new(), settings: Rc::new(settings), counters, drops, phase }
    }

    /// Queues a packet that is due. Never waits: a full queue, or one too many, drops the packet with its reason.
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
        // Peers that went idle have ended their tasks: reap them where new ones come.
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
