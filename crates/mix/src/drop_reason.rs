//! Reasons for dropping packets, and their counters.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use nym_mixnode_sphinx::UnwrapError;
use nym_mixnode_wire::SizeUnknown;

macro_rules! drop_reasons {
    ($($(#[$doc:meta])* $variant:ident => $label:literal,)*) => {
        /// Why a packet was dropped. The closed list is also the list of metric labels.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum DropReason { $($(#[$doc])* $variant,)* }

        impl DropReason {
            /// Every reason, in the order of their discriminants.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The metric label: lower-case words joined by `_`, stable across releases.
            #[must_use]
            pub const fn label(self) -> &'static str {
                match self { $(Self::$variant => $label,)* }
            }
        }
    };
}

drop_reasons! {
    /// The packet's size is not one of `mix.packet_sizes`.
    SizeRefused => "size_refused",
    /// The header's MAC does not match: damaged, forged, or made for another key.
    BadMac => "bad_mac",
    /// α has low order, so the shared secret would be zero and known to everyone.
    LowOrderPoint => "low_order_point",
    /// The slot's flag is neither "forward" nor "final".
    BadRoutingFlag => "bad_routing_flag",
    /// The Sphinx version in the slot is not supported.
    BadVersion => "bad_version",
    /// The next-hop address is neither IPv4 nor IPv6.
    BadAddress => "bad_address",
    /// The requested delay exceeds the maximum of this node.
    DelayTooLong => "delay_too_long",
    /// The replay tag was seen before.
    Replay => "replay",
    /// The forwarding policy does not allow the next hop.
    NextHopRefused => "next_hop_refused",
    /// The framing of the next hop's release does not support this packet size.
    SizeUnknownToNextHop => "size_unknown_to_next_hop",
    /// The queue of the next hop is full: it accepts packets more slowly than they arrive.
    NextHopQueueFull => "next_hop_queue_full",
    /// The packet waited too long for a next hop that could not be reached.
    NextHopUnreachable => "next_hop_unreachable",
    /// The limit on next hops with a queue is reached.
    TooManyNextHops => "too_many_next_hops",
    /// The node stopped before the packet was due or before its next hop accepted it.
    Shutdown => "shutdown",
}

impl fmt::Display for DropReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

impl From<UnwrapError> for DropReason {
    fn from(error: UnwrapError) -> Self {
        match error {
            UnwrapError::BadMac => Self::BadMac,
            UnwrapError::LowOrderPoint => Self::LowOrderPoint,
            UnwrapError::BadRoutingFlag => Self::BadRoutingFlag,
            UnwrapError::BadVersion => Self::BadVersion,
            UnwrapError::BadAddress => Self::BadAddress,
        }
    }
}

impl From<SizeUnknown> for DropReason {
    fn from(_: SizeUnknown) -> Self {
        Self::SizeUnknownToNextHop
    }
}

/// How many packets were dropped, by reason.
#[derive(Debug, Default)]
pub struct DropCounters([AtomicU64; DropReason::ALL.len()]);

impl DropCounters {
    /// Counts one packet.
    pub fn count(&self, reason: DropReason) {
        self.0[reason as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Packets dropped for `reason` so far.
    #[must_use]
    pub fn get(&self, reason: DropReason) -> u64 {
        self.0[reason as usize].load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_distinct_and_discriminants_count_up() {
        let mut labels: Vec<_> = DropReason::ALL.iter().map(|r| r.label()).collect();
        labels.sort_unstable();
        labels.dedup();
        assert_eq!(labels.len(), DropReason::ALL.len());
        for (i, reason) in DropReason::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, i);
        }
    }
}
