//! Waiting, for a thread that may.

use std::thread;
use std::time::{Duration, Instant};

/// Waiting never decides a test: on an idle machine everything takes a fraction of this.
pub(crate) const PATIENCE: Duration = Duration::from_mins(5);

/// How long another run on this machine may hold what there is one of.
pub(crate) const TURN: Duration = Duration::from_mins(40);

/// Lets this much time pass.
#[expect(clippy::disallowed_methods, reason = "these tests are threads and processes; no runtime is blocked")]
pub(crate) fn pause(duration: Duration) {
    thread::sleep(duration);
}

/// What there is to see, once there is something.
#[track_caller]
pub(crate) fn eventually<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    within(PATIENCE, what, look, String::new)
}

/// The same; if there never is anything, `story` tells what happened meanwhile.
#[track_caller]
pub(crate) fn eventually_or<T>(what: &str, look: impl FnMut() -> Option<T>, story: impl FnOnce() -> String) -> T {
    within(PATIENCE, what, look, story)
}

/// The same with a limit of its own.
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
