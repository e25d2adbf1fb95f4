//! Connections of clients (RFC 6455), with or without TLS: one task for each.
//!
//! A client confirms what it has received by answering a ping that was sent behind the messages. Only then do messages
//! leave the inbox; what a connection has not confirmed when it ends goes back there.
//!
//! When all connections are in use, one that has not authenticated gives way to a new one, as connections of mixes do that
//! have sent no packet: also during a TLS handshake.

mod connection;
mod pushed;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use nym_mixnode_keys::IdentityKeyPair;
use nym_mixnode_link::listener::{ConnectionLimits, Permit};
use nym_mixnode_link::shutdown::{Phase, PhaseSignal};
use nym_mixnode_message::gateway::ForwardRequest;
use nym_mixnode_tls::Acceptor;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tracing::debug;

use crate::connected::Connected;
use crate::store::Store;

/// Pause after an error that affects all connections, such as too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Times within which a client does its part.
#[derive(Debug, Clone, Copy)]
pub struct ServerTimes {
    /// The TLS handshake, and then the opening of the WebSocket.
    pub open: Duration,
    /// Authentication or registration.
    pub authenticate: Duration,
    /// Time without a message after which a ping is sent.
    pub idle: Duration,
    /// The answer to a ping, and each write.
    pub answer: Duration,
}

impl Default for ServerTimes {
    fn default() -> Self {
        Self {
            open: Duration::from_secs(10),
            authenticate: Duration::from_secs(60),
            idle: Duration::from_secs(60),
            answer: Duration::from_secs(30),
        }
    }
}

/// Counts of connections.
#[derive(Debug, Default)]
pub struct ServerCounters {
    refused: AtomicU64,
    accepted: AtomicU64,
}

impl ServerCounters {
    /// Connections closed at once because of a limit.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Connections within the limits.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }
}

/// What all connections share.
pub struct Server {
    pub identity: Arc<IdentityKeyPair>,
    pub store: Arc<Store>,
    pub connected: Arc<Connected>,
    /// Decides whether an address is a node of the network.
    pub is_node: Arc<dyn Fn(SocketAddr) -> bool + Send + Sync>,
    /// Packets on their way to the first mix.
    pub packets: mpsc::Sender<ForwardRequest>,
    pub limits: Arc<ConnectionLimits>,
    pub times: ServerTimes,
    pub counters: ServerCounters,
    /// Seconds since 1970.
    pub now: fn() -> u64,
}

/// Serves clients until the gateway drains; with TLS if `tls` has a certificate for it.
pub async fn serve(server: Arc<Server>, listener: TcpListener, tls: Option<Acceptor>, mut phase: PhaseSignal) {
    let mut connections = JoinSet::new();
    let draining = phase.clone();
    loop {
        let accepted = tokio::select! {
            biased;
            () = phase.reached(Phase::Draining) => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                if let Some(permit) = admit(&server, peer) {
                    connections.spawn(one(Arc::clone(&server), stream, tls.clone(), permit, draining.clone()));
                }
            }
            Err(error) => {
                debug!(%error, "Cannot accept a connection");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    while connections.join_next().await.is_some() {}
}

fn admit(server: &Server, peer: SocketAddr) -> Option<Permit> {
    let permit = server.limits.admit(peer.ip()).ok();
    let counter = if permit.is_some() { &server.counters.accepted } else { &server.counters.refused };
    counter.fetch_add(1, Ordering::Relaxed);
    permit
}

async fn one(server: Arc<Server>, stream: TcpStream, tls: Option<Acceptor>, mut permit: Permit, phase: PhaseSignal) {
    permit.give_way().await;
    // Small messages must not wait for each other.
    if stream.set_nodelay(true).is_err() {
        return;
    }
    match tls {
        None => connection::run(&server, stream, permit, phase).await,
        // Boxed, so that connections without TLS keep no memory for it.
        Some(tls) => Box::pin(shake_hands(&server, stream, &tls, permit, phase)).await,
    }
}

/// Performs the TLS handshake and then serves the client, unless that is slow, refuses the certificate, or speaks no TLS.
async fn shake_hands(server: &Server, stream: TcpStream, tls: &Acceptor, permit: Permit, mut phase: PhaseSignal) {
    let accepted = tokio::select! {
        () = permit.evicted() => return,
        () = phase.reached(Phase::Draining) => return,
        accepted = timeout(server.times.open, tls.accept(stream)) => accepted,
    };
    if let Ok(Ok(stream)) = accepted {
        connection::run(server, stream, permit, phase).await;
    }
}

#[cfg(test)]
mod tests;
