//! Drives the connection to one next hop on a socket.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use nym_mixnode_mix::Outgoing;
use nym_mixnode_mix::outgoing::Step;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout_at;

use super::{NextHop, Shared};
use crate::clock;
use crate::shutdown::{Phase, PhaseSignal};
use crate::timer::Deadline;

/// Maximum number of frames per write call.
const WRITE_FRAMES_MAX: usize = 64;

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
            () = phase.reached(Phase::Aborting) => self.with(Outgoing::abort),
            () = self.serve() => {}
        }
    }

    async fn serve(&self) {
        let (mut stream, mut deadline) = (None, Deadline::new(clock::now()));
        loop {
            let result = match (self.with(|outgoing| outgoing.next(clock::now())), &mut stream) {
                (Step::Write { until }, Some(open)) => self.write(open, until).await,
                (Step::Dial { until } | Step::Write { until }, _) => {
                    self.dial(until).await.map(|opened| stream = Some(opened))
                }
                (Step::Wait { until }, _) => {
                    self.wait(&mut stream, until, &mut deadline).await;
                    Ok(())
                }
                (Step::End, _) => break,
            };
            if let Err(error) = result {
                stream = None;
                self.with(|outgoing| outgoing.failed(error, clock::now()));
            }
        }
        if let Some(mut stream) = stream {
            // All packets are written, so an error here loses none.
            drop(stream.shutdown().await);
        }
    }

    async fn dial(&self, until: Instant) -> io::Result<TcpStream> {
        let connected = timeout_at(until.into(), TcpStream::connect(self.address)).await;
        let stream = connected
            .unwrap_or_else(|_| Err(io::Error::new(io::ErrorKind::TimedOut, "no response")))
            .map_err(|error| io::Error::new(error.kind(), format!("cannot connect to {}: {error}", self.address)))?;
        // Nagle's algorithm would delay frames that are due.
        stream.set_nodelay(true)?;
        self.with(Outgoing::connected);
        Ok(stream)
    }

    /// Writes frames once the socket is writable, as far as the kernel accepts them.
    async fn write(&self, stream: &TcpStream, until: Instant) -> io::Result<()> {
        match timeout_at(until.into(), stream.writable()).await {
            Ok(writable) => writable?,
            Err(_) => return self.with(|outgoing| outgoing.blocked(clock::now())),
        }
        if is_over(stream) {
            // The kernel would still accept one packet and lose it.
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        match self.with(|outgoing| write_frames(stream, outgoing)) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            result => result,
        }
    }

    /// Waits for a change of the queue or the end of the connection.
    async fn wait(&self, stream: &mut Option<TcpStream>, until: Instant, deadline: &mut Deadline) {
        tokio::select! {
            biased;
            () = self.next_hop.changed.notified() => {}
            () = until_over(stream.as_ref()) => {
                *stream = None;
                self.with(Outgoing::disconnected);
            }
            () = deadline.passed(until) => {}
        }
    }

    fn with<R>(&self, f: impl FnOnce(&mut Outgoing) -> R) -> R {
        self.next_hop.state.with(f)
    }
}

fn write_frames(stream: &TcpStream, outgoing: &mut Outgoing) -> io::Result<()> {
    let mut slices = [IoSlice::new(&[]); WRITE_FRAMES_MAX];
    let mut count = 0;
    for (slice, frame) in slices.iter_mut().zip(outgoing.frames()) {
        *slice = IoSlice::new(frame);
        count += 1;
    }
    match stream.try_write_vectored(&slices[..count])? {
        0 => Err(io::ErrorKind::WriteZero.into()),
        written => {
            outgoing.wrote(written, clock::now());
            Ok(())
        }
    }
}

/// Whether the peer has closed the connection or has sent data. Mixes never reply, so a peer that sends is
/// disconnected. Makes one system call, and none while nothing has arrived.
fn is_over(stream: &TcpStream) -> bool {
    let read = stream.try_read(&mut [0]);
    !read.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
}

/// Completes when a connection [is over](is_over).
async fn until_over(stream: Option<&TcpStream>) {
    let Some(stream) = stream else { return std::future::pending().await };
    while stream.readable().await.is_ok() && !is_over(stream) {}
}
