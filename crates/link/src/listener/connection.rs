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
use nym_mixnode_wire::{BufferPool, CloseReason, Deadlines, FrameHeader, FrameSink, Incoming, NextRead, ReadPermit};
use thiserror::Error;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout_at;

use super::{Admitted, Counters};
use crate::channel::pass;
use crate::clock;
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
        Self { pool, packets, deadlines, counters }
    }

    /// The state of a new connection.
    #[must_use]
    pub fn connection(&self) -> Incoming {
        Incoming::new(self.deadlines)
    }

    /// Decodes the next bytes of a connection into packets, sets their arrival time, and counts them.
    ///
    /// # Errors
    /// When the connection must be closed. The packets before a malformed frame are valid.
    pub fn receive(
        &self,
        connection: &mut Incoming,
        bytes: &[u8],
        packets: &mut Vec<Received>,
    ) -> Result<(), CloseReason> {
        let at = clock::now();
        let result = connection.received(bytes, at, &mut Stamp { pool: &self.pool, at, packets });
        self.counters.received.fetch_add(packets.len() as u64, Ordering::Relaxed);
        result
    }

    /// Passes packets on; `false` when the channel is closed.
    pub async fn hand_over(&self, mut packets: Vec<Received>) -> bool {
        for packet in packets.drain(..) {
            if !pass(&self.packets, packet).await {
                return false;
            }
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
pub async fn serve(Admitted { stream, permit }: Admitted, intake: Intake, phase: PhaseSignal) {
    let end = match TcpStream::from_std(stream) {
        Ok(stream) => {
            let deadline = Deadline::new(clock::now());
            Connection { stream, intake: &intake, state: intake.connection(), deadline }.run(phase).await
        }
        Err(error) => End::Io(error),
    };
    intake.count(&end);
    drop(permit);
}

struct Connection<'a> {
    stream: TcpStream,
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
        let permit = tokio::select! {
            biased;
            () = draining, if !self.state.is_draining() => {
                self.state.drain(clock::now());
                return Ok(());
            }
            permit = until_readable(&self.stream, &self.intake.pool, next, &mut self.deadline) => permit?,
        };
        let mut packets = SPARE_LISTS.with_borrow_mut(Vec::pop).unwrap_or_default();
        let read = self.read(&mut packets).await;
        drop(permit);
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
            Poll::Ready(Ok(())) => Ok(self.intake.receive(&mut self.state, read.filled(), packets)?),
        }
    }
}

