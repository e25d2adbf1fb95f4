//! How many exports reached a collector, and how many didn't: telemetry about telemetry.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tracing::{info, warn};

use super::instruments::{LOSSES, SIGNALS};

/// What is exported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    Traces,
    Metrics,
}

/// Why an export was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// The collector could not be reached, or refused it.
    Failed,
    /// The collector took too long.
    TimedOut,
    /// So much waits already that nothing more is kept.
    QueueFull,
}

/// Counts of a run, shared by all that exports.
#[derive(Debug, Default)]
pub struct Losses {
    exported: [AtomicU64; SIGNALS.len()],
    lost: [[AtomicU64; LOSSES.len()]; SIGNALS.len()],
    /// Whether the log says so already.
    failing: [AtomicBool; SIGNALS.len()],
}

impl Signal {
    /// The name in attributes and variables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        SIGNALS[self as usize]
    }
}

impl Losses {
    /// Counts what a collector took.
    pub fn count_exported(&self, signal: Signal, count: u64) {
        self.exported[signal as usize].fetch_add(count, Ordering::Relaxed);
        if self.failing[signal as usize].swap(false, Ordering::Relaxed) {
            info!("The collector takes {} again", signal.name());
        }
    }

    /// Counts what no collector took. The log has the first of several such failures.
    pub fn count_lost(&self, signal: Signal, loss: Loss, count: u64, problem: &str) {
        self.lost[signal as usize][loss as usize].fetch_add(count, Ordering::Relaxed);
        if !self.failing[signal as usize].swap(true, Ordering::Relaxed) {
            warn!("{} cannot be exported and are lost: {problem}; packets are mixed as ever", signal.name());
        }
    }

    /// What collectors took, by signal.
    pub fn exported(&self) -> impl Iterator<Item = (&'static str, u64)> {
        SIGNALS.iter().zip(&self.exported).map(|(signal, count)| (*signal, count.load(Ordering::Relaxed)))
    }

    /// What they didn't, by signal and reason.
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
