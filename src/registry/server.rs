//! Connections of the registry: how many, how long, and how they end.

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
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tower::ServiceExt;
use tracing::{debug, warn};

use super::RegistryError;

/// Connections at one time, over all addresses; more wait in the kernel's queue.
const CONNECTIONS_MAX: usize = 1024;

/// A request's head must be whole within this; an idle connection is closed after it, too.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// A connection is asked to end after this, so that none can hold its place for ever.
const LIFETIME: Duration = Duration::from_mins(2);

/// What an ending connection has left to finish its request.
const GRACE: Duration = Duration::from_secs(5);

const LISTEN_BACKLOG: i32 = 1024;
const ACCEPT_BACKOFF_MIN: Duration = Duration::from_millis(5);
const ACCEPT_BACKOFF_MAX: Duration = Duration::from_secs(1);

/// The other end of the connection that a request came on, an extension of every request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer(pub(super) IpAddr);

/// Bound listeners.
#[derive(Debug)]
pub(super) struct Server {
    listeners: Vec<TcpListener>,
    addresses: Vec<SocketAddr>,
}

impl Server {
    /// Binds all of these addresses, or none. Needs a Tokio runtime.
    pub(super) fn bind(addresses: &[SocketAddr]) -> Result<Self, RegistryError> {
        // `[::]` alone takes IPv4, too; beside an IPv4 address it must not, or they exclude each other.
        let v6_only = addresses.iter().any(SocketAddr::is_ipv4);
        let mut server = Self { listeners: Vec::new(), addresses: Vec::new() };
        for &address in addresses {
            let listener = listen(address, v6_only).map_err(|source| RegistryError::Listen { address, source })?;
            server.addresses.push(listener.local_addr().unwrap_or(address));
            server.listeners.push(listener);
        }
        Ok(server)
    }

    pub(super) fn local_addrs(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Serves until `stop` completes and the last request has been answered or given up.
    pub(super) async fn serve(self, router: Router, stop: impl Future<Output = ()>) {
        let (stopping, stopped) = watch::channel(false);
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let mut listeners = JoinSet::new();
        for listener in self.listeners {
            listeners.spawn(accept(listener, router.clone(), Arc::clone(&places), stopped.clone()));
        }
        stop.await;
        stopping.send_replace(true);
        while listeners.join_next().await.is_some() {}
    }
}

fn listen(address: SocketAddr, v6_only: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(v6_only)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(LISTEN_BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Accepts until it is told to stop, then waits for its connections.
async fn accept(listener: TcpListener, router: Router, places: Arc<Semaphore>, mut stopped: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    let mut backoff = ACCEPT_BACKOFF_MIN;
    loop {
        let next = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (place, listener.accept().await)
        };
        tokio::select! {
            () = until_stopped(&mut stopped) => break,
            Some(_) = connections.join_next() => {}
            (place, accepted) = next => match accepted {
                Ok((stream, peer)) => {
                    backoff = ACCEPT_BACKOFF_MIN;
                    let connection = serve_connection(stream, peer, router.clone(), stopped.clone());
                    connections.spawn(async move {
                        connection.await;
                        drop(place);
                    });
                }
                Err(error) => {
                    warn!(%error, "cannot accept a connection");
                    sleep(backoff).await;
                    backoff = (backoff * 2).min(ACCEPT_BACKOFF_MAX);
                }
            }
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

async fn serve_connection(stream: TcpStream, peer: SocketAddr, router: Router, mut stopped: watch::Receiver<bool>) {
    let peer = Peer(peer.ip().to_canonical());
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(peer);
        router.clone().oneshot(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
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
        () = sleep(LIFETIME) => {}
    }
    connection.as_mut().graceful_shutdown();
    if timeout(GRACE, connection).await.is_err() {
        debug!("connection cut off: its request took too long");
    }
}

/// Completes when the server stops, or is gone.
async fn until_stopped(stopped: &mut watch::Receiver<bool>) {
    stopped.wait_for(|stopped| *stopped).await.ok();
}
