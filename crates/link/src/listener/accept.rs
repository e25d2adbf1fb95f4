//! Accepting connections, also when descriptors run out.

use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use nym_mixnode_base::backoff::Backoff;
use nym_mixnode_base::open_files::{self, Remedy};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout, timeout_at};

use super::limits::{ConnectionLimits, Permit};
use super::{Counters, LAST_CALL};
use crate::clock;
use crate::shutdown::{Phase, PhaseSignal};

const LOG_EVERY: Duration = Duration::from_secs(1);
/// When the node drains, how long connections that are already on their way are taken, whoever else comes.
const LAST_CALLS_MAX: Duration = Duration::from_millis(500);

/// A connection within the caps, not yet tied to a runtime.
#[derive(Debug)]
pub struct Admitted {
    /// The socket, non-blocking.
    pub stream: std::net::TcpStream,
    /// Keeps its place under the caps.
    pub permit: Permit,
}

/// Accepts until the node drains, and deals connections out to the workers in turn.
///
/// The last act is to accept what the kernel has completed already: its packets were handed over like any others. It
/// ends by the clock, however many go on to connect. A node that aborts does not wait for any of this.
/// Where a connection goes has no bearing on where its packets leave: that is for the owner of each next hop.
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
    /// Connections dealt out.
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
        let Some(admitted) = admit(stream, &self.limits) else {
            self.counters.refused.fetch_add(1, Ordering::Relaxed);
            return;
        };
        let worker = &self.workers[self.turn % self.workers.len()];
        self.turn += 1;
        // Refused only by a worker that has failed, and with it the node.
        drop(worker.send(admitted).await);
    }
}

fn admit(stream: TcpStream, limits: &Arc<ConnectionLimits>) -> Option<Admitted> {
    let permit = limits.admit(stream.peer_addr().ok()?.ip())?;
    Some(Admitted { stream: stream.into_std().ok()?, permit })
}

/// What to do while `accept` fails, most likely for want of file descriptors.
struct Shortage {
    pause: Backoff,
    logged_at: Option<Instant>,
    failures: u64,
    explained: bool,
    /// Given up to accept, and close, a connection that would otherwise keep the listener readable for ever.
    spare: Option<File>,
}

impl Shortage {
    fn new() -> Self {
        Self { pause: Backoff::for_accepting(), logged_at: None, failures: 0, explained: false, spare: open_spare() }
    }

    async fn relieve(&mut self, listener: &TcpListener, error: &io::Error) {
        self.log(error);
        if is_out_of_descriptors(error) && self.spare.take().is_some() {
            // With the spare one free the oldest waiting peer learns at once that there is no room.
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
                    "the system gives this process no more open files, so new connections wait or are closed while \
                     those that stand go on: {}",
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
