//! Decisions of a mix about a packet: replay detection, next-hop policy, delay, drop reason, and the state of the
//! connection that sends it.
//!
//! No I/O and no clock: callers pass the time.

mod delay_queue;
mod drop_reason;
pub mod outgoing;
mod packet;
mod policy;
mod release;
mod replay;

use std::time::Duration;

pub use delay_queue::DelayQueue;
pub use drop_reason::{DropCounters, DropReason};
pub use outgoing::Outgoing;
pub use packet::{Received, Scheduled};
pub use policy::{NextHops, Policy, Rule};
pub use release::ReleaseIntervals;
pub use replay::{Aging, OutOfMemory, ReplayFilter, ReplayWindow};

/// Bucket bounds of the counts of late packets, in milliseconds.
pub const LAG_BOUNDS_MS: [u64; 6] = [1, 2, 5, 10, 50, 250];

/// Checks a requested delay against the maximum. The node never shortens a delay: it drops the packet instead.
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
