//! HTTP server with connection limits, deadlines and orderly shutdown.

mod activity;
mod connection;
mod host;
mod places;
mod received;

use std::future::pending;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use nym_mixnode_api::Refusal;
use nym_mixnode_base::backoff::Backoff;
use nym_mixnode_net::socket;
use nym_mixnode_tls::{Acceptor, Tls};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tracing::warn;

use activity::{Activity, Watched};
use connection::serve_connection;
use places::Places;

pub use host::HostNames;
pub use places::PlaceLimits;

/// Limits for the clients of a server.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connection limits.
    pub places: PlaceLimits,
    /// Maximum time for a TLS handshake and for receiving a request's head, and idle time after which a connection is
    /// closed.
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

/// Scheme of the connection, an extension of every request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    Http,
    Https,
}

/// Bound listeners.
#[derive(Debug)]
pub struct Server {
    listeners: Vec<TcpListener>,
    addresses: Vec<SocketAddr>,
    limits: Limits,
    names: HostNames,
    tls: Option<Tls>,
}

impl Server {
    /// Binds all addresses, or none. Requires a Tokio runtime. For `[::]` see [`socket::listen_beside`].
    pub fn bind(addresses: &[SocketAddr], limits: Limits) -> Result<Self, ListenError> {
        let mut server =
            Self { listeners: Vec::new(), addresses: Vec::new(), limits, names: HostNames::default(), tls: None };
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

    /// Serves HTTPS instead of HTTP.
    #[must_use]
    pub fn with_tls(self, tls: Option<Tls>) -> Self {
        Self { tls, ..self }
    }

    pub fn local_addrs(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Serves until `stop` completes and the last request is answered or aborted.
    pub async fn serve(self, router: Router, stop: impl Future<Output = ()>) {
        let (stopping, stopped) = watch::channel(false);
        let tls = self.tls;
        let acceptor = tls.as_ref().map(Tls::acceptor);
        let names = Arc::new(self.names);
        let service = Service { router, limits: self.limits, names, acceptor, stopped };
        let places = Places::new(self.limits.places);
        let mut listeners = JoinSet::new();
        for listener in self.listeners {
            listeners.spawn(accept(listener, service.clone(), Arc::clone(&places)));
        }
        let follow_files = async {
            match tls {
                Some(tls) => tls.follow(|| {}).await,
                None => pending().await,
            }
        };
        tokio::select! {
            () = stop => {}
            never = follow_files => match never {},
        }
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
    acceptor: Option<Acceptor>,
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
