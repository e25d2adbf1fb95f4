//! The task that writes the queue of one next hop to its connection.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use nym_mixnode_base::backoff::Backoff;
use nym_mixnode_mix::{DropCounters, DropReason, Scheduled};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::{sleep_until, timeout};

use super::queue::PeerQueue;
use super::{Counters, Settings};
use crate::clock;
use crate::shutdown::{Phase, PhaseSignal};

/// Maximum number of frames per write call.
const WRITE_FRAMES_MAX: usize = 64;

/// State of the task of a next hop.
pub(super) struct Peer {
    next_hop: SocketAddr,
    queue: Rc<PeerQueue>,
    settings: Rc<Settings>,
    counters: Arc<Counters>,
    drops: Arc<DropCounters>,
    backoff: Backoff,
}

/// An open connection, counted until it is dropped.
struct Connection {
    stream: TcpStream,
    /// Bytes of the queue's first frame that are already written.
    offset: usize,
    /// Since when the connection is not writable.
    waiting_since: Option<Instant>,
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

    /// Serves the queue until it is closed and empty, the idle timeout passes, or the node aborts.
    pub(super) async fn run(mut self, mut phase: PhaseSignal) {
        tokio::select! {
            biased;
            () = phase.reached(Phase::Aborting) => {}
            () = self.serve() => {}
        }
        self.queue.close();
        while self.queue.pop().is_some() {
            self.drops.count(DropReason::Shutdown);
        }
    }

    async fn serve(&mut self) {
        let mut connection = None;
        loop {
            if self.queue.is_empty() {
                let idle_since = clock::now();
                if self.queue.is_closed() || !self.wait_for_packets(&mut connection, idle_since).await {
                    break;
                }
            } else if let Some(open) = &mut connection {
                match self.write_some(open).await {
                    Ok(written) if written > 0 => self.backoff.reset(),
                    Ok(_) => {}
                    Err(_) => {
                        connection = None;
                        self.pause_after_failure().await;
                    }
                }
            } else {
                match self.connect().await {
                    Ok(opened) => connection = Some(opened),
                    Err(_) => self.pause_after_failure().await,
                }
            }
        }
        if let Some(mut connection) = connection {
            // All packets are written, so an error here loses none.
            drop(connection.stream.shutdown().await);
        }
    }

    /// Waits for a change of the queue; `false` after the idle timeout.
    async fn wait_for_packets(&self, connection: &mut Option<Connection>, idle_since: Instant) -> bool {
        loop {
            let idle_until = idle_since + self.settings.idle_timeout;
            tokio::select! {
                biased;
                () = self.queue.changed() => return true,
                () = is_over(connection.as_ref()) => *connection = None,
                () = sleep_until(idle_until.into()) => return false,
            }
        }
    }

    async fn connect(&self) -> io::Result<Connection> {
        let stream = timeout(self.settings.connect_timeout, TcpStream::connect(self.next_hop)).await??;
        // Nagle's algorithm would delay frames that are due.
        stream.set_nodelay(true)?;
        self.counters.connections.fetch_add(1, Ordering::Relaxed);
        Ok(Connection { stream, offset: 0, waiting_since: None, counters: Arc::clone(&self.counters) })
    }

    /// Waits before the next attempt, and drops packets that become stale in the meantime.
    async fn pause_after_failure(&mut self) {
        self.counters.connect_failures.fetch_add(1, Ordering::Relaxed);
        let retry_at = clock::now() + self.backoff.wait();
        loop {
            self.drop_stale(false);
            if clock::now() >= retry_at || (self.queue.is_empty() && self.queue.is_closed()) {
                return;
            }
            let stale_at = self.queue.stale_at(false, self.settings.stale_after).unwrap_or(retry_at);
            tokio::select! {
                () = sleep_until(retry_at.min(stale_at).into()) => {}
                () = self.queue.changed() => {}
            }
        }
    }

    /// Drops stale packets, except a first packet that is partly written.
    fn drop_stale(&self, has_begun: bool) {
        while self.queue.pop_stale(has_begun, self.settings.stale_after).is_some() {
            self.drops.count(DropReason::NextHopUnreachable);
        }
    }

    /// Waits until the connection is writable; `false` when the queue is empty.
    ///
    /// Drops packets that become stale in the meantime: slow next hops use no more memory than unreachable ones.
    async fn wait_until_writable(&self, connection: &mut Connection) -> io::Result<bool> {
        let stale_after = self.settings.stale_after;
        let has_begun = connection.offset > 0;
        let give_up_at = *connection.waiting_since.get_or_insert_with(clock::now) + stale_after;
        loop {
            self.drop_stale(has_begun);
            if self.queue.is_empty() {
                return Ok(false);
            }
            let stale_at = self.queue.stale_at(has_begun, stale_after).unwrap_or(give_up_at);
            tokio::select! {
                biased;
                writable = connection.stream.writable() => return writable.map(|()| true),
                () = sleep_until(give_up_at.into()) => return Err(io::ErrorKind::TimedOut.into()),
                () = sleep_until(stale_at.into()) => {}
            }
        }
    }

    /// Writes frames as far as the kernel accepts them, and removes the complete ones. Returns the bytes written.
    async fn write_some(&self, connection: &mut Connection) -> io::Result<usize> {
        if !self.wait_until_writable(connection).await? {
            return Ok(0);
        }
        if connection.is_over() {
            // The kernel would still accept one packet and lose it.
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        let written = match connection.write(&self.queue) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => written,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(0),
            Err(error) => return Err(error),
        };
        let now = clock::now();
        while let Some(sent) = connection.finish_first(&self.queue) {
            self.counters.sent(&sent, now);
        }
        Ok(written)
    }
}

impl Connection {
    fn write(&mut self, queue: &PeerQueue) -> io::Result<usize> {
        let packets = queue.packets();
        let mut slices = [IoSlice::new(&[]); WRITE_FRAMES_MAX];
        let mut count = 0;
        for (slice, scheduled) in slices.iter_mut().zip(packets.iter()) {
            let skip = if count == 0 { self.offset } else { 0 };
            *slice = IoSlice::new(&scheduled.packet.frame()[skip..]);
            count += 1;
        }
        let written = self.stream.try_write_vectored(&slices[..count])?;
        if self.offset == 0 {
            self.waiting_since = None;
        }
        self.offset += written;
        Ok(written)
    }

    /// Removes the first frame from the queue if it is completely written.
    fn finish_first(&mut self, queue: &PeerQueue) -> Option<Scheduled> {
        let len = queue.packets().front()?.packet.frame().len();
        if self.offset < len {
            return None;
        }
        self.offset -= len;
        self.waiting_since = None;
        queue.pop()
    }

    /// Whether the peer has closed the connection or has sent data. Mixes never reply, so a peer that sends is
    /// disconnected. Makes one system call, and none while nothing has arrived.
    fn is_over(&self) -> bool {
        let read = self.stream.try_read(&mut [0]);
        !read.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }
}

/// Completes when a connection [is over](Connection::is_over).
async fn is_over(connection: Option<&Connection>) {
    let Some(connection) = connection else { return std::future::pending().await };
    while connection.stream.readable().await.is_ok() && !connection.is_over() {}
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.counters.connections.fetch_sub(1, Ordering::Relaxed);
    }
}
