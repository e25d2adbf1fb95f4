//! Receives returning test packets: the prober, as a gateway, unwraps the last layer and reads the tag.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use nym_mixnode_link::listener::{self, ConnectionLimits, Intake};
use nym_mixnode_link::shutdown::{PhaseControl, phases};
use nym_mixnode_mix::Received;
use nym_mixnode_net::socket;
use nym_mixnode_sphinx::{Engine, HEADER_LEN, Outcome, UnwrapError, plaintext};
use nym_mixnode_wire::{BufferPool, Deadlines};
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::packets::{Tag, tag_of};

/// Connection limit over all listeners. Each of 10 000 nodes may keep one over IPv4 and one over IPv6.
const CONNECTIONS_MAX: usize = 20_480;
const DEADLINES: Deadlines = Deadlines { frame: Duration::from_mins(1), idle: Duration::from_mins(10) };
/// Byte budget of packets that are not unwrapped yet. While it is spent, connections are not read.
const BUDGET_BYTES: usize = 16 << 20;
/// Length of the queues of connections and packets; full queues slow the senders down.
const QUEUE_MAX: usize = 1024;
/// Packets unwrapped at once.
const BATCH_MAX: usize = 32;

/// Unwrapped packet for this prober.
#[derive(Debug, Clone, Copy)]
pub(super) struct Arrival {
    pub(super) tag: Tag,
    /// When its last byte was read, before it was unwrapped.
    pub(super) at: Instant,
}

/// Error while binding a listen address.
#[derive(Debug, Error)]
#[error("cannot listen for returning packets on {address}: {reason}{}", advice(.reason))]
pub struct BindError {
    /// Address as given.
    pub address: SocketAddr,
    /// Underlying I/O error.
    #[source]
    pub reason: io::Error,
}

fn advice(reason: &io::Error) -> &'static str {
    if socket::is_unknown_family(reason) { "; this machine has no IPv6: pass an IPv4 address with --host" } else { "" }
}

/// Listens, unwraps packets and queues them. Dropping it closes the listeners and all connections.
#[derive(Debug)]
pub(super) struct Receiver {
    arrivals: mpsc::Receiver<Arrival>,
    bound: Vec<SocketAddr>,
    /// Counters of each listener.
    counters: Vec<Arc<listener::Counters>>,
    _tasks: JoinSet<()>,
    _running: PhaseControl,
}

impl Receiver {
    /// Listens on all addresses (port 0: any free one), IPv4 and IPv6 separately.
    pub(super) fn bind(addresses: &[SocketAddr], private: &Zeroizing<[u8; 32]>) -> Result<Self, BindError> {
        let (running, phase) = phases();
        let (admitted, connections) = mpsc::channel(QUEUE_MAX);
        let (packets, received) = mpsc::channel(QUEUE_MAX);
        let (sender, arrivals) = mpsc::channel(QUEUE_MAX);
        let limits = ConnectionLimits::new(CONNECTIONS_MAX, CONNECTIONS_MAX);
        let (mut bound, mut counters, mut tasks) = (Vec::new(), Vec::new(), JoinSet::new());
        for &address in addresses {
            let fail = |reason| BindError { address, reason };
            // `[::]` must not include IPv4: the families are tested separately.
            let listener = socket::listen(address, true).and_then(TcpListener::from_std).map_err(fail)?;
            bound.push(listener.local_addr().map_err(fail)?);
            let counts = Arc::<listener::Counters>::default();
            counters.push(Arc::clone(&counts));
            tasks.spawn(listener::accept(listener, Arc::clone(&limits), vec![admitted.clone()], counts, phase.clone()));
        }
        let intake = Intake::new(BufferPool::new(BUDGET_BYTES), packets, DEADLINES, Arc::default());
        tasks.spawn(listener::serve_all(connections, move |open, admitted| {
            open.spawn(listener::serve(admitted, intake.clone(), phase.clone()));
        }));
        tasks.spawn(unwrap_all(received, Engine::with_shared_key(private.clone()), sender));
        Ok(Self { arrivals, bound, counters, _tasks: tasks, _running: running })
    }

    /// Bound addresses, in the order of the request.
    pub(super) fn bound(&self) -> &[SocketAddr] {
        &self.bound
    }

    /// Whether a peer has ever connected to the listener with this index.
    pub(super) fn was_connected(&self, listener: usize) -> bool {
        self.counters.get(listener).is_some_and(|counters| counters.accepted() > 0)
    }

