//! Serving HTTP: how many connections there are, how long each may take, and how they end.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tower::ServiceExt;
use tracing::{debug, warn};

use crate::backoff::Backoff;
use crate::listener::{ConnectionLimits, Permit};
use crate::socket;

/// A request's head is no longer than this.
const HEAD_BYTES_MAX: usize = 16 << 10;

/// What a server grants its clients.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Connections at one time, over all addresses; more wait in the kernel's queue.
    pub(crate) connections_max: usize,
    /// Of these, what one IPv4 address or one IPv6 /64 may have; more are closed as soon as they are accepted, for in
    /// the queue they would be in the way of everybody else.
    pub(crate) connections_per_place_max: usize,
    /// A request's head must be whole within this; an idle connection is closed after it, too.
    pub(crate) head_timeout: Duration,
    /// A connection is asked to end after this, so that none can hold its place for ever.
    pub(crate) lifetime: Duration,
    /// What an ending connection has left to finish its request.
    pub(crate) grace: Duration,
}

/// An address that cannot be listened on.
#[derive(Debug)]
pub(crate) struct ListenError {
    pub(crate) address: SocketAddr,
    pub(crate) source: io::Error,
}

/// The other end of the connection that a request came on, an extension of every request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) IpAddr);

/// Bound listeners.
#[derive(Debug)]
pub(crate) struct Server {
    listeners: Vec<TcpListener>,
    addresses: Vec<SocketAddr>,
    limits: Limits,
}

impl Server {
    /// Binds all of these addresses, or none; `[::]` is [what it is everywhere](socket::listen_beside). Needs a Tokio
    /// runtime.
    pub(crate) fn bind(addresses: &[SocketAddr], limits: Limits) -> Result<Self, ListenError> {
        let mut server = Self { listeners: Vec::new(), addresses: Vec::new(), limits };
        for &address in addresses {
            let listening = socket::listen_beside(address, addresses);
            let listener = listening.and_then(|listener| listener.map(TcpListener::from_std).transpose());
            let Some(listener) = listener.map_err(|source| ListenError { address, source })? else { continue };
            server.addresses.push(listener.local_addr().unwrap_or(address));
            server.listeners.push(listener);
        }
        Ok(server)
    }

    pub(crate) fn local_addrs(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Serves until `stop` completes and the last request has been answered or given up.
    pub(crate) async fn serve(self, router: Router, stop: impl Future<Output = ()>) {
        let (stopping, stopped) = watch::channel(false);
        let places = Places::new(&self.limits);
        let mut listeners = JoinSet::new();
        for listener in self.listeners {
            let service = Service { router: router.clone(), limits: self.limits, stopped: stopped.clone() };
            listeners.spawn(accept(listener, service, places.clone()));
        }
        stop.await;
        stopping.send_replace(true);
        while listeners.join_next().await.is_some() {}
    }
}

/// What each connection needs.
#[derive(Debug, Clone)]
struct Service {
    router: Router,
    limits: Limits,
    stopped: watch::Receiver<bool>,
}

/// The right to be connected, over all listeners.
#[derive(Debug, Clone)]
struct Places {
    free: Arc<Semaphore>,
    shares: Arc<ConnectionLimits>,
}

impl Places {
    fn new(limits: &Limits) -> Self {
        Self {
            free: Arc::new(Semaphore::new(limits.connections_max)),
            shares: ConnectionLimits::new(limits.connections_max, limits.connections_per_place_max),
        }
    }

