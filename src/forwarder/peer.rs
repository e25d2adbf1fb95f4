//! One next hop: its queue, its connection, and the task that moves packets from the one to the other.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout};

use super::{Counters, Settings};
use crate::backoff::Backoff;
use crate::packet::{DropCounters, DropReason, Scheduled};
use crate::shutdown::{Phase, PhaseSignal};

/// Frames given to the kernel in one call.
const WRITE_FRAMES_MAX: usize = 64;

/// Packets that are due for one next hop, oldest first. Shared by the forwarder and the peer's task on one thread.
#[derive(Debug)]
pub(super) struct PeerQueue {
    packets: RefCell<VecDeque<Scheduled>>,
    packets_max: usize,
    changed: Notify,
    closed: Cell<bool>,
    counters: Arc<Counters>,
}

impl PeerQueue {
    pub(super) fn new(packets_max: usize, counters: Arc<Counters>) -> Self {
        Self { packets: RefCell::default(), packets_max, changed: Notify::new(), closed: Cell::new(false), counters }
    }

    pub(super) fn push(&self, scheduled: Scheduled) -> Result<(), DropReason> {
        let mut packets = self.packets.borrow_mut();
        if packets.len() >= self.packets_max {
            return Err(DropReason::NextHopQueueFull);
        }
        packets.push_back(scheduled);
        self.counters.queued.fetch_add(1, Ordering::Relaxed);
        self.changed.notify_one();
        Ok(())
    }

    /// No more packets come; the peer's task ends when the queue is empty.
    pub(super) fn close(&self) {
        self.closed.set(true);
        self.changed.notify_one();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.get()
    }

    fn is_empty(&self) -> bool {
        self.packets.borrow().is_empty()
    }
}

/// The task's side of a next hop.
pub(super) struct Peer {
    next_hop: SocketAddr,
    queue: Rc<PeerQueue>,
    settings: Rc<Settings>,
    counters: Arc<Counters>,
    drops: Arc<DropCounters>,
    backoff: Backoff,
}

/// An open connection, counted while it lives.
struct Connection {
    stream: TcpStream,
    /// Bytes of the queue's first frame that are written already.
    offset: usize,
    counters: Arc<Counters>,
}

impl Peer {
    pub(super) fn new(
        next_hop: SocketAddr,
        queue: Rc<PeerQueue>,
        settings: Rc<Settings>,
        counters: Arc<Counters>,
        drops: Arc<DropCounters>,
    ) -> Self {
        let backoff = Backoff::new(settings.backoff_initial, settings.backoff_max);
        Self { next_hop, queue, settings, counters, drops, backoff }
    }

    /// Serves the queue until it is closed and empty, has been idle for long, or the node aborts.
    pub(super) async fn run(mut self, mut phase: PhaseSignal) {
        tokio::select! {
            biased;
            () = phase.reached(Phase::Aborting) => {}
            () = self.serve() => {}
        }
        self.queue.closed.set(true);
        for _ in self.queue.packets.borrow_mut().drain(..) {
            self.counters.queued.fetch_sub(1, Ordering::Relaxed);
            self.drops.count(DropReason::Shutdown);
        }
    }

    async fn serve(&mut self) {
        let mut connection = None;
        loop {
            if self.queue.is_empty() {
                let idle_since = Instant::now();
                if self.queue.is_closed() || !self.wait_for_packets(&mut connection, idle_since).await {
                    break;
                }
            } else if let Some(open) = &mut connection {
                if self.write_some(open).await.is_ok() {
                    self.backoff.reset();
                } else {
                    connection = None;
                    self.pause_after_failure().await;
                }
            } else {
                match self.connect().await {
                    Ok(opened) => connection = Some(opened),
                    Err(_) => self.pause_after_failure().await,
                }
            }
        }
        if let Some(mut connection) = connection {
            // The last packets are written; an error here can lose nothing of ours any more.
            drop(connection.stream.shutdown().await);
        }
    }

