//! HTTP server with connection limits, deadlines and orderly shutdown.

mod activity;
mod host;
mod places;

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use nym_mixnode_api::Refusal;
use nym_mixnode_base::backoff::Backoff;
use nym_mixnode_net::socket;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tower::ServiceExt;
use tracing::{debug, warn};

use activity::{Activity, Watched};
use places::Places;

pub use host::HostNames;
pub use places::PlaceLimits;

/// Maximum length of a request's head.
const HEAD_BYTES_MAX: usize = 16 << 10;

/// Send buffer in the kernel, which limits the memory for clients that do not read.
const SEND_BUFFER_BYTES: usize = 128 << 10;

/// Limits for the clients of a server.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connection limits.
    pub places: PlaceLimits,
    /// Maximum time for receiving a request's head, and idle time after which a connection is closed.
    pub head_timeout: Duration,
    /// A client that reads nothing of a response for this long is disconnected.
    pub write_timeout: Duration,
    /// Maximum age of a connection before it is asked to end, so that no client occupies a slot permanently.
    pub lifetime: Duration,
    /// Time for an ending connection to finish its request.
    pub grace: Duration,
}

/// Failed binding of an address.
#[derive(Debug)]
pub struct ListenError {
    pub address: SocketAddr,
    pub source: io::Error,
}

/// Address of the client, an extension of every request.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub IpAddr);

/// Bound listeners.
#[derive(Debug)]
pub struct Server {
    listeners: Vec<TcpListener>,
    addresses: Vec<SocketAddr>,
    limits: Limits,
    names: HostNames,
}

impl Server {
    /// Binds all addresses, or none. Requires a Tokio runtime. For `[::]` see [`socket::listen_beside`].
    pub fn bind(addresses: &[SocketAddr], limits: Limits) -> Result<Self, ListenError> {
        let mut server = Self { listeners: Vec::new(), addresses: Vec::new(), limits, names: HostNames::default() };
        for &address in addresses {
            let listening = socket::listen_beside(address, addresses);
            let listener = listening.and_then(|listener| listener.map(TcpListener::from_std).transpose());
            let Some(listener) = listener.map_err(|source| ListenError { address, source })? else { continue };
            server.addresses.push(listener.local_addr().unwrap_or(address));
            server.listeners.push(listener);
        }
        Ok(server)
    }

    /// Sets the names accepted in `Host` over loopback, besides addresses and `localhost`.
    #[must_use]
    pub fn with_names(self, names: HostNames) -> Self {
        Self { names, ..self }
    }

    pub fn local_addrs(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Serves until `stop` completes and the last request is answered or aborted.
    pub async fn serve(self, router: Router, stop: impl Future<Output = ()>) {
        let (stopping, stopped) = watch::channel(false);
        let service = Service { router, limits: self.limits, names: Arc::new(self.names), stopped };
        let places = Places::new(self.limits.places);
        let mut listeners = JoinSet::new();
        for listener in self.listeners {
            listeners.spawn(accept(listener, service.clone(), Arc::clone(&places)));
        }
        stop.await;
        stopping.send_replace(true);
        while listeners.join_next().await.is_some() {}
    }
}

/// State for each connection.
#[derive(Debug, Clone)]
struct Service {
    router: Router,
    limits: Limits,
    names: Arc<HostNames>,
    stopped: watch::Receiver<bool>,
}

/// Accepts connections until the stop, then waits for the open ones.
async fn accept(listener: TcpListener, service: Service, places: Arc<Places>) {
    let mut stopped = service.stopped.clone();
    let mut connections = JoinSet::new();
    let mut backoff = Backoff::for_accepting();
    loop {
        tokio::select! {
            () = until_stopped(&mut stopped) => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    backoff.reset();
                    let (peer, activity) = (peer.ip().to_canonical(), Activity::new());
                    let place = places.admit(peer, &activity);
                    let connection = serve_connection(Watched { stream, activity }, peer, service.clone());
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

async fn serve_connection(stream: Watched<TcpStream>, peer: IpAddr, service: Service) {
    let Service { router, limits, names, mut stopped } = service;
    // Otherwise the kernel buffers megabytes for each client that does not read.
    socket2::SockRef::from(&stream.stream).set_send_buffer_size(SEND_BUFFER_BYTES).ok();
    let is_loopback = stream.stream.local_addr().is_ok_and(|address| address.ip().to_canonical().is_loopback());
    let service = service_fn(move |request| {
        let names = is_loopback.then(|| Arc::clone(&names));
        answer(router.clone(), request, peer, names)
    });
    let activity = Arc::clone(&stream.activity);
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
        reason = activity.ended(limits.write_timeout) => return debug!(reason, "connection closed"),
        () = until_stopped(&mut stopped) => {}
        () = sleep(limits.lifetime) => {}
    }
    connection.as_mut().graceful_shutdown();
    if timeout(limits.grace, connection).await.is_err() {
        debug!("connection closed: its request took too long");
    }
}

/// Answers a request. Over loopback, its `Host` must be one of `names`.
async fn answer(
    router: Router,
    mut request: hyper::Request<Incoming>,
    peer: IpAddr,
    names: Option<Arc<HostNames>>,
) -> Result<Response, Infallible> {
    request.extensions_mut().insert(Peer(peer));
    let (parts, body) = request.into_parts();
    if names.is_some_and(|names| !names.allow(&parts)) {
        return Ok(misdirected());
    }
    router.oneshot(hyper::Request::from_parts(parts, body)).await
}

/// Response to a request with a foreign `Host`.
pub fn misdirected() -> Response {
    let error = "the request's Host is not a name of this server; use its address, or add the name to its host names";
    (StatusCode::MISDIRECTED_REQUEST, Json(Refusal { error: error.to_owned() })).into_response()
}

/// Completes when the server stops or is dropped.
async fn until_stopped(stopped: &mut watch::Receiver<bool>) {
    stopped.wait_for(|stopped| *stopped).await.ok();
}

#[cfg(test)]
mod tests;
