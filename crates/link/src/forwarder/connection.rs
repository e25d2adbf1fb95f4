//! Drives the connection to one next hop on a socket.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use nym_mixnode_mix::outgoing::Step;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout_at;

use super::line::{Line, is_over};
use super::{NextHop, Shared};
use crate::clock;
use crate::shutdown::{Phase, PhaseSignal};
use crate::timer::Deadline;

/// The connection to a next hop, open or not.
pub(super) struct Connection<C> {
    pub(super) address: SocketAddr,
    pub(super) next_hop: Arc<NextHop<C>>,
}

impl<C: Shared> Connection<C> {
    /// Sends the packets of the queue until it is closed and empty, the idle timeout passes, or the node aborts.
    pub(super) async fn run(self, mut phase: PhaseSignal) {
        tokio::select! {
            biased;
            () = phase.reached(Phase::Aborting) => self.with(Line::abort),
            () = self.serve() => {}
        }
    }

    async fn serve(&self) {
        let mut deadline = Deadline::new(clock::now());
        loop {
            let (step, stream) = self.with(|line| (line.outgoing.next(clock::now()), line.stream()));
            let result = match (step, stream) {
                (Step::Write { until }, Some(stream)) => self.write(&stream, until).await,
                (Step::Dial { until } | Step::Write { until }, _) => self.dial(until).await,
                (Step::Wait { until }, stream) => {
                    self.wait(stream, until, &mut deadline).await;
                    Ok(())
                }
                (Step::End, _) => break,
            };
            if let Err(error) = result {
                self.with(|line| line.failed(error));
            }
        }
        if let Some(mut stream) = self.with(Line::disconnected).and_then(Arc::into_inner) {
            // All packets are written, so an error here loses none.
            drop(stream.shutdown().await);
        }
    }

    async fn dial(&self, until: Instant) -> io::Result<()> {
        let connected = timeout_at(until.into(), TcpStream::connect(self.address)).await;
        let stream = connected
            .unwrap_or_else(|_| Err(io::Error::new(io::ErrorKind::TimedOut, "no response")))
            .map_err(|error| io::Error::new(error.kind(), format!("cannot connect to {}: {error}", self.address)))?;
        // Nagle's algorithm would delay frames that are due.
        stream.set_nodelay(true)?;
        self.with(|line| line.connected(stream));
        Ok(())
    }

    /// Writes frames once the socket is writable, as far as the kernel accepts them.
    async fn write(&self, stream: &TcpStream, until: Instant) -> io::Result<()> {
        match timeout_at(until.into(), stream.writable()).await {
            Ok(writable) => writable?,
            Err(_) => return self.with(|line| line.outgoing.blocked(clock::now())),
        }
        self.with(Line::write)
    }

    /// Waits for a change of the queue or the end of the connection.
    async fn wait(&self, stream: Option<Arc<TcpStream>>, until: Instant, deadline: &mut Deadline) {
        tokio::select! {
            biased;
            () = self.next_hop.changed.notified() => {}
            () = until_over(stream.as_deref()) => drop(self.with(Line::disconnected)),
            () = deadline.passed(until) => {}
        }
    }

    fn with<R>(&self, f: impl FnOnce(&mut Line) -> R) -> R {
        self.next_hop.line.with(f)
    }
}

/// Completes when a connection [is over](is_over).
async fn until_over(stream: Option<&TcpStream>) {
    let Some(stream) = stream else { return std::future::pending().await };
    while stream.readable().await.is_ok() && !is_over(stream) {}
}
