//! Waiting, for a thread that may.

use std::thread;
use std::time::Duration;

/// Lets this much time pass.
#[expect(clippy::disallowed_methods, reason = "these tests are threads and processes; no runtime is blocked")]
pub(crate) fn pause(duration: Duration) {
    thread::sleep(duration);
}
