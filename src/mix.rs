//! Holding each packet for the time its sender chose: never less, and not much more.

mod delay_queue;
mod driver;

use std::time::Duration;

use tokio::time::Instant;

use crate::packet::{DropReason, PacketMode};

pub use delay_queue::DelayQueue;
pub use driver::{PoolGauge, drive};

/// When a packet may leave. The time it has spent in the node counts against its delay.
///
/// # Errors
/// When the sender asks for more than `delay_max`: such a packet is dropped, not sent early, for a delay that the node
/// shortens is one that its sender did not choose.
pub fn due(
    received_at: Instant,
    mode: PacketMode,
    delay: Duration,
    delay_max: Duration,
) -> Result<Instant, DropReason> {
    match mode {
        PacketMode::Vpn => Ok(received_at),
        PacketMode::Mix if delay > delay_max => Err(DropReason::DelayTooLong),
        PacketMode::Mix => Ok(received_at + delay),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAP: Duration = Duration::from_secs(10);

    #[test]
    fn hostile_delays_are_granted_or_dropped_by_reason() {
        let at = Instant::now();
        let nanos = Duration::from_nanos;
        let granted = [nanos(0), nanos(1), CAP - nanos(1), CAP];
        for delay in granted {
            assert_eq!(due(at, PacketMode::Mix, delay, CAP), Ok(at + delay));
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
            assert_eq!(due(at, PacketMode::Mix, delay, CAP), Err(DropReason::DelayTooLong));
        }
    }

    #[test]
    fn a_vpn_packet_is_not_held_whatever_its_header_says() {
        let at = Instant::now();
        assert_eq!(due(at, PacketMode::Vpn, Duration::MAX, CAP), Ok(at));
    }
}
