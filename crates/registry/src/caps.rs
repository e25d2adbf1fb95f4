//! Limits on entries that no test packet has proved, per address and per network.
//!
//! A client can register as many identities as it can send requests. An entry is proved when a test packet came back
//! through it, when the operator admitted it, or when it is in the active set. Proved entries do not count towards the
//! limits per address and network.

use std::net::IpAddr;
use std::time::Duration;

use nym_mixnode_net::{is_globally_routable, prefix};

/// Limits on entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caps {
    /// Maximum number of unproved entries per IPv4 address or IPv6 /64.
    pub per_subscriber: u64,
    /// Maximum number of unproved entries per IPv4 /24 or IPv6 /48.
    pub per_network: u64,
    /// Maximum number of all entries, so that nodes accept the size of the topology.
    pub total: u64,
}

impl Caps {
    /// With more entries of maximum length, nodes would reject the topology as too large.
    pub const TOTAL_MAX: u64 = 10_000;
}

impl Default for Caps {
    fn default() -> Self {
        Self { per_subscriber: 32, per_network: 256, total: Self::TOTAL_MAX }
    }
}

/// Lifetime of a mix's entry that no registration, report or passed test renews.
pub(super) const MIX_LIFETIME: Duration = Duration::from_hours(24);

/// Lifetime of a gateway's entry. Longer, because original gateways register only once, when they start.
pub(super) const GATEWAY_LIFETIME: Duration = Duration::from_hours(7 * 24);

/// How long before expiry the registry dials an unsigned gateway, to renew its entry if it answers.
pub(super) const DIALLED_BEFORE: Duration = Duration::from_hours(24);

/// Lifetime of an entry without a proven address.
pub(super) const PENDING_LIFETIME: Duration = Duration::from_hours(1);

/// How long a signing identity without an entry is remembered after its last signed call.
pub(super) const SIGNER_LIFETIME: Duration = Duration::from_hours(7 * 24);

/// The same for an identity with reputation; the reputation is deleted with it.
pub(super) const REPUTATION_LIFETIME: Duration = Duration::from_hours(365 * 24);

/// Converts a duration to nanoseconds, the unit of stored times.
pub(super) fn nanoseconds(time: Duration) -> i64 {
    i64::try_from(time.as_nanos()).unwrap_or(i64::MAX)
}

/// Source of a registration, for counting entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source {
    /// Public address, with the groups that it belongs to.
    Internet { subscriber: String, network: String },
    /// Address of a private network, whose operator controls access.
    Private,
    /// Hidden by a proxy. All such callers share the limit of one network.
    Unknown,
}

impl Source {
    pub(super) fn of(caller: Option<IpAddr>) -> Self {
        match caller {
            None => Self::Unknown,
            Some(ip) if !is_globally_routable(ip) => Self::Private,
            Some(ip) => Self::Internet {
                subscriber: prefix::subscriber(ip).to_string(),
                network: prefix::network(ip).to_string(),
            },
        }
    }
}

/// Existing entries, without that of the identity that registers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Unproved entries from the same address; 0 if it has no limit.
    pub(super) of_subscriber: u64,
    /// Unproved entries from the same network, or from unknown addresses if the caller's is unknown; 0 without a limit.
    pub(super) of_network: u64,
    /// All entries.
    pub(super) total: u64,
}

/// Decision on a registration of an identity without an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Decision {
    /// The limits allow another entry.
    Admit,
    /// The entry fits once another is removed, if one is unproved: of the network with the most unproved entries, the one
    /// with the oldest renewal.
    Evict,
    /// The limits are reached.
    Refuse(Full),
}

/// The limit that was reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Full {
    /// Owner of the limit: an address, a network or the registry.
    pub(super) of: String,
    /// Maximum number of entries.
    pub(super) cap: u64,
}

impl std::fmt::Display for Full {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { of, cap } = self;
        write!(
            f,
            "{of} has reached its limit of {cap} entries; try again when test packets have proved some of \
             them or some have expired"
        )
    }
}

