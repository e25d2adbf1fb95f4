//! How many entries one holder of addresses may have that no test packet has proved.
//!
//! Anybody can register as many identities as a flood has packets. An entry is proved when a test packet came back
//! through it, when the operator admitted it, or when it is in the active set; such entries have places of their own.

use std::net::IpAddr;
use std::time::Duration;

use nym_mixnode_net::{is_globally_routable, prefix};

/// Limits on entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caps {
    /// Unproved entries from one IPv4 address or one IPv6 /64.
    pub per_subscriber: u64,
    /// Unproved entries from one IPv4 /24 or one IPv6 /48.
    pub per_network: u64,
    /// Entries in all, so that the topology stays within what nodes accept.
    pub total: u64,
}

impl Caps {
    /// More entries, each as long as may be, would make a topology that nodes refuse.
    pub const TOTAL_MAX: u64 = 10_000;
}

impl Default for Caps {
    fn default() -> Self {
        Self { per_subscriber: 32, per_network: 256, total: Self::TOTAL_MAX }
    }
}

/// How long a mix's entry stays that neither a registration, a report nor a passed test renews.
pub(super) const MIX_LIFETIME: Duration = Duration::from_hours(24);

/// The same for a gateway: original ones register once, at their start.
pub(super) const GATEWAY_LIFETIME: Duration = Duration::from_hours(7 * 24);

/// How long before that the registry dials a gateway that never signs, to renew its entry when it answers.
pub(super) const DIALLED_BEFORE: Duration = Duration::from_hours(24);

/// The same for an entry of which nothing has proved an address.
pub(super) const PENDING_LIFETIME: Duration = Duration::from_hours(1);

/// How long an identity that has signed is remembered after its last signed call, once it has no entry.
pub(super) const SIGNER_LIFETIME: Duration = Duration::from_hours(7 * 24);

/// The same for an identity with reputation, which is forgotten with it.
pub(super) const REPUTATION_LIFETIME: Duration = Duration::from_hours(365 * 24);

/// As times are stored.
pub(super) fn nanoseconds(time: Duration) -> i64 {
    i64::try_from(time.as_nanos()).unwrap_or(i64::MAX)
}

/// Where a registration came from, for the purpose of counting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source {
    /// An address of the internet; the groups that it belongs to.
    Internet { subscriber: String, network: String },
    /// An address of a private network, whose operator decides who is in it.
    Private,
    /// A proxy hid it. Callers behind such proxies share the places of one network.
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

/// Entries that are there already, without that of the identity that registers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Unproved, from the same address.
    pub(super) of_subscriber: u64,
    /// Unproved, from the same network, or from unknown addresses if the caller's is unknown.
    pub(super) of_network: u64,
    /// Unproved, from anywhere.
    pub(super) unproved: u64,
    /// All.
    pub(super) total: u64,
}

/// What becomes of a registration of an identity that has no entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Decision {
    /// There is a place.
    Admit,
    /// There is one once an unproved entry of the network with the most of them is gone: the one that was not renewed
    /// for longest.
    Evict,
    /// There is none.
    Refuse(Full),
}

/// Which places are taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Full {
    /// Whose places.
    pub(super) of: String,
    /// How many there are.
    pub(super) cap: u64,
}

impl std::fmt::Display for Full {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { of, cap } = self;
        write!(f, "{of} has {cap} entries, the most it may have before test packets have proved them; try again later")
    }
}

impl Caps {
    /// Identities without entry and reputation that are remembered because they have signed: the newest ones. Anybody
    /// can register and unregister one after another.
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
                return full("your proxy, which the registry does not trust to name callers,", self.per_network);
            }
            Source::Internet { .. } | Source::Private | Source::Unknown => {}
        }
        match (counts.total >= self.total, counts.unproved) {
            (false, _) => Decision::Admit,
            (true, 0) => full("this registry", self.total),
            (true, _) => Decision::Evict,
        }
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
    fn sources_are_grouped_by_what_one_holder_has() {
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
    fn a_registration_is_admitted_has_another_evicted_or_is_refused() {
        let caps = Caps { per_subscriber: 2, per_network: 4, total: 10 };
        let counts = |of_subscriber, of_network, unproved, total| Counts { of_subscriber, of_network, unproved, total };
        let refused = |word: &str, decision: Decision| match decision {
            Decision::Refuse(full) => assert!(full.to_string().contains(word), "{full}"),
            other => panic!("{other:?}"),
        };
        let stranger = source("36.68.243.18");
        for (source, counts, expected) in [
            (&stranger, counts(0, 0, 0, 0), Decision::Admit),
            (&stranger, counts(1, 3, 9, 9), Decision::Admit),
            (&stranger, counts(1, 3, 1, 10), Decision::Evict),
            (&stranger, counts(0, 0, 10, 12), Decision::Evict),
            (&source("10.0.0.1"), counts(9, 9, 9, 9), Decision::Admit),
            (&source("10.0.0.1"), counts(9, 9, 9, 10), Decision::Evict),
            (&Source::Unknown, counts(0, 3, 3, 3), Decision::Admit),
        ] {
            assert_eq!(caps.decide(source, &counts), expected, "{source:?} {counts:?}");
        }
        refused("36.68.243.18/32", caps.decide(&stranger, &counts(2, 2, 2, 2)));
        refused("36.68.243.0/24", caps.decide(&stranger, &counts(1, 4, 4, 4)));
        refused("proxy", caps.decide(&Source::Unknown, &counts(0, 4, 4, 4)));
        refused("this registry", caps.decide(&stranger, &counts(0, 0, 0, 10)));
        refused("this registry", caps.decide(&source("10.0.0.1"), &counts(0, 0, 0, 10)));
    }

    #[test]
    fn the_longest_topology_is_within_what_nodes_accept() {
        // Each entry is listed with its time and its reputation.
        const LISTED_BYTES: usize = 100;
        let entries = usize::try_from(Caps::default().total).unwrap();
        let longest = entries * (ENTRY_BYTES_MAX + LISTED_BYTES);
        assert!(longest < ClientLimits::default().body_bytes_max, "{longest}");
    }
}