    /// `false` when the peer has been idle for so long that it gives up its place.
    async fn wait_for_packets(&self, connection: &mut Option<Connection>, idle_since: Instant) -> bool {
        loop {
            let idle_until = idle_since + self.settings.idle_timeout;
            tokio::select! {
                biased;
                () = self.queue.changed.notified() => return true,
                () = closed_by_peer(connection) => *connection = None,
                () = sleep_until(idle_until) => return false,
            }
        }
    }

    async fn connect(&self) -> io::Result<Connection> {
        let stream = timeout(self.settings.connect_timeout, TcpStream::connect(self.next_hop)).await??;
        // Frames go out when they are due, not when a segment is full.
        stream.set_nodelay(true)?;
        self.counters.connections.fetch_add(1, Ordering::Relaxed);
        Ok(Connection { stream, offset: 0, counters: Arc::clone(&self.counters) })
    }

    /// Waits before the next attempt, and meanwhile drops packets that have become stale.
    async fn pause_after_failure(&mut self) {
        self.counters.connect_failures.fetch_add(1, Ordering::Relaxed);
        let retry_at = Instant::now() + self.backoff.wait();
        loop {
            self.drop_stale();
            let now = Instant::now();
            if now >= retry_at || (self.queue.is_empty() && self.queue.is_closed()) {
                return;
            }
            let stale_at =
                self.queue.packets.borrow().front().map_or(retry_at, |first| first.due + self.settings.stale_after);
            tokio::select! {
                () = sleep_until(retry_at.min(stale_at)) => {}
                () = self.queue.changed.notified() => {}
            }
        }
    }

    fn drop_stale(&self) {
        let now = Instant::now();
        let mut packets = self.queue.packets.borrow_mut();
        while packets.front().is_some_and(|first| first.due + self.settings.stale_after <= now) {
            packets.pop_front();
            self.counters.queued.fetch_sub(1, Ordering::Relaxed);
            self.drops.count(DropReason::NextHopUnreachable);
        }
    }

    /// Writes what the kernel takes of the first frames, and lets go of those that are out.
    async fn write_some(&self, connection: &mut Connection) -> io::Result<()> {
        timeout(self.settings.stale_after, connection.stream.writable()).await??;
        if connection.is_closed_by_peer() {
            // The kernel would still take a first packet, and lose it.
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        let mut packets = self.queue.packets.borrow_mut();
        let mut slices = [IoSlice::new(&[]); WRITE_FRAMES_MAX];
        let mut count = 0;
        for (slice, scheduled) in slices.iter_mut().zip(packets.iter()) {
            let skip = if count == 0 { connection.offset } else { 0 };
            *slice = IoSlice::new(&scheduled.packet.frame()[skip..]);
            count += 1;
        }
        let written = match connection.stream.try_write_vectored(&slices[..count]) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => written,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        };
        connection.offset += written;
        let now = Instant::now();
        while let Some(first) = packets.front() {
            let len = first.packet.frame().len();
            if connection.offset < len {
                break;
            }
            connection.offset -= len;
            self.counters.sent(first, now);
            self.counters.queued.fetch_sub(1, Ordering::Relaxed);
            packets.pop_front();
        }
        Ok(())
    }
}

impl Connection {
    /// Whether the end of the stream, or an error, has arrived already. Asks the kernel only when something has.
    fn is_closed_by_peer(&self) -> bool {
        let mut answer = [0; 64];
        loop {
            match self.stream.try_read(&mut answer) {
                Ok(1..) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                Ok(0) | Err(_) => return true,
            }
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.counters.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Completes when the other side has closed the connection. A mix never answers, so what it sends is thrown away.
async fn closed_by_peer(connection: &mut Option<Connection>) {
    let Some(connection) = connection else { return std::future::pending().await };
    let mut answer = [0; 64];
    while matches!(connection.stream.read(&mut answer).await, Ok(1..)) {}
}
