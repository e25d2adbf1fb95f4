//! The WebSocket for applications on this machine, as clients of 0.9.2 have it.
//!
//! One connection at a time. Answers take the form (text or binary) of the request; messages from the network take that
//! of the last request, and the binary form if the first one does not come soon. Web pages are refused: a browser lets every page
//! connect, and names the page in the header `Origin`.

use std::pin::pin;
use std::sync::Arc;

use futures_util::{SinkExt, StreamExt};
use nym_mixnode_message::address::ClientAddress;
use nym_mixnode_message::application::{ErrorKind, Request, Response};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Duration, sleep, timeout};
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request as Opening, Response as OpeningAnswer};
use tokio_tungstenite::tungstenite::http::StatusCode;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message as Frame};
use tokio_tungstenite::{WebSocketStream, accept_hdr_async_with_config};
use tracing::debug;

use crate::daemon::Command;
use crate::spool::Spool;

/// Longest request. Messages are kept in memory until they are acknowledged.
const REQUEST_LEN_MAX: usize = 32 << 20;
/// Time for the opening of a connection, and for each write.
const ANSWER_MAX: Duration = Duration::from_secs(30);
/// Wait for the first request of an application, which chooses the form of the messages that wait.
const FIRST_REQUEST_MAX: Duration = Duration::from_secs(1);
/// Pause after an error that affects all connections, such as too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The form of messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Text,
    Binary,
}

/// Serves applications.
pub struct LocalServer {
    /// The client's own address.
    pub address: ClientAddress,
    pub commands: mpsc::Sender<Command>,
    /// Messages wait here until an application has them.
    pub messages: Arc<Spool>,
}

/// The connection has ended. The reason makes no difference.
struct Ended;

impl From<Error> for Ended {
    fn from(_: Error) -> Self {
        Self
    }
}

impl From<tokio::time::error::Elapsed> for Ended {
    fn from(_: tokio::time::error::Elapsed) -> Self {
        Self
    }
}

impl LocalServer {
    /// Serves until the client stops.
    pub async fn run(self, listener: TcpListener) {
        while !self.commands.is_closed() {
            match listener.accept().await {
                Ok((stream, _)) => {
                    if let Ok(socket) = open(stream).await {
                        self.serve(socket, &listener).await.ok();
                    }
                }
                Err(error) => {
                    debug!(%error, "Cannot accept a connection of an application");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    async fn serve(&self, mut socket: WebSocketStream<TcpStream>, listener: &TcpListener) -> Result<(), Ended> {
        let (mut form, mut may_deliver) = (Form::Binary, false);
        let mut first_request = pin!(sleep(FIRST_REQUEST_MAX));
        loop {
            tokio::select! {
                frame = socket.next() => {
                    let (request, of_request) = match frame.ok_or(Ended)?? {
                        Frame::Text(text) => (Request::from_json(&text), Form::Text),
                        Frame::Binary(bytes) => (Request::from_bytes(&bytes), Form::Binary),
                        Frame::Close(_) => return Err(Ended),
                        Frame::Ping(_) | Frame::Pong(_) | Frame::Frame(_) => continue,
                    };
                    (form, may_deliver) = (of_request, true);
                    let answer = match request {
                        Ok(request) => self.answer(request).await?,
                        Err(error) => Some(error.into()),
                    };
                    if let Some(answer) = answer {
                        send(&mut socket, form, &answer).await?;
                    }
                }
                () = &mut first_request, if !may_deliver => may_deliver = true,
                (number, message) = self.messages.oldest(), if may_deliver => {
                    send(&mut socket, form, &message).await?;
                    self.messages.taken(number);
                }
                // One connection at a time: others are closed.
                _ = listener.accept() => {}
            }
        }
    }

    /// `None` when there is nothing to answer.
    async fn answer(&self, request: Request) -> Result<Option<Response>, Ended> {
        let failed = match request {
            Request::SelfAddress => return Ok(Some(Response::SelfAddress(self.address))),
            Request::Send { recipient, with_reply_block, data } => {
                let (queued, answer) = oneshot::channel();
                self.command(Command::Send { recipient, data, with_reply_block, queued }).await?;
                answer.await.map_err(|_| Ended)?.err()
            }
            Request::Reply { reply_block, data } => {
                let (queued, answer) = oneshot::channel();
                self.command(Command::Reply { block: Box::new(reply_block), data, queued }).await?;
                answer.await.map_err(|_| Ended)?.err()
            }
        };
        Ok(failed.map(|error| Response::Error { kind: ErrorKind::Other, message: error.to_string() }))
    }

    async fn command(&self, command: Command) -> Result<(), Ended> {
        self.commands.send(command).await.map_err(|_| Ended)
    }
}

async fn open(stream: TcpStream) -> Result<WebSocketStream<TcpStream>, Ended> {
    let config = WebSocketConfig::default()
        .max_message_size(Some(REQUEST_LEN_MAX))
        .max_frame_size(Some(REQUEST_LEN_MAX))
        .write_buffer_size(0);
    Ok(timeout(ANSWER_MAX, accept_hdr_async_with_config(stream, admit, Some(config))).await??)
}

/// Refuses what a browser asks for on behalf of a page, and names that lead here by a trick with DNS.
#[expect(clippy::result_large_err, reason = "the library's type")]
fn admit(opening: &Opening, answer: OpeningAnswer) -> Result<OpeningAnswer, ErrorResponse> {
    let header = |name| opening.headers().get(name).and_then(|value| value.to_str().ok());
    let is_page = opening.headers().contains_key("origin");
    if !is_page && header("host").is_some_and(is_loopback) {
        return Ok(answer);
    }
    let mut refusal = ErrorResponse::new(Some("applications on this machine only\n".to_owned()));
    *refusal.status_mut() = StatusCode::FORBIDDEN;
    Err(refusal)
}

/// Whether a `Host` is this machine, with or without a port.
fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

async fn send(socket: &mut WebSocketStream<TcpStream>, form: Form, response: &Response) -> Result<(), Ended> {
    let frame = match form {
        Form::Text => Frame::Text(response.to_json().into()),
        Form::Binary => Frame::Binary(response.to_bytes().into()),
    };
    Ok(timeout(ANSWER_MAX, socket.send(frame)).await??)
}

#[cfg(test)]
mod tests;
