//! Receives returning test packets: the prober, as a gateway, unwraps the last layer and reads the tag.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nym_mixnode_base::backoff::Backoff;
use nym_mixnode_net::socket;
use nym_mixnode_sphinx::{Engine, HEADER_LEN, Outcome, UnwrapError, plaintext};
use nym_mixnode_wire::FrameDecoder;
use thiserror::Error;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use zeroize::Zeroizing;

use super::packets::{Tag, tag_of};

/// Connection limit over all listeners; further connections wait in the backlog.
const CONNECTIONS_MAX: usize = 1024;
/// Idle timeout of a connection.
const IDLE_LIMIT: Duration = Duration::from_mins(10);
const READ_BUFFER_BYTES: usize = 32 * 1024;
/// Queue length of returned packets; a full queue slows the senders down.
const ARRIVALS_MAX: usize = 1024;

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
    /// Whether a peer has ever connected, for each listener.
    connected: Vec<Arc<AtomicBool>>,
    _listeners: JoinSet<()>,
}

impl Receiver {
    /// Listens on all addresses (port 0: any free one), IPv4 and IPv6 separately.
    pub(super) fn bind(addresses: &[SocketAddr], private: &Zeroizing<[u8; 32]>) -> Result<Self, BindError> {
        let (sender, arrivals) = mpsc::channel(ARRIVALS_MAX);
        let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let mut bound = Vec::with_capacity(addresses.len());
        let mut connected = Vec::with_capacity(addresses.len());
        let mut tasks = JoinSet::new();
        for &address in addresses {
            let fail = |reason| BindError { address, reason };
            // `[::]` must not include IPv4: the families are tested separately.
            let listener = socket::listen(address, true).and_then(TcpListener::from_std).map_err(fail)?;
            bound.push(listener.local_addr().map_err(fail)?);
            let flag = Arc::new(AtomicBool::new(false));
            connected.push(Arc::clone(&flag));
            let connection = Connection { private: private.clone(), arrivals: sender.clone(), connected: flag };
            tasks.spawn(accept_all(listener, Arc::clone(&permits), connection));
        }
        Ok(Self { arrivals, bound, connected, _listeners: tasks })
    }

    /// Bound addresses, in the order of the request.
    pub(super) fn bound(&self) -> &[SocketAddr] {
        &self.bound
    }

    /// Whether a peer has ever connected to the listener with this index.
    pub(super) fn was_connected(&self, listener: usize) -> bool {
        self.connected.get(listener).is_some_and(|connected| connected.load(Ordering::Relaxed))
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

/// Accepts connections until it is aborted; its connections end with it.
async fn accept_all(listener: TcpListener, permits: Arc<Semaphore>, connection: Connection) {
    let mut connections = JoinSet::new();
    let mut backoff = Backoff::for_accepting();
    // The semaphore is never closed.
    while let Ok(permit) = Arc::clone(&permits).acquire_owned().await {
        match listener.accept().await {
            Ok((stream, _)) => {
                backoff.reset();
                connection.connected.store(true, Ordering::Relaxed);
                let connection = connection.clone();
                connections.spawn(async move {
                    connection.serve(stream).await;
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::debug!(%error, "cannot accept a connection");
                sleep(backoff.wait()).await;
            }
        }
        while connections.try_join_next().is_some() {}
    }
}

/// Resources of each incoming connection.
#[derive(Clone)]
struct Connection {
    private: Zeroizing<[u8; 32]>,
    arrivals: mpsc::Sender<Arrival>,
    connected: Arc<AtomicBool>,
}

impl Connection {
    /// Reads packets until the peer closes, is idle too long, or sends a malformed frame.
    async fn serve(self, mut stream: TcpStream) {
        let mut decoder = FrameDecoder::default();
        let mut buffer = vec![0; READ_BUFFER_BYTES];
        let mut tags = Vec::new();
        while let Ok(Ok(len @ 1..)) = timeout(IDLE_LIMIT, stream.read(&mut buffer)).await {
            let at = Instant::now();
            let fed = decoder.feed(&buffer[..len], |header, frame| {
                tags.extend(unwrap_tag(&frame[header.framing.header_len()..], &self.private));
            });
            for tag in tags.drain(..) {
                if self.arrivals.send(Arrival { tag, at }).await.is_err() {
                    return;
                }
            }
            if fed.is_err() {
                return;
            }
        }
    }
}

/// Unwraps the last layer; `None` for all but complete test packets that end here.
fn unwrap_tag(packet: &[u8], private: &[u8; 32]) -> Option<Tag> {
    let (mut batch, mut outcomes) = ([packet.to_vec()], Vec::<Outcome<UnwrapError>>::with_capacity(1));
    Engine::new(*private).unwrap_batch(&mut batch, &mut outcomes, |_| Ok(()));
    match outcomes[..] {
        [Outcome::Final { .. }] => tag_of(plaintext(&batch[0][HEADER_LEN..])?),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::ProberKeys;
    use crate::packets::{MixDelays, TestPacket};
    use nym_mixnode_sphinx::Hop;
    use tokio::io::AsyncWriteExt;

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
