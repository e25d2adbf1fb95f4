//! Waiting for conditions in threads that may block.

use std::thread;
use std::time::{Duration, Instant};

/// A generous deadline: on an idle machine everything takes a fraction of it.
pub(crate) const PATIENCE: Duration = Duration::from_mins(5);

/// The maximum time to wait for a resource that another run on this machine uses.
pub(crate) const TURN: Duration = Duration::from_mins(40);

/// Sleeps.
#[expect(clippy::disallowed_methods, reason = "these tests are threads and processes; no runtime is blocked")]
pub(crate) fn pause(duration: Duration) {
    thread::sleep(duration);
}

/// Waits until `look` returns a value.
#[track_caller]
pub(crate) fn eventually<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    within(PATIENCE, what, look, String::new)
}

/// Like [`eventually`]; `story` returns logs for the failure.
#[track_caller]
pub(crate) fn eventually_or<T>(what: &str, look: impl FnMut() -> Option<T>, story: impl FnOnce() -> String) -> T {
    within(PATIENCE, what, look, story)
}

/// Like [`eventually_or`] with another deadline.
#[track_caller]
pub(crate) fn within<T>(
    limit: Duration,
    what: &str,
    mut look: impl FnMut() -> Option<T>,
    story: impl FnOnce() -> String,
) -> T {
    let began = Instant::now();
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(began.elapsed() < limit, "waited {limit:?} in vain: {what}\n{}", story());
        pause(Duration::from_millis(100));
    }
}
