//! Body of a request that tells when all of it has arrived: from then on the connection waits for the server, and no
//! longer for its client.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use hyper::body::{Body, Frame, Incoming, SizeHint};

use super::activity::Activity;

/// Body of a request on a connection with this activity.
#[derive(Debug)]
pub(super) struct Received {
    body: Incoming,
    activity: Arc<Activity>,
}

impl Received {
    pub(super) fn new(body: Incoming, activity: Arc<Activity>) -> Self {
        let received = Self { body, activity };
        received.note_end();
        received
    }

    fn note_end(&self) {
        if self.body.is_end_stream() {
            self.activity.serves(true);
        }
    }
}

impl Body for Received {
    type Data = <Incoming as Body>::Data;
    type Error = <Incoming as Body>::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        self.note_end();
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
