//! The state of an incoming connection: unfinished frame, deadlines, drain. No socket and no clock.
//!
//! The owner of the socket asks for the [next step](Incoming::next), and reports the bytes that it has read.

use std::time::{Duration, Instant};

use thiserror::Error;

use crate::frame::{FrameDecoder, FrameError, FrameSink};

/// Wait for connections and bytes in transit while the node drains. The sender's kernel may keep data back until our
/// acknowledgement, which can be delayed by 40 ms.
pub const LAST_CALL: Duration = Duration::from_millis(100);
/// Time for a peer to finish its current frame after the drain has begun.
const LAST_FRAME_GRACE: Duration = Duration::from_millis(500);

/// Deadlines for peers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadlines {
    /// Maximum time from the first to the last byte of a frame.
    pub frame: Duration,
    /// Idle time after which a connection is closed.
    pub idle: Duration,
}

/// The next read of a connection: wait for bytes, then for a [read permit](crate::BufferPool::read_permit), then read
/// once.
///
/// Request the permit once there are bytes to read: a connection without bytes must not keep one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NextRead {
    /// Close the connection if no bytes have arrived by then. Bytes that arrived earlier are read however late it is:
    /// a peer is not late because the node was busy.
    pub bytes_until: Instant,
    /// Close the connection if there is no permit by then. `None`: wait for as long as the budget is spent.
    pub permit_until: Option<Instant>,
    /// The reason to close it for.
    pub otherwise: CloseReason,
}

/// Why a connection must be closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum CloseReason {
    /// The node drains, and nothing more of the peer is in transit.
    #[error("the node is stopping")]
    Stopping,
    /// The peer exceeded one of the [`Deadlines`].
    #[error("deadline exceeded")]
    TimedOut,
    /// The peer sent a malformed frame.
    #[error(transparent)]
    BadFrame(#[from] FrameError),
}

/// State of an incoming connection.
///
/// ```
/// # use std::time::{Duration, Instant};
/// # use nym_mixnode_wire::{CloseReason, Deadlines, Incoming};
/// let deadlines = Deadlines { frame: Duration::from_secs(30), idle: Duration::from_secs(600) };
/// let (connection, now) = (Incoming::new(deadlines), Instant::now());
/// let step = connection.next(now)?;
/// assert_eq!((step.bytes_until, step.otherwise), (now + deadlines.idle, CloseReason::TimedOut));
/// # Ok::<_, CloseReason>(())
/// ```
#[derive(Debug)]
pub struct Incoming {
    decoder: FrameDecoder,
    deadlines: Deadlines,
    /// When the first byte of the unfinished frame arrived.
    frame_began: Option<Instant>,
    /// When the drain of this connection ends, once it has begun.
    drain_until: Option<Instant>,
}

impl Incoming {
    /// A new connection, on which nothing has arrived.
    #[must_use]
    pub fn new(deadlines: Deadlines) -> Self {
        Self { decoder: FrameDecoder::default(), deadlines, frame_began: None, drain_until: None }
    }

    /// What to do next. Call it after each read.
    ///
    /// # Errors
    /// When the connection must be closed.
    pub fn next(&self, now: Instant) -> Result<NextRead, CloseReason> {
        let Some(drain_until) = self.drain_until else {
            let bytes_until = match self.frame_began {
                Some(began) => began + self.deadlines.frame,
                None => now + self.deadlines.idle,
            };
            return Ok(NextRead { bytes_until, permit_until: None, otherwise: CloseReason::TimedOut });
        };
        if now >= drain_until {
            return Err(CloseReason::Stopping);
        }
        let last_call = if self.decoder.is_mid_frame() { drain_until } else { now + LAST_CALL };
        let bytes_until = last_call.min(drain_until);
        Ok(NextRead { bytes_until, permit_until: Some(drain_until), otherwise: CloseReason::Stopping })
    }

    /// Decodes bytes that were read at `now`, and passes complete frames to `sink`.
    ///
    /// # Errors
    /// When the connection must be closed. The frames before a malformed one are valid.
    pub fn received(&mut self, bytes: &[u8], now: Instant, sink: &mut impl FrameSink) -> Result<(), CloseReason> {
        self.decoder.feed_into(bytes, sink)?;
        self.frame_began = match self.decoder.unfinished_len() {
            0 => None,
            len if len > bytes.len() => self.frame_began,
            _ => Some(now),
        };
        Ok(())
    }

    /// Begins the drain: what the peer has already sent is read, and a frame that has begun may be finished.
    pub fn drain(&mut self, now: Instant) {
        self.drain_until.get_or_insert(now + LAST_FRAME_GRACE);
    }

    /// Whether the drain has begun.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.drain_until.is_some()
    }
}

#[cfg(test)]
mod tests;
