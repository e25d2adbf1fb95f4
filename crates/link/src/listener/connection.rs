//! Drives incoming connections on sockets: bytes become packets with arrival times. An idle connection has no buffer.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Instant;

use nym_mixnode_mix::Received;
use nym_mixnode_wire::{
    BufferPool, CloseReason, Deadlines, FrameHeader, FrameSink, Incoming, NextRead, Payer, ReadPermit,
};
use thiserror::Error;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::{OwnedMutexGuard, mpsc};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout_at};

use super::turns::{Turn, Turns};
use super::{Admitted, Counters, Permit};
use crate::channel::pass_all;
use crate::clock;
use crate::rounds::note_read;
use crate::shutdown::{Phase, PhaseSignal};
use crate::tasks::{join_all, propagate_panic};
use crate::timer::Deadline;

/// Maximum bytes per read.
const READ_BYTES: usize = 64 * 1024;
/// Empty packet lists that a thread keeps for reuse. This many connections can wait to hand packets over before a list
/// has to be allocated.
const SPARE_LISTS_MAX: usize = 64;

thread_local! {
    /// Read buffer of all connections of a thread.
    static READ_BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_BYTES].into_boxed_slice());
    /// Empty lists for the packets of the next reads.
    static SPARE_LISTS: RefCell<Vec<Vec<Received>>> = const { RefCell::new(Vec::new()) };
}

/// Where the packets of connections go.
#[derive(Debug, Clone)]
pub struct Intake {
    pool: Arc<BufferPool>,
    packets: mpsc::Sender<Received>,
    deadlines: Deadlines,
    counters: Arc<Counters>,
    turns: Arc<Turns>,
}

/// Turns the frames of one read into packets with an arrival time.
struct Stamp<'a> {
    pool: &'a Arc<BufferPool>,
    at: Instant,
    packets: &'a mut Vec<Received>,
}

impl FrameSink for Stamp<'_> {
    fn buffer(&mut self, header: FrameHeader) -> Vec<u8> {
        self.pool.buffer(header.size)
    }

    fn whole(&mut self, header: FrameHeader, frame: &[u8]) {
        self.packets.push(Received { packet: self.pool.take(header, frame), at: self.at });
    }

    fn assembled(&mut self, header: FrameHeader, buffer: Vec<u8>) {
        self.packets.push(Received { packet: self.pool.adopt(header.size, buffer), at: self.at });
    }
}

impl Intake {
    /// Creates an intake that passes packets on to the receiver of `packets`.
    #[must_use]
    pub fn new(
        pool: Arc<BufferPool>,
        packets: mpsc::Sender<Received>,
        deadlines: Deadlines,
        counters: Arc<Counters>,
    ) -> Self {
        Self { pool, packets, deadlines, counters, turns: Arc::default() }
    }

    /// The state of a new connection.
    #[must_use]
    pub fn connection(&self) -> Incoming {
        Incoming::new(self.deadlines)
    }

    /// The part of an admitted connection in what its place may read.
    #[must_use]
    pub fn share(&self, admitted: &Permit) -> Share {
        let place = admitted.place();
        Share { turn: self.turns.join(place), payer: self.pool.payer(place) }
    }

    /// Waits for the turn of a connection, until its place is within its share of the budget, and for a read permit. The
    /// turn lasts until its packets are [handed over](Self::hand_over).
    pub async fn permit(&self, share: &Share) -> (OwnedMutexGuard<()>, ReadPermit<'_>) {
        let turn = share.turn.begin().await;
        while let Some(wait) = self.pool.over_share(share.payer, clock::now) {
            sleep(wait).await;
        }
        (turn, self.pool.read_permit().await)
    }

    /// Decodes the next bytes of a connection into packets, sets their arrival time, counts them, and charges its place.
    ///
    /// # Errors
    /// When the connection must be closed. The packets before a malformed frame are valid.
    pub fn receive(
        &self,
        share: &Share,
        connection: &mut Incoming,
        bytes: &[u8],
        packets: &mut Vec<Received>,
    ) -> Result<(), CloseReason> {
        let at = clock::now();
        note_read(at);
        let result = connection.received(bytes, at, &mut Stamp { pool: &self.pool, at, packets });
        self.counters.received.fetch_add(packets.len() as u64, Ordering::Relaxed);
        self.pool.charge_read(share.payer, bytes.len(), packets.len(), || at);
        result
    }

    /// Passes packets on; `false` when the channel is closed.
    pub async fn hand_over(&self, mut packets: Vec<Received>) -> bool {
        if pass_all(&self.packets, &mut packets).await.is_err() {
            return false;
        }
        SPARE_LISTS.with_borrow_mut(|spare| {
            if spare.len() < SPARE_LISTS_MAX {
                spare.push(packets);
            }
        });
        true
    }

    fn count(&self, end: &End) {
        match end {
            End::Protocol(CloseReason::BadFrame(error)) => {
                self.counters.bad_frames[error.kind()].fetch_add(1, Ordering::Relaxed);
                tracing::debug!("closed a connection: {error}");
            }
            End::Protocol(CloseReason::TimedOut) => {
                self.counters.timeouts.fetch_add(1, Ordering::Relaxed);
            }
            end => tracing::trace!("a connection ended: {end}"),
        }
    }
}

