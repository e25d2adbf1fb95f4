//! Activity of a connection: its last progress, whether its client reads, and whether it must end.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

/// Interval of checks while a connection waits for its client.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Shared by a connection and its server.
#[derive(Debug)]
pub(super) struct Activity {
    started: Instant,
    /// Milliseconds since the start. Atomic, so that comparing connections needs no lock.
    last_progress_ms: AtomicU64,
    /// Whether the last write is pending because the client does not read.
    is_write_pending: AtomicBool,
    /// Whether a request has arrived completely and is not answered yet.
    is_serving: AtomicBool,
    is_closed: AtomicBool,
    closed: Notify,
}

impl Activity {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            started: Instant::now(),
            last_progress_ms: AtomicU64::new(0),
            is_write_pending: AtomicBool::new(false),
            is_serving: AtomicBool::new(false),
            is_closed: AtomicBool::new(false),
            closed: Notify::new(),
        })
    }

    pub(super) fn last_progress(&self) -> Instant {
        self.started + Duration::from_millis(self.last_progress_ms.load(Ordering::Relaxed))
    }

    pub(super) fn progressed(&self) {
        let since_start = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last_progress_ms.store(since_start, Ordering::Relaxed);
    }

    /// Whether the connection waits for the server and not for its client.
    pub(super) fn is_serving(&self) -> bool {
        self.is_serving.load(Ordering::Relaxed)
    }

    /// Notes that a request has arrived completely, or that it is answered.
    pub(super) fn serves(&self, is_serving: bool) {
        self.progressed();
        self.is_serving.store(is_serving, Ordering::Relaxed);
    }

    /// Asks the connection to end at once.
    pub(super) fn close(&self) {
        self.is_closed.store(true, Ordering::Relaxed);
        self.closed.notify_one();
    }

    #[cfg(test)]
    pub(super) fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Relaxed)
    }

    /// Completes when the connection must end: after a call of `close`, or when its client reads nothing for this long.
    pub(super) async fn ended(&self, write_timeout: Duration) -> &'static str {
        loop {
            tokio::select! {
                () = self.closed.notified() => return "the connection limit is reached",
                () = sleep(LOOK_EVERY) => {
                    let is_pending = self.is_write_pending.load(Ordering::Relaxed);
                    if is_pending && self.last_progress().elapsed() >= write_timeout {
                        return "its client does not read";
                    }
                }
            }
        }
    }

    fn wrote(&self, result: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        self.is_write_pending.store(result.is_pending(), Ordering::Relaxed);
        if matches!(result, Poll::Ready(Ok(_))) {
            self.progressed();
        }
        result
    }
}

/// A stream that records its activity.
#[derive(Debug)]
pub(super) struct Watched<S> {
    pub(super) stream: S,
    pub(super) activity: Arc<Activity>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        self.activity.progressed();
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.activity.wrote(result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.activity.wrote(result)
    }

    // Otherwise hyper copies each body to its own buffer.
    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
