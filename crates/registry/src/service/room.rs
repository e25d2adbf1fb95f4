//! Room for a new entry: the limits, and the removal of an unproved entry from a full registry.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use super::{Rejection, Service};
use crate::caps::{Decision, Source};
use crate::store::{Transaction, source_columns};

/// Counting reads all entries, so it takes at most a twentieth of the time, however many strangers register.
const COUNT_AGAIN_FACTOR: u32 = 20;

/// Numbers of unproved entries of each network, from time to time counted again.
#[derive(Debug, Default)]
pub(super) struct Crowds(Mutex<Option<Counted>>);

#[derive(Debug)]
struct Counted {
    by_network: HashMap<String, i64>,
    at: Instant,
    took: Duration,
}

impl Counted {
    fn is_outdated(&self) -> bool {
        self.at.elapsed() >= self.took * COUNT_AGAIN_FACTOR
    }

    /// Network with the most unproved entries, the first by name among equals.
    fn largest(&self) -> Option<String> {
        let largest = self.by_network.iter().max_by_key(|(network, count)| (**count, Reverse(*network)));
        largest.map(|(network, _)| network.clone())
    }
}

impl Service {
    /// Checks the limits for an identity without an entry; removes another entry if the registry is full.
    pub(super) async fn make_room(&self, transaction: &mut Transaction, source: &Source) -> Result<(), Rejection> {
        let counts = transaction.counts(source, self.0.reputation.active).await?;
        match self.0.caps.decide(source, &counts) {
            Decision::Admit => Ok(()),
            Decision::Evict => self.evict(transaction, source).await,
            Decision::Refuse(full) => Err(Rejection::Full(full)),
        }
    }

    /// Removes the unproved entry with the oldest renewal from the network with the most unproved entries, for a new
    /// entry from this source.
    async fn evict(&self, transaction: &mut Transaction, source: &Source) -> Result<(), Rejection> {
        let active = self.0.reputation.active;
        let mut crowds = self.0.crowds.0.lock().await;
        let counted = match crowds.take().filter(|counted| !counted.is_outdated()) {
            Some(counted) => counted,
            None => count(transaction, active).await?,
        };
        let counted = crowds.insert(counted);
        while let Some(network) = counted.largest() {
            if transaction.evict_from(&network, active).await? {
                *counted.by_network.entry(network).or_default() -= 1;
                let (_, of_new) = source_columns(source);
                *counted.by_network.entry(of_new.to_owned()).or_default() += 1;
                return Ok(());
            }
            // Its entries are proved or gone since.
            counted.by_network.remove(&network);
        }
        Err(Rejection::Full(self.0.caps.full()))
    }
}

async fn count(transaction: &mut Transaction, active: i64) -> Result<Counted, Rejection> {
    let started = Instant::now();
    let by_network = transaction.unproved_by_network(active).await?.into_iter().collect();
    Ok(Counted { by_network, at: Instant::now(), took: started.elapsed() })
}
