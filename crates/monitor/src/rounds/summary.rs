//! Result of a round, for the log and the terminal.

use std::collections::HashMap;
use std::fmt;

use nym_mixnode_api::{BatchMixStatus, MixStatus, layers_without_active};
use nym_mixnode_base::count::counted;

use super::{LaneKey, Listing, NodeProgress};
use crate::family::IpFamily;
use crate::gateways::TestedGateway;
use crate::report::Counts;

/// Nodes over one IP version.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FamilySummary {
    /// Nodes with a verdict in this round.
    pub tested: usize,
    /// Nodes that passed.
    pub up: usize,
}

/// Result of a round.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// Listed nodes.
    pub nodes: usize,
    /// Nodes in the active set.
    pub active: usize,
    /// Results over IPv4.
    pub ipv4: FamilySummary,
    /// Results over IPv6.
    pub ipv6: FamilySummary,
    /// Results of the gateways over both IP versions.
    pub gateways: FamilySummary,
    /// Packets over random routes.
    pub routes: Counts,
    /// Identities of nodes that failed, with the IP version.
    pub down: Vec<(String, IpFamily)>,
    /// Layers without an active node.
    pub empty_layers: Vec<u64>,
    /// Whether a layer is empty although there was time to fill it, and none of its nodes gains reputation.
    pub is_overdue: bool,
    /// IP versions whose failures are not reported, because none of several mixes or gateways passed.
    pub withheld: Vec<IpFamily>,
    /// Whether the nodes may not know the monitor yet.
    pub settling: bool,
    /// The node that will be the last to join the active set.
    pub progress: Option<NodeProgress>,
}

impl Summary {
    pub(super) fn new(
        listing: &Listing,
        verdicts: &HashMap<LaneKey, bool>,
        routes: Counts,
        withheld: Vec<IpFamily>,
    ) -> Self {
        let over = |family: IpFamily| {
            let of_family = || verdicts.iter().filter(|((_, of), _)| *of == family);
            FamilySummary { tested: of_family().count(), up: of_family().filter(|(_, up)| **up).count() }
        };
        let down = verdicts.iter().filter(|((_, family), up)| !**up && !withheld.contains(family));
        let mut down: Vec<_> = down.map(|((identity, family), _)| (identity.to_string(), *family)).collect();
        down.sort_by(|a, b| a.0.cmp(&b.0));
        let active = || listing.nodes.iter().filter(|node| node.is_active);
        let has_active = |layer: &u64| active().any(|node| node.target.layer == *layer);
        Self {
            nodes: listing.nodes.len(),
            active: active().count(),
            ipv4: over(IpFamily::V4),
            ipv6: over(IpFamily::V6),
            gateways: FamilySummary::default(),
            routes,
            down,
            empty_layers: (1..=listing.layers).filter(|layer| !has_active(layer)).collect(),
            withheld,
            ..Self::default()
        }
    }

    /// Adds results of gateways to those of the round. Over the silent IP versions no gateway passed: if no mix passed
    /// either, failures are withheld.
    pub(crate) fn add_gateways(
        &mut self,
        tested: Vec<TestedGateway>,
        silent: &[IpFamily],
        results: &mut BatchMixStatus,
    ) {
        let up = tested.iter().filter(|gateway| gateway.status.up).count();
        self.gateways = FamilySummary { tested: tested.len(), up };
        let no_mix_passed = |family: IpFamily| match family {
            IpFamily::V4 => self.ipv4.up == 0,
            IpFamily::V6 => self.ipv6.up == 0,
        };
        let is_withheld =
            |family: &IpFamily| self.withheld.contains(family) || silent.contains(family) && no_mix_passed(*family);
        let withheld: Vec<IpFamily> = IpFamily::ALL.into_iter().filter(is_withheld).collect();
        self.down.retain(|(_, family)| !withheld.contains(family));
        let is_over_withheld = |status: &MixStatus| withheld.iter().any(|of| of.ip_version() == status.ip_version);
        results.status.retain(|status| status.up || !is_over_withheld(status));
        let counts =
            |gateway: &TestedGateway| gateway.status.up || !withheld.iter().any(|family| gateway.is_over(*family));
        results.status.extend(tested.into_iter().filter(counts).map(|gateway| gateway.status));
        self.withheld = withheld;
    }

    /// Whether clients can use the network: every layer has an active node.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        self.empty_layers.is_empty()
    }

    /// Whether anything but counts of packets differs.
    pub(crate) fn differs(&self, other: &Self) -> bool {
        let shown = |of: &Self| {
            let gateways_down = of.gateways.tested - of.gateways.up;
            (of.nodes, of.active, of.down.clone(), of.is_overdue, of.withheld.clone(), of.settling, gateways_down)
        };
        shown(self) != shown(other)
    }
}

/// Such as `6 nodes: 6 of 6 up over IPv4, 6 of 6 up over IPv6; random routes: 4 of 4 returned; active: 6`.
impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&counted(self.nodes, "node", "nodes"))?;
        let mut separator = ": ";
        for (family, FamilySummary { tested, up }) in [(IpFamily::V4, self.ipv4), (IpFamily::V6, self.ipv6)] {
            if tested > 0 {
                write!(f, "{separator}{up} of {tested} up over {family}")?;
                separator = ", ";
            }
        }
        if self.gateways.tested > 0 {
            let tests = counted(self.gateways.tested, "test", "tests");
            write!(f, "; gateways: {} of {tests} passed", self.gateways.up)?;
        }
        if self.routes.sent > 0 {
            write!(f, "; random routes: {} of {} returned", self.routes.returned, self.routes.sent)?;
        }
        write!(f, "; active: {}", self.active)?;
        if let Some(progress) = &self.progress {
            write!(f, "; last to join: {progress}")?;
        }
        if let Some(empty) = layers_without_active(&self.empty_layers) {
            write!(f, "; {empty}")?;
        }
        Ok(())
    }
}
