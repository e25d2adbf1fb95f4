//! Turns of connections: while the engine is busy, one connection of each place at a time reads and hands packets over.
//!
//! So places share a busy worker equally, however many connections each of them has.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::OwnedMutexGuard;

use super::limits::Place;

/// The turns of one worker's connections.
#[derive(Debug, Default)]
pub(super) struct Turns(Mutex<HashMap<Place, Arc<tokio::sync::Mutex<()>>>>);

/// The part of one connection in the turns of its place.
#[derive(Debug)]
pub(super) struct Turn {
    turns: Arc<Turns>,
    place: Place,
    current: Arc<tokio::sync::Mutex<()>>,
}

impl Turns {
    pub(super) fn join(self: &Arc<Self>, place: Place) -> Turn {
        let current = Arc::clone(self.lock().entry(place).or_default());
        Turn { turns: Arc::clone(self), place, current }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Place, Arc<tokio::sync::Mutex<()>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turn {
    /// Waits until no other connection of the place has the turn, in the order of the calls.
    pub(super) async fn begin(&self) -> OwnedMutexGuard<()> {
        Arc::clone(&self.current).lock_owned().await
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut places = self.turns.lock();
        // The map's and this one.
        if Arc::strong_count(&self.current) <= 2 {
            places.remove(&self.place);
        }
    }
}
