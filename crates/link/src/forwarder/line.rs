//! The queue and the socket of one next hop, which its task and the forwarder share.

use std::io::{self, IoSlice};
use std::sync::Arc;
use std::time::Instant;

use nym_mixnode_mix::outgoing::{Rejected, Step};
use nym_mixnode_mix::{Outgoing, Scheduled};
use tokio::net::TcpStream;

use crate::clock;

/// Maximum number of frames per write call.
const WRITE_FRAMES_MAX: usize = 64;

/// State of a next hop, and its socket while it is connected.
#[derive(Debug)]
pub struct Line {
    pub(super) outgoing: Outgoing,
    /// The task of the next hop has the socket, too, while it waits for it.
    stream: Option<Arc<TcpStream>>,
    /// Whether packets were pushed since the last [write](Self::write_queued).
    is_touched: bool,
}

/// Whether a pushed packet is the first one since the last [write](Line::write_queued).
pub(super) enum Pushed {
    First,
    Further,
}

impl Line {
    pub(super) fn new(outgoing: Outgoing) -> Self {
        Self { outgoing, stream: None, is_touched: false }
    }

    pub(super) fn push(&mut self, scheduled: Scheduled) -> Result<Pushed, Rejected> {
        self.outgoing.push(scheduled)?;
        let was_touched = std::mem::replace(&mut self.is_touched, true);
        Ok(if was_touched { Pushed::Further } else { Pushed::First })
    }

    pub(super) fn stream(&self) -> Option<Arc<TcpStream>> {
        self.stream.clone()
    }

    pub(super) fn connected(&mut self, stream: TcpStream) {
        self.stream = Some(Arc::new(stream));
        self.outgoing.connected();
    }

    /// The connection is over although nothing failed. Returns its socket, if nothing has failed before either.
    pub(super) fn disconnected(&mut self) -> Option<Arc<TcpStream>> {
        let stream = self.stream.take()?;
        self.outgoing.disconnected();
        Some(stream)
    }

    pub(super) fn failed(&mut self, error: io::Error) {
        self.stream = None;
        self.outgoing.failed(error, clock::now());
    }

    pub(super) fn abort(&mut self) {
        self.outgoing.abort();
        self.stream = None;
    }

    /// Writes what is queued with one system call; `false` when there is something left for the task to do.
    pub(super) fn write_queued(&mut self, now: Instant) -> bool {
        self.is_touched = false;
        if self.stream.is_none() || !matches!(self.outgoing.next(now), Step::Write { .. }) {
            return false;
        }
        match self.write() {
            Ok(()) => matches!(self.outgoing.next(now), Step::Wait { .. }),
            Err(error) => {
                self.failed(error);
                false
            }
        }
    }

    /// Writes the first frames, as far as the kernel accepts them at once.
    pub(super) fn write(&mut self) -> io::Result<()> {
        let Some(stream) = &self.stream else { return Ok(()) };
        if is_over(stream) {
            // The kernel would still accept one packet and lose it.
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        let mut slices = [IoSlice::new(&[]); WRITE_FRAMES_MAX];
        let mut count = 0;
        for (slice, frame) in slices.iter_mut().zip(self.outgoing.frames()) {
            *slice = IoSlice::new(frame);
            count += 1;
        }
        if count == 0 {
            // The forwarder has written them while the task waited for the socket.
            return Ok(());
        }
        match stream.try_write_vectored(&slices[..count]) {
            Ok(0) => Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                self.outgoing.wrote(written, clock::now());
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// Whether the peer has closed the connection or has sent data. Mixes never reply, so a peer that sends is
/// disconnected. Makes one system call, and none while nothing has arrived.
pub(super) fn is_over(stream: &TcpStream) -> bool {
    let read = stream.try_read(&mut [0]);
    !read.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
}
