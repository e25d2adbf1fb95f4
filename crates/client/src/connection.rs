//! The WebSocket to the client's gateway.

use std::io;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use nym_mixnode_keys::IdentityKeyPair;
use nym_mixnode_message::gateway::{
    Authentication, ClientHandshake, ClientText, ForwardRequest, GatewayText, HandshakeError, SharedKey,
};
use nym_mixnode_tls::client as tls;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{error::Elapsed, timeout};
use tokio_tungstenite::tungstenite::error::UrlError;
use tokio_tungstenite::tungstenite::http::Uri;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message as Frame};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use crate::endpoint::Endpoint;

/// Longest message of a gateway: the message of the largest packet.
const MESSAGE_LEN_MAX: usize = 64 << 10;
/// Time for each answer of the gateway, and for each write.
const ANSWER_MAX: Duration = Duration::from_secs(30);

/// Why a client has no connection.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// No WebSocket there, or it has ended.
    #[error("cannot reach the gateway at {url}: {source}")]
    Socket { url: String, source: Box<Error> },
    /// Another server answers, or the gateway has renewed its key since it was last listed.
    #[error(
        "the gateway at {0} has another TLS key than it has announced, so nothing was sent: somebody on the way answers in its \
         place, or it has just renewed its key; try again in a minute, and ask its operator if this remains"
    )]
    OtherKey(String),
    /// The connection has ended without an error.
    #[error("the gateway at {0} has closed the connection")]
    Closed(String),
    #[error("the gateway at {0} does not answer")]
    Silent(String),
    /// Another gateway answers, or an attacker on the way.
    #[error("cannot register at the gateway at {url}: {source}")]
    Handshake { url: String, source: HandshakeError },
    /// The gateway does not know the client, or has another key.
    #[error("the gateway at {0} does not accept the key of this client; register again with a new `client init`")]
    NotAccepted(String),
    /// Its answer, such as that the client is connected already.
    #[error("the gateway at {url} refuses: {message}")]
    Refused { url: String, message: String },
}

/// An open connection of an authenticated client.
pub struct Connection {
    socket: Socket,
    key: SharedKey,
}

struct Socket {
    stream: WebSocketStream<Box<dyn Stream>>,
    url: String,
}

/// A connection with or without TLS.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send + Sync {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + Sync> Stream for S {}

/// Registers at the gateway with this identity, which is not trusted to have it. Returns the shared key.
///
/// # Errors
/// When the gateway does not answer, refuses, or has another identity.
pub async fn register(
    endpoint: &Endpoint,
    client: &IdentityKeyPair,
    gateway: [u8; 32],
) -> Result<(Connection, SharedKey), ConnectError> {
    let mut socket = Socket::connect(endpoint).await?;
    let fail = |source| ConnectError::Handshake { url: endpoint.url().to_owned(), source };
    let (state, first) = ClientHandshake::begin(client, gateway, &mut rand::rng());
    socket.send_payload(&first).await?;
    let (state, third) = match state.answer(&socket.payload().await?) {
        Ok(answered) => answered,
        Err(error) => {
            // The gateway would wait for the next message.
            socket.send(&ClientText::HandshakeError { message: error.to_string() }).await?;
            return Err(fail(error));
        }
    };
    socket.send_payload(&third).await?;
    let key = state.finish(&socket.payload().await?).map_err(fail)?;
    match socket.text().await? {
        GatewayText::Register { status: true } => Ok((Connection { socket, key: key.clone() }, key)),
        other => Err(socket.refused(&other)),
    }
}

/// Connects as a registered client.
///
/// # Errors
/// When the gateway does not answer or refuses.
pub async fn authenticate(endpoint: &Endpoint, client: &[u8; 32], key: SharedKey) -> Result<Connection, ConnectError> {
    let mut socket = Socket::connect(endpoint).await?;
    let proof = Authentication::new(*client, &key, &mut rand::rng()).to_text();
    socket.send(&proof).await?;
    match socket.text().await? {
        GatewayText::Authenticate { status: true } => Ok(Connection { socket, key }),
        GatewayText::Authenticate { status: false } => Err(ConnectError::NotAccepted(socket.url)),
        other => Err(socket.refused(&other)),
    }
}

/// What a gateway sends to an authenticated client.
#[derive(Debug, PartialEq, Eq)]
pub enum FromGateway {
    /// A message for this client.
    Message(Vec<u8>),
    /// The gateway forgets what it has sent before, once [`Connection::confirm`] returns this content.
    Ping(Vec<u8>),
}

impl Connection {
    /// Hands a packet to the gateway.
    ///
    /// # Errors
    /// When the connection has ended, or the gateway reads nothing.
    pub async fn send(&mut self, request: &ForwardRequest) -> Result<(), ConnectError> {
        self.socket.write(Frame::Binary(self.key.seal(&request.encode()).into())).await
    }

    /// What comes next. Cancel-safe. [`keep_waiting`](Self::keep_waiting) must follow a ping, before anything else.
    ///
    /// # Errors
    /// When the connection has ended.
    pub async fn next(&mut self) -> Result<FromGateway, ConnectError> {
        loop {
            match self.socket.read().await? {
                // What cannot be opened is not from the gateway that has the key.
                Frame::Binary(message) => {
                    if let Ok(content) = self.key.open(&message) {
                        return Ok(FromGateway::Message(content));
                    }
                }
                Frame::Ping(content) => return Ok(FromGateway::Ping(content.to_vec())),
                // Confirmations of packets, and errors that change nothing.
                Frame::Text(_) | Frame::Pong(_) | Frame::Frame(_) | Frame::Close(_) => {}
            }
        }
    }

