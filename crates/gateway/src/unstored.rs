//! Messages that are in memory only.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::connected::Connected;
use crate::store::{Message, Outcome, Store, StoreError};

/// A message that was handed to the connection of its client.
#[derive(Debug)]
pub struct Unstored {
    message: Message,
    is_safe: AtomicBool,
}

impl Unstored {
    pub(crate) fn new(message: Message) -> Self {
        Self { message, is_safe: AtomicBool::new(false) }
    }

    /// Its client has confirmed it, or it is in the inbox.
    pub fn set_safe(&self) {
        self.is_safe.store(true, Ordering::Release);
    }

    #[must_use]
    pub fn is_safe(&self) -> bool {
        self.is_safe.load(Ordering::Acquire)
    }
}

impl Deref for Unstored {
    type Target = Message;

    fn deref(&self) -> &Message {
        &self.message
    }
}

/// Puts what is not safe into the inboxes, and tells the clients' connections. Messages for which an inbox has no room
/// stay as they are. `now`: seconds since 1970.
///
/// # Errors
/// When the store fails. Nothing is stored then.
pub(crate) async fn make_safe(
    messages: impl Iterator<Item = &Arc<Unstored>>,
    store: &Store,
    connected: &Connected,
    now: u64,
) -> Result<(), StoreError> {
    let unsafe_yet: Vec<_> = messages.filter(|message| !message.is_safe()).collect();
    if unsafe_yet.is_empty() {
        return Ok(());
    }
    let contents: Vec<_> = unsafe_yet.iter().map(|message| Message::clone(message)).collect();
    let outcomes = store.append(&contents, now).await?;
    for (message, _) in unsafe_yet.iter().zip(outcomes).filter(|(_, outcome)| *outcome == Outcome::Stored) {
        message.set_safe();
        // It may have connected, or read its inbox, meanwhile.
        connected.notify(&message.client);
    }
    Ok(())
}
