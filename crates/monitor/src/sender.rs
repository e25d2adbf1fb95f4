//! Sends test packets: one task and one persistent connection per first hop, so that a dead one does not delay others.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Queue length per first hop. Frames beyond it are dropped, and the report counts them as lost.
const QUEUE_FRAMES_MAX: usize = 256;
const CONNECT_TIMEOUT: Duration = Duration::from_millis(1500);
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// Idle time after which the task and connection of a first hop end.
const IDLE_LIMIT: Duration = Duration::from_mins(5);

/// Queues frames for their first hops without blocking.
#[derive(Debug, Default)]
pub(super) struct Sender {
    peers: HashMap<SocketAddr, Peer>,
    tasks: JoinSet<()>,
}

#[derive(Debug)]
struct Peer {
    frames: mpsc::Sender<Vec<u8>>,
    trouble: watch::Receiver<Option<String>>,
}

impl Sender {
    /// Queues a frame. A full queue drops it: the peer reads more slowly than packets are sent.
    pub(super) fn send(&mut self, first_hop: SocketAddr, frame: Vec<u8>) {
        let Some(peer) = self.peers.get(&first_hop) else {
            return self.send_first(first_hop, frame);
        };
        match peer.frames.try_send(frame) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Closed(frame)) => self.send_first(first_hop, frame),
            Err(mpsc::error::TrySendError::Full(_)) => tracing::debug!(%first_hop, "queue full; test packet dropped"),
        }
    }

    /// Sends a frame over a separate connection.
    pub(super) fn send_once(&mut self, first_hop: SocketAddr, frame: Vec<u8>) {
        while self.tasks.try_join_next().is_some() {}
        self.tasks.spawn(async move {
            if let Err(error) = deliver(first_hop, &mut None, &frame).await {
                tracing::debug!(%error, "cannot send a test packet");
            }
        });
    }

    /// Whether the queue of this first hop has capacity for another frame.
    pub(super) fn has_room(&self, first_hop: SocketAddr) -> bool {
        self.peers.get(&first_hop).is_none_or(|peer| peer.frames.is_closed() || peer.frames.capacity() > 0)
    }

    /// Error of the last attempt to send to this first hop, if it failed.
    pub(super) fn trouble(&self, first_hop: SocketAddr) -> Option<String> {
        self.peers.get(&first_hop)?.trouble.borrow().clone()
    }

    fn send_first(&mut self, first_hop: SocketAddr, frame: Vec<u8>) {
        while self.tasks.try_join_next().is_some() {}
        let (frames, queue) = mpsc::channel(QUEUE_FRAMES_MAX);
        let (trouble_sender, trouble) = watch::channel(None);
        // A new queue has a capacity of at least one.
        drop(frames.try_send(frame));
        self.tasks.spawn(serve(first_hop, queue, trouble_sender));
        self.peers.insert(first_hop, Peer { frames, trouble });
    }
}

/// Writes frames to one first hop until the queue is idle too long or the prober is dropped.
async fn serve(address: SocketAddr, mut queue: mpsc::Receiver<Vec<u8>>, trouble: watch::Sender<Option<String>>) {
    let mut connection = None;
    loop {
        let frame = match timeout(IDLE_LIMIT, next_frame(&mut queue, &mut connection)).await {
            Ok(Some(frame)) => frame,
            Ok(None) => return,
            Err(_) => {
                // Frames queued concurrently are still delivered: a closed queue returns its remaining frames before
                // `None`.
                queue.close();
                continue;
            }
        };
        let written = deliver(address, &mut connection, &frame).await;
        trouble.send_replace(written.err().map(|error| error.to_string()));
    }
}

/// Returns the next frame; meanwhile watches the idle connection, so that no frame is written to a closed one.
async fn next_frame(queue: &mut mpsc::Receiver<Vec<u8>>, connection: &mut Option<TcpStream>) -> Option<Vec<u8>> {
    loop {
        let Some(stream) = connection else { return queue.recv().await };
        let mut byte = [0];
        tokio::select! {
            frame = queue.recv() => return frame,
            // Mixes never reply: readable data means that the connection has ended or the peer is not a mix.
            _ = stream.read(&mut byte) => *connection = None,
        }
    }
}

