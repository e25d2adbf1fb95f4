//! One connection of a server, with or without TLS.

use std::convert::Infallible;
use std::io;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;

use axum::http::StatusCode;
use axum::http::header::CONNECTION;
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use nym_mixnode_api::Refusal;
use nym_mixnode_tls::Acceptor;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_rustls::server::TlsStream;
use tower::ServiceExt;
use tracing::debug;

use super::activity::{Activity, Watched};
use super::host::HostNames;
use super::received::Received;
use super::{Peer, Scheme, Service, misdirected, until_stopped};

/// Maximum length of a request's head.
const HEAD_BYTES_MAX: usize = 16 << 10;

/// Send buffer in the kernel, which limits the memory for clients that do not read.
const SEND_BUFFER_BYTES: usize = 128 << 10;

/// Serves a connection until it or the server ends.
pub(super) async fn serve_connection(stream: Watched<TcpStream>, peer: IpAddr, service: Service) {
    // Otherwise the kernel buffers megabytes for each client that does not read.
    socket2::SockRef::from(&stream.stream).set_send_buffer_size(SEND_BUFFER_BYTES).ok();
    let is_loopback = stream.stream.local_addr().is_ok_and(|address| address.ip().to_canonical().is_loopback());
    let activity = Arc::clone(&stream.activity);
    let names = is_loopback.then(|| Arc::clone(&service.names));
    let Some(acceptor) = &service.acceptor else {
        let caller = Caller { peer, scheme: Scheme::Http, names };
        return serve_http(stream, activity, caller, service).await;
    };
    match shake_hands(acceptor, stream, &service).await {
        Some(Accepted::Tls(stream)) => {
            let caller = Caller { peer, scheme: Scheme::Https, names };
            serve_http(stream, activity, caller, service).await;
        }
        Some(Accepted::Plain(stream)) => {
            let caller = Caller { peer, scheme: Scheme::Http, names };
            let service = Service { router: Router::new().fallback(async || https_only()), ..service };
            serve_http(stream, activity, caller, service).await;
        }
        None => {}
    }
}

/// A new connection.
enum Accepted {
    Tls(Box<TlsStream<Watched<TcpStream>>>),
    /// The client speaks HTTP without TLS.
    Plain(Watched<TcpStream>),
}

/// Performs the handshake, unless the client begins with a letter, as HTTP does and TLS does not.
async fn accept(acceptor: &Acceptor, stream: Watched<TcpStream>) -> io::Result<Accepted> {
    let mut first = [0];
    match stream.stream.peek(&mut first).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ if first[0].is_ascii_alphabetic() => Ok(Accepted::Plain(stream)),
        _ => acceptor.accept(stream).await.map(Box::new).map(Accepted::Tls),
    }
}

/// Performs a TLS handshake in the time for a request's head; `None` if the connection ends before.
async fn shake_hands(acceptor: &Acceptor, stream: Watched<TcpStream>, service: &Service) -> Option<Accepted> {
    let activity = Arc::clone(&stream.activity);
    let mut stopped = service.stopped.clone();
    let reason = tokio::select! {
        accepted = timeout(service.limits.head_timeout, accept(acceptor, stream)) => match accepted {
            Ok(Ok(accepted)) => return Some(accepted),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "it took too long".to_owned(),
        },
        reason = activity.ended(service.limits.write_timeout) => reason.to_owned(),
        () = until_stopped(&mut stopped) => "the server stops".to_owned(),
    };
    debug!(reason, "TLS handshake ended early");
    None
}

/// What is known of a connection's client.
#[derive(Debug, Clone)]
struct Caller {
    peer: IpAddr,
    scheme: Scheme,
    /// Names of which `Host` must be one; `None` accepts all.
    names: Option<Arc<HostNames>>,
}

async fn serve_http<S>(stream: S, activity: Arc<Activity>, caller: Caller, service: Service)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let Service { router, limits, mut stopped, .. } = service;
    let served = Arc::clone(&activity);
    let service = service_fn(move |request| answer(router.clone(), request, caller.clone(), Arc::clone(&served)));
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

/// Answers a request. Over loopback, its `Host` must be a name of the server.
async fn answer(
    router: Router,
    mut request: hyper::Request<Incoming>,
    caller: Caller,
    activity: Arc<Activity>,
) -> Result<Response, Infallible> {
    request.extensions_mut().insert(Peer(caller.peer));
    request.extensions_mut().insert(caller.scheme);
    let (parts, body) = request.into_parts();
    if caller.names.is_some_and(|names| !names.allow(&parts)) {
        return Ok(misdirected());
    }
    let body = Received::new(body, Arc::clone(&activity));
    let response = router.oneshot(hyper::Request::from_parts(parts, body)).await;
    activity.serves(false);
    response
}

/// Response to a request without TLS at a server with TLS. Not a redirect, so that callers do not send secrets again
/// and again without TLS.
fn https_only() -> Response {
    let error = "this port serves only HTTPS; use an https:// URL".to_owned();
    (StatusCode::MISDIRECTED_REQUEST, [(CONNECTION, "close")], Json(Refusal { error })).into_response()
}
