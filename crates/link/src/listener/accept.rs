//! Accepting connections, with handling of file descriptor exhaustion.

use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use nym_mixnode_base::backoff::Backoff;
use nym_mixnode_base::open_files::{self, Remedy};
use nym_mixnode_wire::LAST_CALL;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout, timeout_at};

use super::Counters;
use super::limits::{ConnectionLimits, Permit};
use crate::clock;
use crate::shutdown::{Phase, PhaseSignal};

const LOG_EVERY: Duration = Duration::from_secs(1);
/// Maximum time for accepting pending connections after the drain has begun.
const LAST_CALLS_MAX: Duration = Duration::from_millis(500);

/// A connection within the limits, not yet registered with a runtime.
#[derive(Debug)]
pub struct Admitted {
    /// The socket, non-blocking.
    pub stream: std::net::TcpStream,
    /// Counts the connection against the limits.
    pub permit: Permit,
}

/// Accepts connections until the node drains, and distributes them to the workers in round-robin order.
///
/// When the drain begins, it still accepts the connections that the kernel has already completed, because their
/// senders consider the packets sent. This takes at most [`LAST_CALLS_MAX`], and ends at once when the node aborts.
/// The worker of a connection does not affect where its packets leave: that depends on the owner of the next hop.
pub async fn accept(
    listener: TcpListener,
    limits: Arc<ConnectionLimits>,
    workers: Vec<mpsc::Sender<Admitted>>,
    counters: Arc<Counters>,
    mut phase: PhaseSignal,
) {
    let draining = phase.clone();
    let acceptor = Acceptor { listener, limits, workers, counters, turn: 0, shortage: Shortage::new() };
    tokio::select! {
        biased;
        () = phase.reached(Phase::Aborting) => {}
        () = acceptor.run(draining) => {}
    }
}

struct Acceptor {
    listener: TcpListener,
    limits: Arc<ConnectionLimits>,
    workers: Vec<mpsc::Sender<Admitted>>,
    counters: Arc<Counters>,
    /// Number of distributed connections.
    turn: usize,
    shortage: Shortage,
}

impl Acceptor {
    async fn run(mut self, mut draining: PhaseSignal) {
        loop {
            let accepted = tokio::select! {
                biased;
                () = draining.reached(Phase::Draining) => break,
                accepted = self.listener.accept() => accepted,
            };
            self.deal(accepted).await;
        }
        let until = clock::now() + LAST_CALLS_MAX;
        while clock::now() < until {
            match timeout_at(until.min(clock::now() + LAST_CALL).into(), self.listener.accept()).await {
                Ok(accepted) => self.deal(accepted).await,
                Err(_) => return,
            }
        }
    }

    async fn deal(&mut self, accepted: io::Result<(TcpStream, SocketAddr)>) {
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => return self.shortage.relieve(&self.listener, &error).await,
        };
        self.shortage.is_over();
        let Some(admitted) = self.admit(stream) else { return };
        self.counters.accepted.fetch_add(1, Ordering::Relaxed);
        let worker = &self.workers[self.turn % self.workers.len()];
        self.turn += 1;
        // Fails only when a worker has failed, which stops the node.
        drop(worker.send(admitted).await);
    }

    fn admit(&self, stream: TcpStream) -> Option<Admitted> {
        let Ok(permit) = self.limits.admit(stream.peer_addr().ok()?.ip()) else {
            self.counters.refused.fetch_add(1, Ordering::Relaxed);
            return None;
        };
        Some(Admitted { stream: stream.into_std().ok()?, permit })
    }
}

/// Back-off and logging while `accept` fails, most often for lack of file descriptors.
struct Shortage {
    pause: Backoff,
    logged_at: Option<Instant>,
    failures: u64,
    explained: bool,
    /// A spare descriptor, released to accept and close a connection that would keep the listener readable.
    spare: Option<File>,
}

impl Shortage {
    fn new() -> Self {
        Self { pause: Backoff::for_accepting(), logged_at: None, failures: 0, explained: false, spare: open_spare() }
    }

    async fn relieve(&mut self, listener: &TcpListener, error: &io::Error) {
        self.log(error);
        if is_out_of_descriptors(error) && self.spare.take().is_some() {
            // Accept and close the oldest pending connection, so that its peer learns of the failure at once.
            drop(timeout(Duration::ZERO, listener.accept()).await);
            self.spare = open_spare();
        }
        sleep(self.pause.wait()).await;
    }

    fn is_over(&mut self) {
        self.pause.reset();
        if self.spare.is_none() {
            self.spare = open_spare();
        }
    }

    fn log(&mut self, error: &io::Error) {
        self.failures += 1;
        let now = clock::now();
        if self.logged_at.is_none_or(|at| now - at >= LOG_EVERY) {
            tracing::warn!(failures = self.failures, "Failed to accept incoming connection: {error}");
            if is_out_of_descriptors(error) && !self.explained {
                self.explained = true;
                tracing::warn!(
                    limit = open_files::nofile(),
                    "this process can have no more open files: new connections wait or are closed, open ones are not \
                    affected: {}",
                    Remedy::here()
                );
            }
            self.logged_at = Some(now);
            self.failures = 0;
        }
    }
}

fn open_spare() -> Option<File> {
    File::open("/dev/null").ok()
}

fn is_out_of_descriptors(error: &io::Error) -> bool {
    use rustix::io::Errno;
    matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE))
}
