//! What the pages show. Times are seconds since the epoch.

use std::cmp::Ordering;

use nym_mixnode_api::{IpVersion, PendingAddress};

/// The nodes of a network.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Network {
    /// Number of layers, counted from 1.
    pub layers: u64,
    /// Rules for the reputation.
    pub rules: Rules,
    /// Listed mixes and gateways.
    pub nodes: Vec<Node>,
    /// The registry's public key.
    pub registry_key: String,
}

/// How test packets change the reputation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rules {
    /// Minimum reputation for the active set.
    pub active_at: i64,
    /// Change for each passed test and IP version.
    pub passed: i64,
    /// Change for each failed test and IP version; negative.
    pub failed: i64,
    /// Minimum uptime of the last day for the active set, in per cent; 0 if it does not count.
    pub uptime_min: i64,
}

/// A listed mix or gateway.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Base58 of the identity key.
    pub identity: String,
    /// Base58 of the key for Sphinx packets.
    pub sphinx_key: String,
    pub role: Role,
    /// Protocol version, free text.
    pub version: String,
    /// Location, free text.
    pub location: String,
    /// Listed addresses, `ip:port`.
    pub addresses: Vec<String>,
    /// Time of the registration.
    pub since: i64,
    pub reputation: i64,
    /// Whether it is in the active set.
    pub is_active: bool,
    /// Recent tests over IPv4.
    pub v4: Option<Tests>,
    /// Recent tests over IPv6.
    pub v6: Option<Tests>,
}

/// Role of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Role {
    Mix {
        layer: u64,
    },
    Gateway {
        /// Address for clients, free text.
        clients_host: String,
        /// URL for clients with TLS, and the hash of the key there.
        clients_tls: Option<(String, String)>,
    },
}

/// Tests of one node over one IP version in the last hour.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tests {
    /// Whether the latest one passed.
    pub up: bool,
    /// Time of the latest one.
    pub at: i64,
    /// Mean interval in seconds; `None` if there was only one.
    pub interval: Option<f64>,
}

/// Passed tests out of all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Share {
    pub passed: u64,
    pub total: u64,
}

/// Test results of one node in a period that ends now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Length in hours.
    pub hours: i64,
    pub v4: Share,
    pub v6: Share,
}

/// Test results of one node over time, in intervals of equal length.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct History {
    /// Start of the first interval.
    pub from: i64,
    /// Length of an interval in seconds.
    pub interval: i64,
    /// Per interval, oldest first.
    pub v4: Vec<Share>,
    /// As `v4`, of the same length.
    pub v6: Vec<Share>,
}

/// What only the page of a single node shows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Detail {
    /// Announced addresses that are not listed, with the reasons.
    pub pending: Vec<PendingAddress>,
    /// Uptime, from the shortest period to the longest.
    pub windows: Vec<Window>,
    /// Tests in the last day, in half hours.
    pub day: History,
    /// Tests in the last 30 days, in days; empty for a node that was not tested before the last day.
    pub month: History,
    /// Reputation at the end of each hour or day, oldest first.
    pub reputation: Vec<ReputationPoint>,
}

/// Reputation at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReputationPoint {
    pub at: i64,
    pub reputation: i64,
}

/// What one layer did in the last complete hours.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LayerHistory {
    /// `None` for the gateways.
    pub layer: Option<u64>,
    /// Rounded number of packets that its nodes received in each hour, oldest first.
    pub packets: Vec<u64>,
    /// Tests of its nodes in each hour, of the same length.
    pub tests: Vec<Share>,
}

impl Network {
    /// The listed node with this identity.
    #[must_use]
    pub fn node(&self, identity: &str) -> Option<&Node> {
        self.nodes.iter().find(|node| node.identity == identity)
    }

    /// Layers without a node in the active set.
    pub(crate) fn empty_layers(&self) -> Vec<u64> {
        (1..=self.layers).filter(|layer| self.count(*layer).active == 0).collect()
    }

    /// Number of mixes of a layer, and how many of them are in the active set.
    pub(crate) fn count(&self, layer: u64) -> Count {
        self.count_if(|node| node.layer() == Some(layer))
    }

    /// Number of gateways, and how many of them are in the active set.
    pub(crate) fn count_gateways(&self) -> Count {
        self.count_if(|node| node.layer().is_none())
    }

    fn count_if(&self, is_counted: impl Fn(&Node) -> bool) -> Count {
        let mut count = Count::default();
        for node in self.nodes.iter().filter(|node| is_counted(node)) {
            count.listed += 1;
            count.active += usize::from(node.is_active);
        }
        count
    }
}

/// Number of nodes of one kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) listed: usize,
    /// Those in the active set.
    pub(crate) active: usize,
}

impl Node {
    /// Layer of a mix; `None` for a gateway.
    pub(crate) fn layer(&self) -> Option<u64> {
        match self.role {
            Role::Mix { layer } => Some(layer),
            Role::Gateway { .. } => None,
        }
    }

    pub(crate) fn tests(&self, version: IpVersion) -> Option<Tests> {
        match version {
            IpVersion::V4 => self.v4,
            IpVersion::V6 => self.v6,
        }
    }

    /// Whether an address of this IP version is listed.
    pub(crate) fn announces(&self, version: IpVersion) -> bool {
        self.addresses.iter().any(|address| address.starts_with('[') == (version == IpVersion::V6))
    }
}

impl LayerHistory {
    /// Tests of all hours together.
    pub(crate) fn all_tests(&self) -> Share {
        self.tests.iter().copied().fold(Share::default(), Share::plus)
    }

    /// The hour with the largest share of failed tests.
    pub(crate) fn worst_hour(&self) -> Share {
        let tested = self.tests.iter().copied().filter(|tests| tests.total > 0);
        tested.max_by(|one, other| one.failed_more_than(*other)).unwrap_or_default()
    }
}

impl Share {
    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self { passed: self.passed.saturating_add(other.passed), total: self.total.saturating_add(other.total) }
    }

    fn failed_more_than(self, other: Self) -> Ordering {
        let failed = |share: Self| u128::from(share.total.saturating_sub(share.passed));
        (failed(self) * u128::from(other.total)).cmp(&(failed(other) * u128::from(self.total)))
    }
}

impl Window {
    pub(crate) fn share(&self, version: IpVersion) -> Share {
        match version {
            IpVersion::V4 => self.v4,
            IpVersion::V6 => self.v6,
        }
    }
}

impl History {
    /// Length of all intervals together.
    pub(crate) fn hours(&self) -> i64 {
        i64::try_from(self.v4.len()).unwrap_or_default().saturating_mul(self.interval) / 3600
    }

    pub(crate) fn shares(&self, version: IpVersion) -> &[Share] {
        match version {
            IpVersion::V4 => &self.v4,
            IpVersion::V6 => &self.v6,
        }
    }
}

/// Both IP versions, in the order of the pages.
pub(crate) const IP_VERSIONS: [IpVersion; 2] = [IpVersion::V4, IpVersion::V6];

/// Name of an IP version.
pub(crate) fn ip_name(version: IpVersion) -> &'static str {
    match version {
        IpVersion::V4 => "IPv4",
        IpVersion::V6 => "IPv6",
    }
}
