//! What a mix decides about a packet: whether it is a replay, where it may go, when it leaves, and why it is dropped.
//!
//! No I/O, and no clock of its own: callers pass the time.

mod delay_queue;
mod drop_reason;
mod packet;
mod policy;
mod replay;

use std::time::Duration;

pub use delay_queue::DelayQueue;
pub use drop_reason::{DropCounters, DropReason};
pub use packet::{Received, Scheduled};
pub use policy::{NextHops, Policy, Rule};
pub use replay::{Aging, OutOfMemory, ReplayFilter, ReplayWindow};

/// The upper bounds of the counts of late packets, in milliseconds.
pub const LAG_BOUNDS_MS: [u64; 6] = [1, 2, 5, 10, 50, 250];

/// Whether a sender may ask for this delay. It is granted in full or not at all: a delay that the node shortens is not
/// the one that the sender chose.
///
/// # Errors
/// When the delay is longer than `delay_max`.
pub fn check_delay(delay: Duration, delay_max: Duration) -> Result<(), DropReason> {
    if delay > delay_max { Err(DropReason::DelayTooLong) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAP: Duration = Duration::from_secs(10);

    #[test]
    fn hostile_delays_are_granted_or_dropped_by_reason() {
        let nanos = Duration::from_nanos;
        let granted = [nanos(0), nanos(1), CAP - nanos(1), CAP];
        for delay in granted {
            assert_eq!(check_delay(delay, CAP), Ok(()));
        }
        let refused = [
            CAP + nanos(1),
            Duration::from_millis((1 << 36) - 1),
            Duration::from_millis(1 << 36),
            Duration::from_millis((1 << 36) + 1),
            nanos(1 << 63),
            nanos(u64::MAX),
        ];
        for delay in refused {
            assert_eq!(check_delay(delay, CAP), Err(DropReason::DelayTooLong));
        }
    }
}
