//! The connections of present clients, at most one for each.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, mpsc};

use crate::ClientId;
use crate::store::Message;
use crate::unstored::Unstored;

/// Messages that wait for a connection. More go to the inbox.
const QUEUE_MAX: usize = 128;

/// Finds the connection of a client.
#[derive(Default)]
pub struct Connected(Mutex<HashMap<ClientId, Entry>>);

struct Entry {
    queue: mpsc::Sender<Arc<Unstored>>,
    inbox: Arc<Notify>,
}

/// What a connection receives for its client.
pub struct Live {
    /// Messages that have arrived while the client is present.
    pub queue: mpsc::Receiver<Arc<Unstored>>,
    /// Notified when a message was put into the inbox.
    pub inbox: Arc<Notify>,
}

/// Keeps other connections of the client out until it is dropped, however the connection ends.
pub struct Claim {
    connected: Arc<Connected>,
    client: ClientId,
}

impl Claim {
    /// The client of the connection.
    #[must_use]
    pub fn client(&self) -> &ClientId {
        &self.client
    }
}

impl Connected {
    /// Makes the caller the connection of this client; `None` if it has one.
    pub fn claim(self: &Arc<Self>, client: &ClientId) -> Option<(Claim, Live)> {
        let mut clients = self.lock();
        if clients.contains_key(client) {
            return None;
        }
        let (sender, queue) = mpsc::channel(QUEUE_MAX);
        let inbox = Arc::new(Notify::new());
        clients.insert(*client, Entry { queue: sender, inbox: Arc::clone(&inbox) });
        Some((Claim { connected: Arc::clone(self), client: *client }, Live { queue, inbox }))
    }

    /// Hands a message to the connection of its client.
    ///
    /// # Errors
    /// The message, when the client is absent or too slow.
    pub fn push(&self, message: Message) -> Result<Arc<Unstored>, Message> {
        let clients = self.lock();
        let place = clients.get(&message.client).and_then(|entry| entry.queue.try_reserve().ok());
        let Some(place) = place else { return Err(message) };
        let message = Arc::new(Unstored::new(message));
        place.send(Arc::clone(&message));
        Ok(message)
    }

    /// Tells the connection of a client, if it has one, that its inbox is not empty.
    pub fn notify(&self, client: &ClientId) {
        if let Some(entry) = self.lock().get(client) {
            entry.inbox.notify_one();
        }
    }

    /// Number of present clients.
    #[must_use]
    pub fn count(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ClientId, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.connected.lock().remove(&self.client);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_has_one_connection_until_it_ends() {
        let connected = Arc::new(Connected::default());
        let (claim, _live) = connected.claim(&[1; 32]).unwrap();
        assert!(connected.claim(&[1; 32]).is_none());
        assert!(connected.claim(&[2; 32]).is_some());
        assert_eq!(connected.count(), 1);
        drop(claim);
        assert!(connected.claim(&[1; 32]).is_some());
    }

    #[test]
    fn messages_for_absent_and_slow_clients_come_back() {
        let message = |fill| Message { client: [1; 32], content: vec![fill] };
        let connected = Arc::new(Connected::default());
        assert_eq!(connected.push(message(7)).unwrap_err(), message(7));
        let (_claim, mut live) = connected.claim(&[1; 32]).unwrap();
        for _ in 0..QUEUE_MAX {
            connected.push(message(7)).unwrap();
        }
        assert_eq!(connected.push(message(8)).unwrap_err(), message(8));
        assert_eq!(**live.queue.try_recv().unwrap(), message(7));
        connected.push(message(9)).unwrap();
        drop(live);
        assert_eq!(connected.push(message(8)).unwrap_err(), message(8));
    }
}