/// Waits for bytes, then for a read permit, so that TCP back-pressure slows the sender down while the budget is spent.
/// Can be cancelled without losing a packet.
async fn until_readable<'a>(
    stream: &TcpStream,
    pool: &'a BufferPool,
    next: NextRead,
    deadline: &mut Deadline,
) -> Result<ReadPermit<'a>, End> {
    tokio::select! {
        biased;
        readable = stream.readable() => readable?,
        () = deadline.passed(next.bytes_until) => return Err(next.otherwise.into()),
    }
    let Some(until) = next.permit_until else { return Ok(pool.read_permit().await) };
    Ok(timeout_at(until.into(), pool.read_permit()).await.map_err(|_| next.otherwise)?)
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::{TcpListener, TcpStream as Client};
    use std::time::Duration;

    use tokio::task::LocalSet;
    use tokio::time::{sleep, timeout};

    use super::*;
    use crate::listener::ConnectionLimits;
    use crate::shutdown::{PhaseControl, phases};
    use nym_mixnode_sphinx::PacketSize;
    use nym_mixnode_wire::{MAX_FRAME_LEN, PacketMode};

    const TIMEOUT: Duration = Duration::from_secs(60);
    const CONNECTIONS: usize = 200;
    const BUDGET: usize = 256 << 10;
    const HEADER: FrameHeader = FrameHeader::v0_9(PacketSize::Ack, PacketMode::Mix);
    /// Packets that one connection sends in one burst.
    const BURST: usize = READ_BYTES / HEADER.frame_len();

    /// Connections of one worker, their clients, and the inbox.
    struct Scene {
        pool: Arc<BufferPool>,
        clients: Vec<Client>,
        inbox: mpsc::Receiver<Received>,
        _serving: JoinSet<()>,
        control: PhaseControl,
    }

    impl Scene {
        fn open() -> Self {
            let pool = BufferPool::new(BUDGET);
            let (packets, inbox) = mpsc::channel(128);
            let deadlines = Deadlines { frame: TIMEOUT, idle: TIMEOUT };
            let intake = Intake::new(Arc::clone(&pool), packets, deadlines, Arc::default());
            let limits = ConnectionLimits::new(CONNECTIONS, CONNECTIONS);
            let (control, phase) = phases();
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let (mut clients, mut serving) = (Vec::new(), JoinSet::new());
            for _ in 0..CONNECTIONS {
                clients.push(Client::connect(listener.local_addr().unwrap()).unwrap());
                let (stream, from) = listener.accept().unwrap();
                stream.set_nonblocking(true).unwrap();
                let permit = limits.admit(from.ip()).unwrap();
                serving.spawn_local(serve(Admitted { stream, permit }, intake.clone(), phase.clone()));
            }
            Self { pool, clients, inbox, _serving: serving, control }
        }

        /// Fills all connections at once, after all were idle.
        async fn fill(&mut self) {
            sleep(Duration::from_millis(20)).await;
            let mut burst = Vec::new();
            for _ in 0..BURST {
                let end = burst.len() + HEADER.frame_len();
                HEADER.encode(&mut burst);
                burst.resize(end, 0);
            }
            self.clients.iter_mut().for_each(|client| client.write_all(&burst).unwrap());
        }

        /// Asserts that the budget is exceeded by at most one read.
        fn assert_bounded(&self) {
            let charge = HEADER.frame_len() + 160;
            let bound = BUDGET + (READ_BYTES + MAX_FRAME_LEN) / HEADER.frame_len() * charge;
            assert!(self.pool.bytes_in_flight() <= bound, "{:?}, more than {bound}", self.pool);
        }

        /// Takes packets until the budget is spent, and keeps them.
        async fn spend(&mut self) -> Vec<Received> {
            let mut kept = Vec::new();
            while self.pool.bytes_in_flight() < BUDGET || !self.inbox.is_empty() {
                kept.push(timeout(TIMEOUT, self.inbox.recv()).await.unwrap().unwrap());
                self.assert_bounded();
            }
            kept
        }
    }

    #[tokio::test]
    async fn connections_that_fill_at_once_stay_within_the_budget_and_all_get_their_turn() {
        let local = LocalSet::new();
        let all = async {
            let mut scene = Scene::open();
            scene.fill().await;
            let kept = scene.spend().await;
            // Time for connections that would wrongly read on.
            sleep(Duration::from_millis(100)).await;
            scene.assert_bounded();
            assert!(kept.len() < CONNECTIONS * BURST / 10, "most packets are still in the kernel");
            let mut taken = kept.len();
            drop(kept);
            while taken < CONNECTIONS * BURST {
                drop(timeout(TIMEOUT, scene.inbox.recv()).await.expect("every connection is read"));
                scene.assert_bounded();
                taken += 1;
            }
            assert_eq!((scene.pool.packets_in_flight(), scene.inbox.len()), (0, 0));
        };
        local.run_until(all).await;
    }

    #[tokio::test]
    async fn the_budget_holds_while_connections_are_read_out_too() {
        let local = LocalSet::new();
        let all = async {
            let mut scene = Scene::open();
            scene.fill().await;
            let mut kept = scene.spend().await;
            scene.control.enter(Phase::Draining);
            // The channel closes when the last connection has ended.
            while let Some(packet) = timeout(TIMEOUT, scene.inbox.recv()).await.expect("the connections end") {
                kept.push(packet);
            }
            scene.assert_bounded();
            assert!(scene.pool.bytes_in_flight() >= BUDGET);
        };
        local.run_until(all).await;
    }
}
