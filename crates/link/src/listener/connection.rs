//! Incoming connections: decode bytes into packets with arrival times. An idle connection has no buffer.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use nym_mixnode_mix::Received;
use nym_mixnode_wire::{BufferPool, FrameDecoder, FrameError, FrameHeader, FrameSink, ReadPermit};
use thiserror::Error;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout_at;

use super::{Counters, Deadlines, LAST_CALL, Permit};
use crate::clock;
use crate::shutdown::{Phase, PhaseSignal};

/// Maximum bytes per read.
const READ_BYTES: usize = 64 * 1024;
/// Empty packet lists that a worker keeps for reuse. This many connections can wait to hand packets over before a list
/// has to be allocated.
const SPARE_LISTS_MAX: usize = 64;
/// Time for a peer to finish its current frame after the drain has begun.
const LAST_FRAME_GRACE: Duration = Duration::from_millis(500);

/// State shared by the connections of one worker.
#[derive(Debug, Clone)]
pub struct Intake {
    pool: Arc<BufferPool>,
    packets: mpsc::Sender<Received>,
    deadlines: Deadlines,
    counters: Arc<Counters>,
    /// Read buffer of all connections of the worker.
    scratch: Rc<RefCell<Box<[u8]>>>,
    /// Empty lists for the packets of the next reads.
    spare: Rc<RefCell<Vec<Vec<Received>>>>,
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
    /// Creates the intake of a worker that receives its packets from `packets`.
    #[must_use]
    pub fn new(
        pool: Arc<BufferPool>,
        packets: mpsc::Sender<Received>,
        deadlines: Deadlines,
        counters: Arc<Counters>,
    ) -> Self {
        let scratch = Rc::new(RefCell::new(vec![0; READ_BYTES].into_boxed_slice()));
        Self { pool, packets, deadlines, counters, scratch, spare: Rc::default() }
    }

    /// Decodes the next bytes of a connection into packets, sets their arrival time, and counts them.
    pub fn decode(
        &self,
        decoder: &mut FrameDecoder,
        bytes: &[u8],
        packets: &mut Vec<Received>,
    ) -> Result<(), FrameError> {
        let result = decoder.feed_into(bytes, &mut Stamp { pool: &self.pool, at: clock::now(), packets });
        self.counters.received.fetch_add(packets.len() as u64, Ordering::Relaxed);
        result
    }

    /// Passes packets on to the unwrap engine; `false` when the channel is closed.
    pub async fn hand_over(&self, mut packets: Vec<Received>) -> bool {
        for packet in packets.drain(..) {
            if self.packets.send(packet).await.is_err() {
                return false;
            }
        }
        let mut spare = self.spare.borrow_mut();
        if spare.len() < SPARE_LISTS_MAX {
            spare.push(packets);
        }
        true
    }

    /// Returns an empty list, reused if possible.
    fn empty_list(&self) -> Vec<Received> {
        self.spare.borrow_mut().pop().unwrap_or_default()
    }

    pub fn count_bad_frame(&self, error: FrameError) {
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
    #[error("deadline exceeded")]
    TimedOut,
    #[error(transparent)]
    BadFrame(#[from] FrameError),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Reads frames from one connection until it ends or the node drains.
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

impl<'a> Connection<'a> {
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
        let permit = self.wait_for_permit().await?;
        self.take_available(permit).await?;
        Ok(())
    }

    /// Waits until the socket is readable. Like [`Self::wait_for_permit`], it can be cancelled without losing a packet.
    async fn wait_for_bytes(&mut self) -> Result<(), End> {
        let deadline = match self.frame_began {
            Some(began) => began + self.intake.deadlines.frame,
            None => clock::now() + self.intake.deadlines.idle,
        };
        tokio::select! {
            biased;
            () = self.phase.reached(Phase::Draining) => Err(End::Stopping),
            readable = timeout_at(deadline.into(), self.stream.readable()) => Ok(readable.map_err(|_| End::TimedOut)??),
        }
    }

    /// Waits for a read permit, so that TCP back-pressure slows the sender down while the budget is used up.
    ///
    /// Called once the socket is readable: a connection without bytes must not keep a permit.
    async fn wait_for_permit(&mut self) -> Result<ReadPermit<'a>, End> {
        tokio::select! {
            biased;
            () = self.phase.reached(Phase::Draining) => Err(End::Stopping),
            permit = self.intake.pool.read_permit() => Ok(permit),
        }
    }

    /// Reads the bytes that have arrived and the rest of an incomplete frame, as far as the budget allows, so that no
    /// packet that the peer has already sent is lost.
    async fn read_out(mut self) -> End {
        let until = clock::now() + LAST_FRAME_GRACE;
        loop {
            let permit = timeout_at(until.into(), self.intake.pool.read_permit()).await;
            let Ok(permit) = permit else { return End::Stopping };
            match self.take_available(permit).await {
                Ok(true) if clock::now() < until => {}
                Ok(true) => return End::Stopping,
                Ok(false) => {
                    let deadline = if self.decoder.is_mid_frame() { until } else { clock::now() + LAST_CALL };
                    if timeout_at(deadline.min(until).into(), self.stream.readable()).await.is_err() {
                        return End::Stopping;
                    }
                }
                Err(end) => return end,
            }
        }
    }

    /// Reads once, non-blocking, and passes complete packets on; `false` when there was nothing to read.
    async fn take_available(&mut self, permit: ReadPermit<'_>) -> Result<bool, End> {
        let mut packets = self.intake.empty_list();
        let read = self.read(&mut packets);
        drop(permit);
        // Packets before a malformed frame are valid.
        if !self.intake.hand_over(packets).await {
            return Err(End::Stopping);
        }
        read
    }

    fn read(&mut self, packets: &mut Vec<Received>) -> Result<bool, End> {
        let mut scratch = self.intake.scratch.borrow_mut();
        match self.stream.try_read(&mut scratch) {
            Ok(0) => Err(End::Closed),
            Ok(count) => Ok(self.decode(&scratch[..count], packets).map(|()| true)?),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn decode(&mut self, bytes: &[u8], packets: &mut Vec<Received>) -> Result<(), FrameError> {
        let result = self.intake.decode(&mut self.decoder, bytes, packets);
        self.frame_began = match (self.decoder.is_mid_frame(), self.frame_began) {
            (false, _) => None,
            (true, Some(began)) if packets.is_empty() => Some(began),
            (true, _) => Some(clock::now()),
        };
        result
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::{TcpListener, TcpStream as Client};

    use tokio::task::{JoinSet, LocalSet};
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
                serving.spawn_local(serve(stream, permit, intake.clone(), phase.clone()));
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
