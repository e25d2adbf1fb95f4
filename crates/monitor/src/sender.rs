//! Sends test packets: one queue and one connection per first hop, so that a dead one does not delay others.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nym_mixnode_link::forwarder::{Forwarder, Line};
use nym_mixnode_link::shutdown::{PhaseControl, PhaseSignal, phases};
use nym_mixnode_mix::Scheduled;
use nym_mixnode_mix::outgoing::{DialRates, Settings};
use nym_mixnode_wire::BufferPool;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::packets::{HEADER, TestPacket};

/// Limits for first hops that get many packets. Packets beyond them are dropped, and the report counts them as lost.
const MANY: Settings = Settings {
    connect_timeout: Duration::from_millis(1500),
    backoff_initial: Duration::from_millis(250),
    backoff_max: Duration::from_secs(1),
    stale_after: Duration::from_secs(10),
    queue_packets_max: 256,
    budget_bytes: 256 << 20,
    next_hops_max: 1 << 16,
    idle_timeout: Duration::from_mins(5),
    // Rounds already spread the test packets.
    dial_rates: DialRates::UNLIMITED,
};
/// Limits for single packets: the packet is stale before a second attempt.
const ONE: Settings =
    Settings { backoff_initial: Duration::from_hours(1), backoff_max: Duration::from_hours(1), ..MANY };

/// Queues packets for their first hops without blocking. Dropping it closes all connections.
#[derive(Debug)]
pub(super) struct Sender {
    forwarder: Forwarder<Mutex<Line>>,
    /// Single packets that are being sent.
    single: JoinSet<()>,
    buffers: Arc<BufferPool>,
    phase: PhaseSignal,
    _running: PhaseControl,
}

impl Sender {
    pub(super) fn new() -> Self {
        let (running, phase) = phases();
        let forwarder = Forwarder::threaded(MANY, phase.clone());
        // A sender requests no read permits, so the size of its budget has no effect.
        let buffers = BufferPool::new(MANY.budget_bytes);
        Self { forwarder, single: JoinSet::new(), buffers, phase, _running: running }
    }

    /// Queues a packet. A full queue drops it: the peer reads more slowly than packets are sent.
    pub(super) fn send(&mut self, packet: &TestPacket) {
        self.forwarder.send(self.due(packet));
    }

    /// Sends a packet over a separate connection, with one attempt to connect.
    pub(super) fn send_once(&mut self, packet: &TestPacket) {
        while self.single.try_join_next().is_some() {}
        let mut forwarder = Forwarder::threaded(ONE, self.phase.clone());
        forwarder.send(self.due(packet));
        self.single.spawn(forwarder.drain());
    }

    /// Whether the queue of this first hop has capacity for another packet.
    pub(super) fn has_room(&self, first_hop: SocketAddr) -> bool {
        self.forwarder.has_room(first_hop)
    }

    /// Error of the last attempt to send to this first hop, if it failed.
    pub(super) fn trouble(&self, first_hop: SocketAddr) -> Option<String> {
        self.forwarder.trouble(first_hop)
    }

    fn due(&self, packet: &TestPacket) -> Scheduled {
        let next_hop = packet.first_hop;
        Scheduled { packet: self.buffers.take(HEADER, &packet.frame), next_hop, due: Instant::now().into_std() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt;
    use tokio::net::{TcpListener, TcpSocket, TcpStream};
    use tokio::time::timeout;

    const PATIENCE: Duration = Duration::from_secs(30);

    /// A packet for this first hop, filled with one byte.
    fn packet(first_hop: SocketAddr, fill: u8) -> TestPacket {
        let mut frame = Vec::new();
        HEADER.encode(&mut frame);
        frame.resize(HEADER.frame_len(), fill);
        TestPacket { tag: [fill; 16], frame, first_hop, delay: Duration::ZERO }
    }

    /// Reads packets and returns the last byte of each.
    async fn read(stream: &mut TcpStream, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count * HEADER.frame_len()];
        timeout(PATIENCE, stream.read_exact(&mut bytes)).await.unwrap().unwrap();
        bytes.chunks(HEADER.frame_len()).map(|frame| *frame.last().unwrap()).collect()
    }

    async fn accept(listener: &TcpListener) -> TcpStream {
        timeout(PATIENCE, listener.accept()).await.unwrap().unwrap().0
    }

    async fn listener() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address)
    }

    /// Bound and not listening: connections are refused, and no other program can take the port.
    fn dead() -> (TcpSocket, SocketAddr) {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = socket.local_addr().unwrap();
        (socket, address)
    }

    #[tokio::test]
    async fn packets_share_a_connection_and_a_closed_one_is_replaced() {
        let (listener, address) = listener().await;
        let mut sender = Sender::new();
        sender.send(&packet(address, 1));
        sender.send(&packet(address, 2));
        let mut stream = accept(&listener).await;
        assert_eq!(read(&mut stream, 2).await, [1, 2]);

        drop(stream);
        // Writes may still succeed until the sender notices the close, so keep sending as a prober does.
        let accepted = async {
            loop {
                sender.send(&packet(address, 3));
                if let Ok(accepted) = timeout(Duration::from_millis(50), listener.accept()).await {
                    return accepted.unwrap().0;
                }
            }
        };
        let mut stream = timeout(PATIENCE, accepted).await.unwrap();
        assert_eq!(read(&mut stream, 1).await, [3]);
    }

    #[tokio::test]
    async fn a_full_queue_is_detected_before_a_packet_is_dropped() {
        let (listener, address) = listener().await;
        let mut sender = Sender::new();
        // The task that empties the queue does not run before this test awaits.
        for queued in 0..MANY.queue_packets_max {
            assert!(sender.has_room(address), "only {queued} queued");
            sender.send(&packet(address, 7));
        }
        assert!(!sender.has_room(address));
        assert!(sender.has_room("127.0.0.1:1".parse().unwrap()), "another first hop");
        let mut stream = accept(&listener).await;
        assert_eq!(read(&mut stream, MANY.queue_packets_max).await, vec![7; MANY.queue_packets_max]);
        assert!(sender.has_room(address), "all of them are out");
    }

    #[tokio::test]
    async fn a_refused_connection_is_reported_and_does_not_delay_other_peers() {
        let (listener, alive) = listener().await;
        let (_dead, dead) = dead();
        let mut sender = Sender::new();
        sender.send(&packet(dead, 1));
        sender.send(&packet(alive, 2));
        let mut stream = accept(&listener).await;
        assert_eq!(read(&mut stream, 1).await, [2]);
        let reported = async {
            while sender.trouble(dead).is_none() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(PATIENCE, reported).await.unwrap();
        assert!(sender.trouble(dead).unwrap().contains(&dead.to_string()));
        assert_eq!(sender.trouble(alive), None);
    }

    #[tokio::test]
    async fn a_single_packet_has_a_connection_of_its_own_that_is_closed_behind_it() {
        let (listener, address) = listener().await;
        let mut sender = Sender::new();
        for fill in 1..=2 {
            sender.send_once(&packet(address, fill));
            let mut stream = accept(&listener).await;
            assert_eq!(read(&mut stream, 1).await, [fill]);
            assert_eq!(timeout(PATIENCE, stream.read(&mut [0])).await.unwrap().unwrap(), 0);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_single_packet_for_a_dead_peer_is_given_up() {
        let (_dead, address) = dead();
        let mut sender = Sender::new();
        sender.send_once(&packet(address, 1));
        timeout(PATIENCE, sender.single.join_next()).await.unwrap().unwrap().unwrap();
        assert_eq!(sender.buffers.packets_in_flight(), 0);
    }
}