    /// Sends a pong without a meaning in place of the one that the library has queued for the last ping, which would leave
    /// with the next read or write.
    ///
    /// # Errors
    /// When the connection has ended.
    pub async fn keep_waiting(&mut self) -> Result<(), ConnectError> {
        self.confirm(Vec::new()).await
    }

    /// Answers a ping: all messages before it are safe.
    ///
    /// # Errors
    /// When the connection has ended.
    pub async fn confirm(&mut self, content: Vec<u8>) -> Result<(), ConnectError> {
        self.socket.write(Frame::Pong(content.into())).await
    }
}

impl Socket {
    async fn connect(endpoint: &Endpoint) -> Result<Self, ConnectError> {
        let url = endpoint.url().to_owned();
        let silent = |_: Elapsed| ConnectError::Silent(url.clone());
        let opened = timeout(ANSWER_MAX, open(endpoint)).await.map_err(silent)?;
        match opened {
            Ok(stream) => Ok(Self { stream, url }),
            Err(OpenError::OtherKey) => Err(ConnectError::OtherKey(url)),
            Err(OpenError::Other(source)) => Err(ConnectError::Socket { url, source }),
        }
    }

    async fn write(&mut self, frame: Frame) -> Result<(), ConnectError> {
        let sent = timeout(ANSWER_MAX, self.stream.send(frame)).await;
        sent.map_err(|_| ConnectError::Silent(self.url.clone()))?.map_err(|error| self.failed(error))
    }

    async fn send(&mut self, text: &ClientText) -> Result<(), ConnectError> {
        self.write(Frame::Text(text.to_json().into())).await
    }

    async fn send_payload(&mut self, data: &[u8]) -> Result<(), ConnectError> {
        self.send(&ClientText::HandshakePayload { data: data.to_vec() }).await
    }

    async fn read(&mut self) -> Result<Frame, ConnectError> {
        match self.stream.next().await {
            Some(Ok(frame)) => Ok(frame),
            Some(Err(error)) => Err(self.failed(error)),
            None => Err(ConnectError::Closed(self.url.clone())),
        }
    }

    /// The next text message of the protocol.
    async fn text(&mut self) -> Result<GatewayText, ConnectError> {
        let url = self.url.clone();
        let reading = async {
            loop {
                if let Frame::Text(text) = self.read().await?
                    && let Ok(text) = GatewayText::parse(&text)
                {
                    return Ok(text);
                }
            }
        };
        timeout(ANSWER_MAX, reading).await.map_err(|_| ConnectError::Silent(url))?
    }

    async fn payload(&mut self) -> Result<Vec<u8>, ConnectError> {
        match self.text().await? {
            GatewayText::HandshakePayload { data } => Ok(data),
            GatewayText::HandshakeError { message } => {
                Err(ConnectError::Handshake { url: self.url.clone(), source: HandshakeError::Remote(message) })
            }
            other => Err(self.refused(&other)),
        }
    }

    fn refused(&self, answer: &GatewayText) -> ConnectError {
        let message = match answer {
            GatewayText::Error { message } => message.clone(),
            other => other.to_json(),
        };
        ConnectError::Refused { url: self.url.clone(), message }
    }

    fn failed(&self, error: Error) -> ConnectError {
        match error {
            Error::ConnectionClosed | Error::AlreadyClosed => ConnectError::Closed(self.url.clone()),
            error => ConnectError::Socket { url: self.url.clone(), source: Box::new(error) },
        }
    }
}

/// Why a WebSocket does not open.
enum OpenError {
    OtherKey,
    Other(Box<Error>),
}

impl From<Error> for OpenError {
    fn from(error: Error) -> Self {
        Self::Other(Box::new(error))
    }
}

async fn open(endpoint: &Endpoint) -> Result<WebSocketStream<Box<dyn Stream>>, OpenError> {
    let uri: Uri = endpoint.url().parse().map_err(Error::from)?;
    let host = uri.host().ok_or(Error::Url(UrlError::NoHostName))?.trim_matches(['[', ']']);
    let port = |default| uri.port_u16().unwrap_or(default);
    let stream: Box<dyn Stream> = match (uri.scheme_str(), endpoint.key()) {
        (Some("ws"), None) => Box::new(dial(host, port(80)).await?),
        (Some("wss"), Some(key)) => match tls::connect(dial(host, port(443)).await?, host, key).await {
            Ok(stream) => Box::new(stream),
            Err(tls::ConnectError::OtherKey) => return Err(OpenError::OtherKey),
            Err(error) => return Err(Error::from(io::Error::other(error)).into()),
        },
        _ => return Err(Error::Url(UrlError::UnsupportedUrlScheme).into()),
    };
    let config = WebSocketConfig::default()
        .max_message_size(Some(MESSAGE_LEN_MAX))
        .max_frame_size(Some(MESSAGE_LEN_MAX))
        .write_buffer_size(0);
    Ok(client_async_with_config(endpoint.url(), stream, Some(config)).await?.0)
}

async fn dial(host: &str, port: u16) -> Result<TcpStream, Error> {
    let stream = TcpStream::connect((host, port)).await?;
    // Small messages must not wait for each other.
    stream.set_nodelay(true)?;
    Ok(stream)
}