    /// Waits for the next packet for this prober. Cancel-safe.
    pub(super) async fn next(&mut self) -> Arrival {
        match self.arrivals.recv().await {
            Some(arrival) => arrival,
            // Only happens without listeners; no packet can arrive then.
            None => std::future::pending().await,
        }
    }
}

/// Unwraps the last layer of all packets, and queues those that are for this prober.
async fn unwrap_all(mut received: mpsc::Receiver<Received>, mut engine: Engine, arrivals: mpsc::Sender<Arrival>) {
    let (mut batch, mut outcomes) = (Vec::with_capacity(BATCH_MAX), Vec::<Outcome<UnwrapError>>::new());
    while received.recv_many(&mut batch, BATCH_MAX).await > 0 {
        let (mut packets, times): (Vec<_>, Vec<_>) =
            batch.drain(..).map(|Received { packet, at }| (packet, at)).unzip();
        engine.unwrap_batch(&mut packets, &mut outcomes, |_| Ok(()));
        for ((packet, at), outcome) in packets.iter().zip(times).zip(&outcomes) {
            let Some(tag) = tag(packet.packet(), outcome) else { continue };
            if arrivals.send(Arrival { tag, at: at.into() }).await.is_err() {
                return;
            }
        }
    }
}

/// The tag of an unwrapped packet; `None` for all but complete test packets that end here.
fn tag(packet: &[u8], outcome: &Outcome<UnwrapError>) -> Option<Tag> {
    match outcome {
        Outcome::Final { .. } => tag_of(plaintext(&packet[HEADER_LEN..])?),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::ProberKeys;
    use crate::packets::{MixDelays, TestPacket};
    use nym_mixnode_sphinx::Hop;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;
    use tokio::time::timeout;

    /// Packet whose only mix and final hop are both the prober, with the first layer removed.
    fn returning_frame(keys: &ProberKeys) -> (Tag, Vec<u8>) {
        let hop = Hop { address: "127.0.0.1:1".parse().unwrap(), sphinx_key: keys.sphinx_public };
        let packet = TestPacket::build(&[hop], hop, &MixDelays::with_mean(Duration::ZERO)).unwrap();
        let (mut batch, mut outcomes) = ([packet.frame[2..].to_vec()], Vec::<Outcome<UnwrapError>>::new());
        Engine::new(*keys.sphinx_private).unwrap_batch(&mut batch, &mut outcomes, |_| Ok(()));
        assert!(matches!(outcomes[..], [Outcome::Forward { .. }]), "{outcomes:?}");
        (packet.tag, [&packet.frame[..2], &batch[0]].concat())
    }

    #[tokio::test]
    async fn a_packet_in_two_pieces_arrives_once_and_junk_before_it_is_ignored() {
        let keys = ProberKeys::generate().unwrap();
        let mut receiver = Receiver::bind(&["127.0.0.1:0".parse().unwrap()], &keys.sphinx_private).unwrap();
        let (tag, frame) = returning_frame(&keys);
        let mut stream = TcpStream::connect(receiver.bound()[0]).await.unwrap();
        let mut damaged = frame.clone();
        damaged[100] ^= 1;
        stream.write_all(&damaged).await.unwrap();
        stream.write_all(&frame[..1000]).await.unwrap();
        stream.flush().await.unwrap();
        stream.write_all(&frame[1000..]).await.unwrap();
        let arrival = timeout(Duration::from_secs(30), receiver.next()).await.unwrap();
        assert_eq!(arrival.tag, tag);
        assert!(receiver.was_connected(0) && !receiver.was_connected(1));
    }

    #[tokio::test]
    async fn malformed_frames_close_the_connection() {
        let keys = ProberKeys::generate().unwrap();
        let receiver = Receiver::bind(&["127.0.0.1:0".parse().unwrap()], &keys.sphinx_private).unwrap();
        let mut stream = TcpStream::connect(receiver.bound()[0]).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        // A reset or an orderly close: both end the stream.
        let read = timeout(Duration::from_secs(30), stream.read(&mut [0; 16])).await.unwrap();
        assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
    }

    #[tokio::test]
    async fn a_taken_port_is_named() {
        let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = taken.local_addr().unwrap();
        let keys = ProberKeys::generate().unwrap();
        let error = Receiver::bind(&[address], &keys.sphinx_private).unwrap_err();
        assert!(error.to_string().contains(&address.to_string()), "{error}");
    }
}
