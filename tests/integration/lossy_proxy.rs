//! A proxy in front of a node that damages connections: it swallows bytes, and cuts.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// Bytes of which one part is passed on, swallowed, or the last of its connection.
const PART_LEN: usize = 8 << 10;

/// The proxy. Dropping it ends its connections.
pub(crate) struct LossyProxy {
    pub(crate) address: SocketAddr,
    state: Arc<State>,
    _tasks: JoinSet<()>,
}

/// What the proxy does, and what it has done.
#[derive(Default)]
struct State {
    /// Of a hundred parts.
    lost_percent: AtomicU64,
    lost: AtomicU64,
    passed: AtomicU64,
}

impl LossyProxy {
    /// Starts without loss, for the node at this address.
    pub(crate) async fn start(node: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (state, mut tasks) = (Arc::<State>::default(), JoinSet::new());
        let own = Arc::clone(&state);
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((incoming, _)) = listener.accept().await {
                let state = Arc::clone(&own);
                connections.spawn(async move { pass(incoming, node, &state).await.unwrap_or_default() });
                while connections.try_join_next().is_some() {}
            }
        });
        Self { address, state, _tasks: tasks }
    }

    /// From now on, this percentage of the bytes is lost.
    pub(crate) fn lose(&self, percent: u64) {
        self.state.lost_percent.store(percent, Ordering::Relaxed);
    }

    /// Parts that were lost, and passed on, since the loss began.
    pub(crate) fn parts(&self) -> (u64, u64) {
        (self.state.lost.load(Ordering::Relaxed), self.state.passed.load(Ordering::Relaxed))
    }
}

/// Passes bytes on to the node. Nodes send none back.
async fn pass(mut incoming: TcpStream, node: SocketAddr, state: &State) -> std::io::Result<()> {
    let mut outgoing = TcpStream::connect(node).await?;
    let mut part = vec![0; PART_LEN];
    loop {
        let len = tokio::select! {
            len = incoming.read(&mut part) => len?,
            // The node has closed the connection.
            _ = outgoing.readable() => return Ok(()),
        };
        if len == 0 {
            return Ok(());
        }
        let percent = state.lost_percent.load(Ordering::Relaxed);
        if rand::random_range(0..100) < percent {
            state.lost.fetch_add(1, Ordering::Relaxed);
            // Without its bytes, what follows is no frame for the node, which then closes the connection itself.
            if rand::random() {
                return Ok(());
            }
            continue;
        }
        if percent > 0 {
            state.passed.fetch_add(1, Ordering::Relaxed);
        }
        outgoing.write_all(&part[..len]).await?;
    }
}
