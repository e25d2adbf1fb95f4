//! Messages that were sent to a client and are not confirmed.

use std::collections::VecDeque;

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
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Sent {
    /// In the inbox, with this number.
    Stored(i64),
    /// Nowhere else.
    Live(Vec<u8>),
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
        let numbers = confirmed.filter_map(|sent| if let Sent::Stored(number) = sent { Some(number) } else { None });
        numbers.max()
    }

    /// What only this connection has.
    pub(super) fn into_live(self) -> impl Iterator<Item = Vec<u8>> {
        self.messages.into_iter().filter_map(|sent| if let Sent::Live(content) = sent { Some(content) } else { None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pong_confirms_what_was_sent_before_its_ping() {
        let mut pushed = Pushed::default();
        pushed.add(Sent::Stored(4));
        pushed.add(Sent::Live(vec![1]));
        pushed.add(Sent::Stored(9));
        let ping = pushed.ping().unwrap();
        assert_eq!(pushed.ping(), None);
        pushed.add(Sent::Stored(10));
        pushed.add(Sent::Live(vec![2]));
        assert_eq!(pushed.pong(b"another"), None);
        assert_eq!((pushed.len(), pushed.is_waiting()), (5, true));
        assert_eq!(pushed.pong(&ping), Some(9));
        assert_eq!(pushed.pong(&ping), None);
        assert_ne!(pushed.ping(), Some(ping));
        assert_eq!(pushed.into_live().collect::<Vec<_>>(), [vec![2]]);
    }
}
