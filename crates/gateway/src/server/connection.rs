//! One connection of a client.

use std::sync::Arc;

use futures_util::{SinkExt, StreamExt};
use nym_mixnode_link::listener::Permit;
use nym_mixnode_link::shutdown::{Phase, PhaseSignal};
use nym_mixnode_message::gateway::{FORWARD_LEN_MAX, ForwardRequest, GatewayText, SharedKey};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message as Frame};
use tokio_tungstenite::{WebSocketStream, accept_async_with_config};
use tracing::warn;

use super::Server;
use super::pushed::{Pushed, Sent};
use crate::ClientId;
use crate::connected::{Claim, Live};
use crate::session::{Host, Session};
use crate::unstored::{Unstored, make_safe};

/// A forward request of the largest packet with its tag, and more than any text.
const MESSAGE_LEN_MAX: usize = FORWARD_LEN_MAX + 32;
/// Buffer of each connection for reading: one regular packet. Ten thousand idle connections have 40 MB.
const READ_BUFFER_LEN: usize = 4 << 10;
/// Bytes of messages that are collected and written together.
const WRITE_BUFFER_LEN: usize = 16 << 10;
/// Bytes that wait for a slow client before its connection ends.
const WRITE_BUFFER_LEN_MAX: usize = 1 << 20;
/// Messages that were sent and are not confirmed. More are not sent.
const PUSHED_MAX: usize = 256;
/// Messages that are read from the inbox at once.
const PAGE_LEN: u32 = 64;

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

/// Serves a client until it leaves, is too slow, or the gateway drains.
pub(super) async fn run<S>(server: &Server, stream: S, permit: Permit, mut phase: PhaseSignal)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let config = WebSocketConfig::default()
        .max_message_size(Some(MESSAGE_LEN_MAX))
        .max_frame_size(Some(MESSAGE_LEN_MAX))
        .read_buffer_size(READ_BUFFER_LEN)
        .write_buffer_size(WRITE_BUFFER_LEN)
        .max_write_buffer_size(WRITE_BUFFER_LEN_MAX);
    let opened = tokio::select! {
        () = permit.evicted() => return,
        () = phase.reached(Phase::Draining) => return,
        opened = timeout(server.times.open, accept_async_with_config(stream, Some(config))) => opened,
    };
    let Ok(Ok(socket)) = opened else { return };
    let now = Instant::now();
    let mut connection = Connection {
        server,
        socket,
        permit,
        session: Session::default(),
        client: Client { server, claimed: None },
        pushed: Pushed::default(),
        read: 0,
        is_inbox_empty: true,
        next_ping: now + server.times.idle,
        deadline: Some(now + server.times.authenticate),
    };
    tokio::select! {
        biased;
        () = phase.reached(Phase::Draining) => {}
        Err(Ended) = connection.serve() => {}
    }
    connection.close().await;
}

/// A client's part of the gateway.
struct Client<'a> {
    server: &'a Server,
    claimed: Option<(Claim, Live)>,
}

impl Host for Client<'_> {
    async fn key(&mut self, client: &ClientId) -> Option<SharedKey> {
        match self.server.store.key(client).await {
            Ok(key) => key,
            Err(error) => {
                warn!(%error, "Cannot read the key of a client");
                None
            }
        }
    }

    fn claim(&mut self, client: &ClientId) -> bool {
        self.claimed = self.server.connected.claim(client);
        self.claimed.is_some()
    }

    fn release(&mut self) {
        self.claimed = None;
    }

    async fn register(&mut self, client: &ClientId, key: &SharedKey) -> bool {
        match self.server.store.register(client, key, (self.server.now)()).await {
            Ok(()) => true,
            Err(error) => {
                warn!(%error, "Cannot register a client");
                false
            }
        }
    }

    fn forward(&mut self, request: ForwardRequest) -> bool {
        // A full queue drops packets, as the queue of a next hop does.
        (self.server.is_node)(request.next_hop) && self.server.packets.try_send(request).is_ok()
    }
}

struct Connection<'a, S> {
    server: &'a Server,
    // Before the permit, so that it closes first.
    socket: WebSocketStream<S>,
    permit: Permit,
    session: Session,
    client: Client<'a>,
    pushed: Pushed,
    /// The last message of the inbox that was sent.
    read: i64,
    is_inbox_empty: bool,
    next_ping: Instant,
    /// When the client must have authenticated, or answered a ping.
    deadline: Option<Instant>,
}

enum Event {
    Frame(Frame),
    Live(Arc<Unstored>),
    Inbox,
    Ping,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<'_, S> {
    async fn serve(&mut self) -> Result<(), Ended> {
        loop {
            match self.next().await? {
                Event::Frame(frame) => self.answer(frame).await?,
                Event::Live(message) => {
                    self.push_live(message).await?;
                    self.push_all_live().await?;
                }
                Event::Inbox => self.is_inbox_empty = false,
                Event::Ping => self.ping().await?,
            }
            self.push_inbox().await?;
            if self.pushed.len() > 0 {
                self.ping().await?;
            }
            timeout(self.server.times.answer, self.socket.flush()).await??;
        }
    }