/// Writes a frame, over a new connection unless the current one works.
async fn deliver(address: SocketAddr, connection: &mut Option<TcpStream>, frame: &[u8]) -> io::Result<()> {
    if let Some(stream) = connection
        && write(stream, frame).await.is_ok()
    {
        return Ok(());
    }
    *connection = None;
    let mut stream = connect(address).await?;
    write(&mut stream, frame).await?;
    *connection = Some(stream);
    Ok(())
}

async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let explain = |error: io::Error| io::Error::new(error.kind(), format!("cannot connect to {address}: {error}"));
    let stream = timeout(CONNECT_TIMEOUT, TcpStream::connect(address))
        .await
        .unwrap_or_else(|_| Err(io::Error::new(io::ErrorKind::TimedOut, "no response")))
        .map_err(explain)?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

async fn write(stream: &mut TcpStream, frame: &[u8]) -> io::Result<()> {
    timeout(WRITE_TIMEOUT, stream.write_all(frame))
        .await
        .unwrap_or_else(|_| Err(io::Error::new(io::ErrorKind::TimedOut, "the peer does not read")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    const PATIENCE: Duration = Duration::from_secs(30);

    async fn read_exactly(stream: &mut TcpStream, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        timeout(PATIENCE, stream.read_exact(&mut bytes)).await.unwrap().unwrap();
        bytes
    }

    #[tokio::test]
    async fn frames_share_a_connection_and_a_closed_one_is_replaced() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut sender = Sender::default();
        sender.send(address, vec![1; 10]);
        sender.send(address, vec![2; 10]);
        let (mut stream, _) = listener.accept().await.unwrap();
        assert_eq!(read_exactly(&mut stream, 20).await, [vec![1; 10], vec![2; 10]].concat());

        drop(stream);
        // Writes may still succeed until the sender notices the close, so keep sending as a prober does.
        let accepted = async {
            loop {
                sender.send(address, vec![3; 10]);
                if let Ok(accepted) = timeout(Duration::from_millis(50), listener.accept()).await {
                    return accepted.unwrap().0;
                }
            }
        };
        let mut stream = timeout(PATIENCE, accepted).await.unwrap();
        assert_eq!(read_exactly(&mut stream, 10).await, vec![3; 10]);
    }

    #[tokio::test]
    async fn a_full_queue_is_detected_before_a_frame_is_dropped() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut sender = Sender::default();
        // The task that empties the queue does not run before this test awaits.
        for queued in 0..QUEUE_FRAMES_MAX {
            assert!(sender.has_room(address), "only {queued} queued");
            sender.send(address, vec![7; 10]);
        }
        assert!(!sender.has_room(address));
        assert!(sender.has_room("127.0.0.1:1".parse().unwrap()), "another first hop");
        let (mut stream, _) = timeout(PATIENCE, listener.accept()).await.unwrap().unwrap();
        assert_eq!(read_exactly(&mut stream, 10 * QUEUE_FRAMES_MAX).await, vec![7; 10 * QUEUE_FRAMES_MAX]);
        assert!(sender.has_room(address), "all of them are out");
    }

    #[tokio::test]
    async fn a_refused_connection_is_reported_and_does_not_delay_other_peers() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let alive = listener.local_addr().unwrap();
        // Bound and not listening: connections are refused, and no other program can take the port.
        let dead_socket = tokio::net::TcpSocket::new_v4().unwrap();
        dead_socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let dead = dead_socket.local_addr().unwrap();
        let mut sender = Sender::default();
        sender.send(dead, vec![1; 10]);
        sender.send(alive, vec![2; 10]);
        let (mut stream, _) = timeout(PATIENCE, listener.accept()).await.unwrap().unwrap();
        assert_eq!(read_exactly(&mut stream, 10).await, vec![2; 10]);
        let reported = async {
            while sender.trouble(dead).is_none() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(PATIENCE, reported).await.unwrap();
        assert!(sender.trouble(dead).unwrap().contains(&dead.to_string()));
        assert_eq!(sender.trouble(alive), None);
    }
}