impl Caps {
    /// Maximum number of remembered signing identities without entry and reputation. The newest are kept: a client can
    /// register and unregister without end.
    pub(super) fn gone_signers(&self) -> u64 {
        self.total.saturating_mul(10)
    }

    pub(super) fn decide(&self, source: &Source, counts: &Counts) -> Decision {
        let full = |of: &str, cap| Decision::Refuse(Full { of: of.to_owned(), cap });
        match source {
            Source::Internet { subscriber, .. } if counts.of_subscriber >= self.per_subscriber => {
                return full(subscriber, self.per_subscriber);
            }
            Source::Internet { network, .. } if counts.of_network >= self.per_network => {
                return full(network, self.per_network);
            }
            Source::Unknown if counts.of_network >= self.per_network => {
                return full("the untrusted proxy in front of this caller", self.per_network);
            }
            Source::Internet { .. } | Source::Private | Source::Unknown => {}
        }
        if counts.total >= self.total { Decision::Evict } else { Decision::Admit }
    }

    /// The limit on all entries.
    pub(super) fn full(&self) -> Full {
        Full { of: "this registry".to_owned(), cap: self.total }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::ENTRY_BYTES_MAX;
    use nym_mixnode_directory::ClientLimits;

    fn source(ip: &str) -> Source {
        Source::of(Some(ip.parse().unwrap()))
    }

    #[test]
    fn sources_are_grouped_by_address_and_network() {
        let internet = |subscriber: &str, network: &str| Source::Internet {
            subscriber: subscriber.to_owned(),
            network: network.to_owned(),
        };
        for (ip, expected) in [
            ("36.68.243.18", internet("36.68.243.18/32", "36.68.243.0/24")),
            ("::ffff:36.68.243.18", internet("36.68.243.18/32", "36.68.243.0/24")),
            ("2600:1:2:3:4::5", internet("2600:1:2:3::/64", "2600:1:2::/48")),
            ("10.0.0.1", Source::Private),
            ("127.0.0.1", Source::Private),
            ("fd17:89::11", Source::Private),
        ] {
            assert_eq!(source(ip), expected, "{ip}");
        }
        assert_eq!(Source::of(None), Source::Unknown);
    }

    #[test]
    fn a_registration_is_admitted_evicts_another_or_is_refused() {
        let caps = Caps { per_subscriber: 2, per_network: 4, total: 10 };
        let counts = |of_subscriber, of_network, total| Counts { of_subscriber, of_network, total };
        let refused = |word: &str, decision: Decision| match decision {
            Decision::Refuse(full) => assert!(full.to_string().contains(word), "{full}"),
            other => panic!("{other:?}"),
        };
        let stranger = source("36.68.243.18");
        for (source, counts, expected) in [
            (&stranger, counts(0, 0, 0), Decision::Admit),
            (&stranger, counts(1, 3, 9), Decision::Admit),
            (&stranger, counts(1, 3, 10), Decision::Evict),
            (&stranger, counts(0, 0, 12), Decision::Evict),
            (&source("10.0.0.1"), counts(9, 9, 9), Decision::Admit),
            (&source("10.0.0.1"), counts(9, 9, 10), Decision::Evict),
            (&Source::Unknown, counts(0, 3, 3), Decision::Admit),
        ] {
            assert_eq!(caps.decide(source, &counts), expected, "{source:?} {counts:?}");
        }
        refused("36.68.243.18/32", caps.decide(&stranger, &counts(2, 2, 2)));
        refused("36.68.243.0/24", caps.decide(&stranger, &counts(1, 4, 4)));
        refused("proxy", caps.decide(&Source::Unknown, &counts(0, 4, 4)));
        refused("this registry", Decision::Refuse(caps.full()));
    }

    #[test]
    fn nodes_accept_the_longest_topology() {
        // Each entry is listed with its time and its reputation.
        const LISTED_BYTES: usize = 100;
        let entries = usize::try_from(Caps::default().total).unwrap();
        let longest = entries * (ENTRY_BYTES_MAX + LISTED_BYTES);
        assert!(longest < ClientLimits::default().body_bytes_max, "{longest}");
    }
}
