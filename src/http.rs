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
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tower::ServiceExt;
use tracing::{debug, warn};

use crate::socket;

/// A request's head is no longer than this.
const HEAD_BYTES_MAX: usize = 16 << 10;

const ACCEPT_BACKOFF_MIN: Duration = Duration::from_millis(5);
const ACCEPT_BACKOFF_MAX: Duration = Duration::from_secs(1);

/// What a server grants its clients.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Connections at one time, over all addresses; more wait in the kernel's queue.
    pub(crate) connections_max: usize,
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
    /// Binds all of these addresses, or none. Needs a Tokio runtime.
    pub(crate) fn bind(addresses: &[SocketAddr], limits: Limits) -> Result<Self, ListenError> {
        // `[::]` alone takes IPv4, too; beside an IPv4 address it must not, or they exclude each other.
        let v6_only = addresses.iter().any(SocketAddr::is_ipv4);
        let mut server = Self { listeners: Vec::new(), addresses: Vec::new(), limits };
        for &address in addresses {
            let listener = socket::listen(address, v6_only)
                .and_then(TcpListener::from_std)
                .map_err(|source| ListenError { address, source })?;
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
        let places = Arc::new(Semaphore::new(self.limits.connections_max));
        let mut listeners = JoinSet::new();
        for listener in self.listeners {
            let service = Service { router: router.clone(), limits: self.limits, stopped: stopped.clone() };
            listeners.spawn(accept(listener, service, Arc::clone(&places)));
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

/// Accepts until it is told to stop, then waits for its connections.
async fn accept(listener: TcpListener, service: Service, places: Arc<Semaphore>) {
    let mut stopped = service.stopped.clone();
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
                    let connection = serve_connection(stream, peer, service.clone());
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

async fn serve_connection(stream: TcpStream, peer: SocketAddr, service: Service) {
    let Service { router, limits, mut stopped } = service;
    let peer = Peer(peer.ip().to_canonical());
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
