//! Counts of successful and failed exports to collectors.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tracing::{info, warn};

use super::instruments::{LOSSES, SIGNALS};

/// What is exported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    Traces,
    Metrics,
}

/// Reasons for a lost export.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Loss {
    /// The collector could not be reached, or rejected it.
    Failed,
    /// The collector did not answer in time.
    TimedOut,
    /// The queue was full.
    QueueFull,
}

/// Counters of one run, shared by all exporters.
#[derive(Debug, Default)]
pub struct Losses {
    exported: [AtomicU64; SIGNALS.len()],
    lost: [[AtomicU64; LOSSES.len()]; SIGNALS.len()],
    /// Whether the current failure has been logged.
    failing: [AtomicBool; SIGNALS.len()],
}

impl Signal {
    /// The name used in attributes and variables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        SIGNALS[self as usize]
    }
}

impl Losses {
    /// Counts items that a collector accepted.
    pub(crate) fn count_exported(&self, signal: Signal, count: u64) {
        self.exported[signal as usize].fetch_add(count, Ordering::Relaxed);
        if self.failing[signal as usize].swap(false, Ordering::Relaxed) {
            info!("The collector accepts {} again", signal.name());
        }
    }

    /// Counts lost items. Logs only the first of several consecutive failures.
    pub(crate) fn count_lost(&self, signal: Signal, loss: Loss, count: u64, problem: &str) {
        self.lost[signal as usize][loss as usize].fetch_add(count, Ordering::Relaxed);
        if !self.failing[signal as usize].swap(true, Ordering::Relaxed) {
            warn!("{} cannot be exported and are lost: {problem}; mixing continues", signal.name());
        }
    }

    /// Numbers of accepted items, by signal.
    pub fn exported(&self) -> impl Iterator<Item = (&'static str, u64)> {
        SIGNALS.iter().zip(&self.exported).map(|(signal, count)| (*signal, count.load(Ordering::Relaxed)))
    }

    /// Numbers of lost items, by signal and reason.
    pub fn lost(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
        SIGNALS.iter().zip(&self.lost).flat_map(|(signal, counts)| {
            LOSSES.iter().zip(counts).map(|(loss, count)| (*signal, *loss, count.load(Ordering::Relaxed)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_are_counted_by_signal_and_reason() {
        let losses = Losses::default();
        losses.count_lost(Signal::Metrics, Loss::TimedOut, 2, "too slow");
        losses.count_exported(Signal::Traces, 5);
        assert!(losses.lost().any(|lost| lost == ("metrics", "timed_out", 2)));
        assert_eq!(losses.lost().map(|(_, _, count)| count).sum::<u64>(), 2);
        assert_eq!(losses.exported().collect::<Vec<_>>(), [("traces", 5), ("metrics", 0)]);
    }
}
