//! Rounds of reads: a worker that has nothing left to do reads its connections once in each release interval.
//!
//! Packets leave at the end of an interval, so it helps nothing to wake up for each that arrives. Read together, several
//! packets of a connection take one system call, and all connections one look at the event loop.

use std::cell::Cell;
use std::num::NonZeroU64;
use std::time::{Duration, Instant};

use nym_mixnode_mix::ReleaseIntervals;
use rustix::thread::{nanosleep, set_current_timer_slack};

use crate::clock;
use crate::timer::timespec;

/// The longest pause, so that long release intervals do not delay anything else.
const PAUSE_MAX: Duration = Duration::from_millis(1);

thread_local! {
    /// When this thread has last read, unless it has paused since.
    static READ_AT: Cell<Option<Instant>> = const { Cell::new(None) };
}

pub(crate) fn note_read(at: Instant) {
    READ_AT.set(Some(at));
}

/// Makes the pauses of the calling thread exact. By default, the kernel ends each up to 50 µs late.
pub fn prepare_pauses() {
    // An error costs 50 µs.
    set_current_timer_slack(Some(NonZeroU64::MIN)).ok();
}

/// Puts the calling thread to sleep until the end of the release interval in which it has last read, once for each round
/// of reads. A thread that has read nothing does not sleep, so an idle worker costs nothing.
///
/// For the thread of a worker that is about to wait for events.
pub fn pause_after_reads(intervals: ReleaseIntervals) {
    let Some(read_at) = READ_AT.take() else { return };
    let pause = pause_at(clock::now(), read_at, intervals);
    if !pause.is_zero() {
        // A signal ends the pause early, which does no harm.
        let _rest = nanosleep(&timespec(pause));
    }
}

fn pause_at(now: Instant, read_at: Instant, intervals: ReleaseIntervals) -> Duration {
    intervals.end_after(read_at).saturating_duration_since(now).min(PAUSE_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTH: Duration = Duration::from_micros(800);

    #[test]
    fn a_pause_lasts_until_the_end_of_the_interval_of_the_last_read() {
        let start = Instant::now();
        let intervals = ReleaseIntervals::new(start, LENGTH);
        assert_eq!(pause_at(start + LENGTH / 2, start + LENGTH / 4, intervals), LENGTH / 2);
        assert_eq!(pause_at(start + LENGTH, start + LENGTH / 4, intervals), Duration::ZERO);
        assert_eq!(pause_at(start + 3 * LENGTH / 2, start + LENGTH / 4, intervals), Duration::ZERO, "it was busy");
        let long = ReleaseIntervals::new(start, 100 * LENGTH);
        assert_eq!(pause_at(start + LENGTH, start + LENGTH, long), PAUSE_MAX);
        let off = ReleaseIntervals::new(start, Duration::ZERO);
        assert_eq!(pause_at(start + LENGTH, start + LENGTH, off), Duration::ZERO);
    }

    #[test]
    fn a_thread_pauses_once_for_each_round_of_reads() {
        let intervals = ReleaseIntervals::new(Instant::now(), LENGTH);
        for _ in 0..10 {
            let now = clock::now();
            note_read(now);
            pause_after_reads(intervals);
            assert!(clock::now() >= intervals.end_after(now));
            assert_eq!(READ_AT.get(), None);
        }
    }
}
