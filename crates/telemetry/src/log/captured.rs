//! Log lines kept in memory, with virtual time, so that tests can check them.
#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "for tests alone")]

use std::sync::{Arc, Mutex};

use tokio::time::Instant;
use tracing::level_filters::LevelFilter;
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

use super::record::Record;

/// Collects lines at INFO and above.
#[derive(Debug, Clone, Default)]
pub struct Captured(Arc<Mutex<Vec<(Instant, String)>>>);

impl Captured {
    /// The subscriber to log to.
    pub fn subscriber(&self) -> impl Subscriber + Send + Sync + use<> {
        tracing_subscriber::registry().with(self.clone().with_filter(LevelFilter::INFO))
    }

    /// The lines since the last call.
    pub fn take(&self) -> Vec<(Instant, String)> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

impl<S: Subscriber> Layer<S> for Captured {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        self.0.lock().unwrap().push((Instant::now(), Record::of(event).to_string()));
    }
}
