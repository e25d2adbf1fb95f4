//! Holding each packet for the time its sender chose: never less, and not much more.

mod delay_queue;
mod driver;

use std::time::Duration;

use crate::packet::DropReason;

pub use delay_queue::DelayQueue;
pub use driver::{PoolGauge, drive};

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