    async fn next(&mut self) -> Result<Event, Ended> {
        let deadline = self.deadline;
        let has_room = self.pushed.len() < PUSHED_MAX;
        let expired = async {
            match deadline {
                Some(deadline) => sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        let (queue, inbox) = match &mut self.client.claimed {
            Some((_, live)) if self.session.key().is_some() => (Some(&mut live.queue), Some(Arc::clone(&live.inbox))),
            _ => (None, None),
        };
        let live = async {
            match queue {
                Some(queue) if has_room => queue.recv().await,
                _ => std::future::pending().await,
            }
        };
        tokio::select! {
            () = expired => Err(Ended),
            () = self.permit.evicted() => Err(Ended),
            frame = self.socket.next() => Ok(Event::Frame(frame.ok_or(Ended)??)),
            Some(message) = live => Ok(Event::Live(message)),
            () = notified(inbox) => Ok(Event::Inbox),
            () = sleep_until(self.next_ping) => Ok(Event::Ping),
        }
    }

    async fn answer(&mut self, frame: Frame) -> Result<(), Ended> {
        self.next_ping = Instant::now() + self.server.times.idle;
        match frame {
            Frame::Text(text) => {
                let was_known = self.session.key().is_some();
                let identity = &self.server.identity;
                let answers = self.session.text(&text, identity, &mut self.client).await;
                for answer in answers {
                    self.send(&answer).await?;
                }
                if !was_known && self.session.key().is_some() {
                    // It gives way to no other from now on.
                    self.permit.has_sent();
                    self.deadline = None;
                    self.is_inbox_empty = false;
                }
            }
            Frame::Binary(message) => {
                if let Some(answer) = self.session.binary(&message, &mut self.client) {
                    self.send(&answer).await?;
                }
            }
            Frame::Pong(content) => self.confirm(&content).await,
            Frame::Close(_) => return Err(Ended),
            // The library answers pings.
            Frame::Ping(_) | Frame::Frame(_) => {}
        }
        Ok(())
    }

    async fn confirm(&mut self, content: &[u8]) {
        let confirmed = self.pushed.pong(content);
        if !self.pushed.is_waiting() && self.session.key().is_some() {
            self.deadline = None;
        }
        let (Some(number), Some((claim, _))) = (confirmed, &self.client.claimed) else { return };
        if let Err(error) = self.server.store.remove(claim.client(), number).await {
            // They are pushed again at the next connection.
            warn!(%error, "Cannot remove delivered messages from an inbox");
        }
    }

    /// Pushes what else has arrived, so that one ping confirms many messages.
    async fn push_all_live(&mut self) -> Result<(), Ended> {
        while self.pushed.len() < PUSHED_MAX
            && let Some((_, live)) = &mut self.client.claimed
            && let Ok(message) = live.queue.try_recv()
        {
            self.push_live(message).await?;
        }
        Ok(())
    }

    /// Pushes from the inbox as far as it fits.
    async fn push_inbox(&mut self) -> Result<(), Ended> {
        while !self.is_inbox_empty && self.pushed.len() < PUSHED_MAX {
            let Some((claim, _)) = &self.client.claimed else { return Ok(()) };
            let page = self.server.store.after(claim.client(), self.read, PAGE_LEN).await.map_err(|error| {
                warn!(%error, "Cannot read an inbox");
                Ended
            })?;
            self.is_inbox_empty = page.len() < PAGE_LEN as usize;
            for message in page {
                self.read = message.number;
                self.push(&message.content, Sent::Stored(message.number)).await?;
            }
        }
        Ok(())
    }

    async fn push_live(&mut self, message: Arc<Unstored>) -> Result<(), Ended> {
        // It may have waited for a slow client, and be in the inbox by now.
        if message.is_safe() {
            return Ok(());
        }
        self.push(&message.content, Sent::Unstored(Arc::clone(&message))).await
    }

    /// Remembers the message before the first wait: whatever ends the connection then, the message is not lost.
    async fn push(&mut self, content: &[u8], sent: Sent) -> Result<(), Ended> {
        self.pushed.add(sent);
        let sealed = self.session.key().ok_or(Ended)?.seal(content);
        self.feed(Frame::Binary(sealed.into())).await
    }

    async fn send(&mut self, text: &GatewayText) -> Result<(), Ended> {
        self.feed(Frame::Text(text.to_json().into())).await
    }

    async fn ping(&mut self) -> Result<(), Ended> {
        let Some(content) = self.pushed.ping() else {
            // The answer to the last ping has its own deadline.
            self.next_ping = Instant::now() + self.server.times.idle;
            return Ok(());
        };
        let now = Instant::now();
        self.next_ping = now + self.server.times.idle;
        if self.session.key().is_some() {
            self.deadline = Some(now + self.server.times.answer);
        }
        self.feed(Frame::Ping(content.to_vec().into())).await
    }

    async fn feed(&mut self, frame: Frame) -> Result<(), Ended> {
        timeout(self.server.times.answer, self.socket.feed(frame)).await??;
        Ok(())
    }

    /// Puts what is in memory only into the inbox.
    async fn close(self) {
        let Some((claim, mut live)) = self.client.claimed else { return };
        // From here on, messages go to the inbox.
        drop(claim);
        live.queue.close();
        let mut unstored: Vec<_> = self.pushed.into_unstored().collect();
        while let Some(message) = live.queue.recv().await {
            unstored.push(message);
        }
        let Server { store, connected, now, .. } = self.server;
        if let Err(error) = make_safe(unstored.iter(), store, connected, now()).await {
            warn!(%error, "Cannot put undelivered messages into an inbox");
        }
    }
}

async fn notified(inbox: Option<Arc<Notify>>) {
    match inbox {
        Some(inbox) => inbox.notified().await,
        None => std::future::pending().await,
    }
}
