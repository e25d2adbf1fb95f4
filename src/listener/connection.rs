//! One incoming connection: bytes in, stamped packets out, and nothing kept while it is idle.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use thiserror::Error;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use super::{Counters, Deadlines, LAST_CALL, Permit};
use crate::packet::{BufferPool, FrameDecoder, FrameError, Received};
use crate::shutdown::{Phase, PhaseSignal};

/// Bytes read at one go.
const READ_BYTES: usize = 64 * 1024;
/// After the node has begun to drain, how long a peer has to finish the frame it is sending.
const LAST_FRAME_GRACE: Duration = Duration::from_millis(500);

/// What the connections of one worker share.
#[derive(Debug, Clone)]
pub struct Intake {
    pool: Arc<BufferPool>,
    packets: mpsc::Sender<Received>,
    deadlines: Deadlines,
    counters: Arc<Counters>,
    /// Read into by whichever connection has bytes; no connection keeps a buffer of its own.
    scratch: Rc<RefCell<Box<[u8]>>>,
}

impl Intake {
    /// The intake of a worker that takes its packets from the other end of `packets`.
    #[must_use]
    pub fn new(
        pool: Arc<BufferPool>,
        packets: mpsc::Sender<Received>,
        deadlines: Deadlines,
        counters: Arc<Counters>,
    ) -> Self {
        let scratch = Rc::new(RefCell::new(vec![0; READ_BYTES].into_boxed_slice()));
        Self { pool, packets, deadlines, counters, scratch }
    }

    /// Cuts the next bytes of a connection into packets, which are stamped and counted.
    pub(crate) fn decode(
        &self,
        decoder: &mut FrameDecoder,
        bytes: &[u8],
        packets: &mut Vec<Received>,
    ) -> Result<(), FrameError> {
        let at = Instant::now();
        let result = decoder.feed(bytes, |header, frame| {
            packets.push(Received { packet: self.pool.take(header, frame), at });
        });
        self.counters.received.fetch_add(packets.len() as u64, Ordering::Relaxed);
        result
    }

    /// Hands packets over to be unwrapped; `false` when the node takes no more.
    pub(crate) async fn hand_over(&self, packets: Vec<Received>) -> bool {
        for packet in packets {
            if self.packets.send(packet).await.is_err() {
                return false;
            }
        }
        true
    }

    pub(crate) fn count_bad_frame(&self, error: FrameError) {
        self.counters.bad_frames[error.kind()].fetch_add(1, Ordering::Relaxed);
    }
}

/// Why a connection ended.
#[derive(Debug, Error)]
enum End {
    #[error("closed by the peer")]
    Closed,
    #[error("the node is stopping")]
    Stopping,
    #[error("nothing came in time")]
    TimedOut,
    #[error(transparent)]
    BadFrame(#[from] FrameError),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Reads frames from one connection until it ends, for whatever reason, or the node drains.
pub async fn serve(stream: std::net::TcpStream, permit: Permit, intake: Intake, phase: PhaseSignal) {
    let end = match TcpStream::from_std(stream) {
        Ok(stream) => {
            let decoder = FrameDecoder::default();
            Connection { stream, intake: &intake, phase, decoder, frame_began: None }.run().await
        }
        Err(error) => End::Io(error),
    };
    match end {
        End::BadFrame(error) => {
            intake.count_bad_frame(error);
            tracing::debug!("closed a connection: {error}");
        }
        End::TimedOut => {
            intake.counters.timeouts.fetch_add(1, Ordering::Relaxed);
        }
        end => tracing::trace!("a connection ended: {end}"),
    }
    drop(permit);
}

struct Connection<'a> {
    stream: TcpStream,
    intake: &'a Intake,
    phase: PhaseSignal,
    decoder: FrameDecoder,
    /// When the first byte of the unfinished frame came.
    frame_began: Option<Instant>,
}

impl Connection<'_> {
    async fn run(mut self) -> End {
        loop {
            match self.read_once().await {
                Ok(()) => {}
                Err(End::Stopping) => return self.read_out().await,
                Err(end) => return end,
            }
        }
    }

    async fn read_once(&mut self) -> Result<(), End> {
        self.wait_for_bytes().await?;
        self.take_available().await?;
        Ok(())
    }

    /// The one place where a connection is interrupted: no packet is in its hands here.
    async fn wait_for_bytes(&mut self) -> Result<(), End> {
        tokio::select! {
            biased;
            () = self.phase.reached(Phase::Draining) => return Err(End::Stopping),
            // Reading stops while the budget is spent, so that TCP tells the sender.
            () = self.intake.pool.room() => {}
        }
        let deadline = match self.frame_began {
            Some(began) => began + self.intake.deadlines.frame,
            None => Instant::now() + self.intake.deadlines.idle,
        };
        tokio::select! {
            biased;
            () = self.phase.reached(Phase::Draining) => Err(End::Stopping),
            readable = timeout_at(deadline, self.stream.readable()) => Ok(readable.map_err(|_| End::TimedOut)??),
        }
    }

    /// Takes what has arrived already and the rest of a frame that has begun: nothing that a peer handed over is lost.
    async fn read_out(mut self) -> End {
        let until = Instant::now() + LAST_FRAME_GRACE;
        loop {
            match self.take_available().await {
                Ok(true) if Instant::now() < until => {}
                Ok(true) => return End::Stopping,
                Ok(false) => {
                    let patience = if self.decoder.is_mid_frame() { until } else { Instant::now() + LAST_CALL };
                    if timeout_at(patience.min(until), self.stream.readable()).await.is_err() {
                        return End::Stopping;
                    }
                }
                Err(end) => return end,
            }
        }
    }

    /// Reads once without waiting and passes the completed packets on; `false` when there was nothing to read.
    async fn take_available(&mut self) -> Result<bool, End> {
        let mut packets = Vec::new();
        let read = {
            let mut scratch = self.intake.scratch.borrow_mut();
            match self.stream.try_read(&mut scratch) {
                Ok(0) => return Err(End::Closed),
                Ok(count) => self.decode(&scratch[..count], &mut packets),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error.into()),
            }
        };
        // Packets before a bad frame are good ones.
        if !self.intake.hand_over(packets).await {
            return Err(End::Stopping);
        }
        read?;
        Ok(true)
    }

    fn decode(&mut self, bytes: &[u8], packets: &mut Vec<Received>) -> Result<(), FrameError> {
        let result = self.intake.decode(&mut self.decoder, bytes, packets);
        self.frame_began = match (self.decoder.is_mid_frame(), self.frame_began) {
            (false, _) => None,
            (true, Some(began)) if packets.is_empty() => Some(began),
            (true, _) => Some(Instant::now()),
        };
        result
    }
}