    /// The next connection, once there is room for one; without a share when its address has had its own.
    async fn accept(&self, listener: &TcpListener) -> io::Result<(TcpStream, IpAddr, Option<Place>)> {
        let free = Arc::clone(&self.free).acquire_owned().await.map_err(io::Error::other)?;
        let (stream, peer) = listener.accept().await?;
        let ip = peer.ip().to_canonical();
        let place = self.shares.admit(ip).map(|share| Place { _share: share, _free: free });
        Ok((stream, ip, place))
    }
}

/// One connection's place, given back when dropped: the share first, so that who finds a place free finds it counted.
#[derive(Debug)]
struct Place {
    _share: Permit,
    _free: OwnedSemaphorePermit,
}

/// Accepts until it is told to stop, then waits for its connections.
async fn accept(listener: TcpListener, service: Service, places: Places) {
    let mut stopped = service.stopped.clone();
    let mut connections = JoinSet::new();
    let mut backoff = Backoff::for_accepting();
    loop {
        tokio::select! {
            () = until_stopped(&mut stopped) => break,
            Some(_) = connections.join_next() => {}
            accepted = places.accept(&listener) => match accepted {
                Ok((_, _, None)) => debug!("connection refused: its address has all that one may have"),
                Ok((stream, peer, Some(place))) => {
                    backoff.reset();
                    let connection = serve_connection(stream, peer, service.clone());
                    connections.spawn(async move {
                        connection.await;
                        drop(place);
                    });
                }
                Err(error) => {
                    warn!(%error, "cannot accept a connection");
                    sleep(backoff.wait()).await;
                }
            }
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

async fn serve_connection(stream: TcpStream, peer: IpAddr, service: Service) {
    let Service { router, limits, mut stopped } = service;
    let peer = Peer(peer);
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(peer);
        router.clone().oneshot(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_timeout)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    tokio::select! {
        ended = connection.as_mut() => {
            if let Err(error) = ended {
                debug!(%error, "connection ended early");
            }
            return;
        }
        () = until_stopped(&mut stopped) => {}
        () = sleep(limits.lifetime) => {}
    }
    connection.as_mut().graceful_shutdown();
    if timeout(limits.grace, connection).await.is_err() {
        debug!("connection cut off: its request took too long");
    }
}

/// Completes when the server stops, or is gone.
async fn until_stopped(stopped: &mut watch::Receiver<bool>) {
    stopped.wait_for(|stopped| *stopped).await.ok();
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpSocket;

    const PATIENCE: Duration = Duration::from_mins(1);
    const LIMITS: Limits = Limits {
        connections_max: 8,
        connections_per_place_max: 3,
        head_timeout: Duration::from_hours(1),
        lifetime: Duration::from_hours(1),
        grace: Duration::from_secs(1),
    };

    async fn connect(from: &str, to: SocketAddr) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(from.parse().unwrap()).unwrap();
        socket.connect(to).await.unwrap()
    }

    /// What comes back for a whole request until the connection ends: nothing from a server that refuses it.
    async fn ask(from: &str, to: SocketAddr) -> String {
        let mut connection = connect(from, to).await;
        // A refused connection may be gone already.
        drop(connection.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await);
        let mut reply = Vec::new();
        drop(timeout(PATIENCE, connection.read_to_end(&mut reply)).await.unwrap());
        String::from_utf8(reply).unwrap()
    }

    #[tokio::test]
    async fn who_holds_all_places_of_one_address_keeps_out_nobody_else() {
        const HOLDER: &str = "127.0.0.2:0";
        const OTHER: &str = "127.0.0.1:0";
        let server = Server::bind(&[OTHER.parse().unwrap()], LIMITS).unwrap();
        let address = server.local_addrs()[0];
        let router = Router::new().route("/", get(|| async { "here" }));
        let serving = tokio::spawn(server.serve(router, std::future::pending()));
        let mut held = Vec::new();
        for _ in 0..LIMITS.connections_per_place_max {
            held.push(connect(HOLDER, address).await);
        }
        // Taken in the order in which they came; more of them than there are places in all.
        for _ in 0..2 * LIMITS.connections_max {
            assert_eq!(ask(HOLDER, address).await, "", "refused at once, not left waiting in the queue");
            assert!(ask(OTHER, address).await.ends_with("here"));
        }
        held.clear();
        let answered = async { while !ask(HOLDER, address).await.ends_with("here") {} };
        timeout(PATIENCE, answered).await.expect("the places come back");
        serving.abort();
    }
}