/// Why a connection ended.
#[derive(Debug, Error)]
enum End {
    #[error("closed by the peer")]
    Closed,
    #[error(transparent)]
    Protocol(#[from] CloseReason),
    #[error("evicted for a new connection, before it had sent a packet")]
    Evicted,
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Serves connections until their channel is closed and all have ended. `spawn` starts a task that [serves](serve) one.
pub async fn serve_all(mut connections: mpsc::Receiver<Admitted>, spawn: impl Fn(&mut JoinSet<()>, Admitted)) {
    let mut open = JoinSet::new();
    loop {
        tokio::select! {
            admitted = connections.recv() => match admitted {
                Some(admitted) => spawn(&mut open, admitted),
                None => break,
            },
            Some(ended) = open.join_next() => propagate_panic(ended),
        }
    }
    join_all(open).await;
}

/// Reads frames from one connection until it ends or the node drains.
pub async fn serve(Admitted { stream, mut permit }: Admitted, intake: Intake, phase: PhaseSignal) {
    permit.give_way().await;
    let end = match TcpStream::from_std(stream) {
        Ok(stream) => {
            let (share, deadline) = (intake.share(&permit), Deadline::new(clock::now()));
            let state = intake.connection();
            Connection { stream, permit, share, intake: &intake, state, deadline }.run(phase).await
        }
        Err(error) => End::Io(error),
    };
    intake.count(&end);
}

struct Connection<'a> {
    // Before the permit, so that it closes first.
    stream: TcpStream,
    permit: Permit,
    share: Share,
    intake: &'a Intake,
    state: Incoming,
    deadline: Deadline,
}

impl Connection<'_> {
    async fn run(mut self, mut phase: PhaseSignal) -> End {
        let draining = phase.reached(Phase::Draining);
        tokio::pin!(draining);
        loop {
            if let Err(end) = self.step(draining.as_mut()).await {
                return end;
            }
        }
    }

    /// Reads once and passes complete packets on, or begins the drain.
    async fn step(&mut self, draining: Pin<&mut impl Future<Output = ()>>) -> Result<(), End> {
        let next = self.state.next(clock::now())?;
        // The turn lasts until the packets are handed over.
        let (_turn, permit) = tokio::select! {
            biased;
            () = draining, if !self.state.is_draining() => {
                self.state.drain(clock::now());
                return Ok(());
            }
            () = self.permit.evicted() => return Err(End::Evicted),
            ready = until_readable(&self.stream, &self.share, self.intake, next, &mut self.deadline) => ready?,
        };
        let mut packets = SPARE_LISTS.with_borrow_mut(Vec::pop).unwrap_or_default();
        let read = self.read(&mut packets).await;
        drop(permit);
        if !packets.is_empty() {
            self.permit.has_sent();
        }
        // Packets before a malformed frame are valid.
        if !self.intake.hand_over(packets).await {
            return Err(CloseReason::Stopping.into());
        }
        read
    }

    /// Reads what has arrived, if anything has. Never waits.
    async fn read(&mut self, packets: &mut Vec<Received>) -> Result<(), End> {
        poll_fn(|cx| Poll::Ready(READ_BUFFER.with_borrow_mut(|buffer| self.read_into(buffer, packets, cx)))).await
    }

    fn read_into(&mut self, buffer: &mut [u8], packets: &mut Vec<Received>, cx: &mut Context<'_>) -> Result<(), End> {
        let mut read = ReadBuf::new(buffer);
        // After a read that does not fill the buffer, the stream waits for the next event. `try_read` would make another
        // system call to learn that nothing is left.
        match Pin::new(&mut self.stream).poll_read(cx, &mut read) {
            Poll::Pending => Ok(()),
            Poll::Ready(Err(error)) => Err(error.into()),
            Poll::Ready(Ok(())) if read.filled().is_empty() => Err(End::Closed),
            Poll::Ready(Ok(())) => Ok(self.intake.receive(&self.share, &mut self.state, read.filled(), packets)?),
        }
    }
}

/// The part of a connection in what its place may read.
#[derive(Debug)]
pub struct Share {
    turn: Turn,
    payer: Payer,
}

/// Waits for bytes, then for a [permit](Intake::permit), so that TCP back-pressure slows the sender down while the engine
/// is busy or the budget is short. Can be cancelled without losing a packet.
async fn until_readable<'a>(
    stream: &TcpStream,
    share: &Share,
    intake: &'a Intake,
    next: NextRead,
    deadline: &mut Deadline,
) -> Result<(Option<OwnedMutexGuard<()>>, ReadPermit<'a>), End> {
    tokio::select! {
        biased;
        readable = stream.readable() => readable?,
        () = deadline.passed(next.bytes_until) => return Err(next.otherwise.into()),
    }
    if let Some(until) = next.permit_until {
        // In a drain everything that peers have sent is read, without turns and shares.
        let permit = timeout_at(until.into(), intake.pool.read_permit()).await;
        return Ok((None, permit.map_err(|_| next.otherwise)?));
    }
    let (turn, permit) = intake.permit(share).await;
    Ok((Some(turn), permit))
}

#[cfg(test)]
mod tests;
