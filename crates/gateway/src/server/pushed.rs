//! Messages that were sent to a client and are not confirmed.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::unstored::Unstored;

/// Messages in the order in which they were sent.
#[derive(Debug, Default)]
pub(super) struct Pushed {
    messages: VecDeque<Sent>,
    /// Messages before the ping that is not answered.
    pinged: usize,
    pings: u64,
    is_waiting: bool,
}

/// One message.
#[derive(Debug)]
pub(super) enum Sent {
    /// In the inbox, with this number.
    Stored(i64),
    Unstored(Arc<Unstored>),
}

impl Pushed {
    pub(super) fn add(&mut self, sent: Sent) {
        self.messages.push_back(sent);
    }

    pub(super) fn len(&self) -> usize {
        self.messages.len()
    }

    /// Whether a ping waits for its answer.
    pub(super) fn is_waiting(&self) -> bool {
        self.is_waiting
    }

    /// The content of a ping for everything sent so far, unless another one waits for its answer.
    pub(super) fn ping(&mut self) -> Option<[u8; 8]> {
        if self.is_waiting {
            return None;
        }
        self.is_waiting = true;
        self.pings += 1;
        self.pinged = self.messages.len();
        Some(self.pings.to_be_bytes())
    }

    /// Confirms what was sent before the ping with this content. Returns the highest number that can leave the inbox.
    pub(super) fn pong(&mut self, content: &[u8]) -> Option<i64> {
        if !self.is_waiting || content != self.pings.to_be_bytes() {
            return None;
        }
        self.is_waiting = false;
        let confirmed = self.messages.drain(..self.pinged);
        let number = |sent| match sent {
            Sent::Stored(number) => Some(number),
            Sent::Unstored(message) => {
                message.set_safe();
                None
            }
        };
        confirmed.filter_map(number).max()
    }

    /// What is in memory only.
    pub(super) fn into_unstored(self) -> impl Iterator<Item = Arc<Unstored>> {
        let unstored = |sent| if let Sent::Unstored(message) = sent { Some(message) } else { None };
        self.messages.into_iter().filter_map(unstored).filter(|message| !message.is_safe())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connected::Connected;
    use crate::store::Message;

    #[test]
    fn a_pong_confirms_what_was_sent_before_its_ping() {
        let connected = Arc::new(Connected::default());
        let (_claim, _live) = connected.claim(&[1; 32]).unwrap();
        let unstored = |fill| connected.push(Message { client: [1; 32], content: vec![fill] }).unwrap();
        let (before, after, stored_meanwhile) = (unstored(1), unstored(2), unstored(3));
        let mut pushed = Pushed::default();
        pushed.add(Sent::Stored(4));
        pushed.add(Sent::Unstored(Arc::clone(&before)));
        pushed.add(Sent::Stored(9));
        let ping = pushed.ping().unwrap();
        assert_eq!(pushed.ping(), None);
        pushed.add(Sent::Stored(10));
        pushed.add(Sent::Unstored(Arc::clone(&after)));
        pushed.add(Sent::Unstored(Arc::clone(&stored_meanwhile)));
        assert_eq!(pushed.pong(b"another"), None);
        assert_eq!((pushed.len(), pushed.is_waiting(), before.is_safe()), (6, true, false));
        assert_eq!(pushed.pong(&ping), Some(9));
        assert_eq!((before.is_safe(), after.is_safe()), (true, false));
        assert_eq!(pushed.pong(&ping), None);
        assert_ne!(pushed.ping(), Some(ping));
        stored_meanwhile.set_safe();
        let left: Vec<_> = pushed.into_unstored().map(|message| message.content.clone()).collect();
        assert_eq!(left, [[2]]);
    }
}
