//! Combines the results over both families into a verdict on a node.

use serde::Serialize;

use super::{FamilyReport, Target};
use crate::family::IpFamily;

/// Verdict on a node, over the families that it announces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// All packets returned, over all families that could be tested (at least one).
    Mixes,
    /// Some packets returned, and some did not.
    LosesPackets,
    /// It accepts packets, and none returned.
    DoesNotMix,
    /// It accepts no packets.
    NotReachable,
    /// No packet can be built for it.
    BadListing,
    /// No packet returned, possibly because of the prober.
    Undecided,
    /// None of its families can be tested from here.
    NotTested,
}

impl Verdict {
    pub(super) fn of(target: &Target, over: impl Fn(IpFamily) -> FamilyReport) -> Self {
        if target.defect.is_some() {
            return Self::BadListing;
        }
        let announced = IpFamily::ALL.into_iter().filter(|family| target.announces(*family));
        let verdicts: Vec<Self> = announced.map(|family| Self::over_one(&over(family))).collect();
        // From the worst to the best. Untested families do not affect the verdict.
        let order = [Self::NotReachable, Self::DoesNotMix, Self::LosesPackets, Self::Undecided, Self::Mixes];
        order.into_iter().find(|verdict| verdicts.contains(verdict)).unwrap_or(Self::NotTested)
    }

    /// Verdict over one family.
    #[must_use]
    pub const fn over_one(report: &FamilyReport) -> Self {
        match report {
            FamilyReport::NotTested { .. } => Self::NotTested,
            FamilyReport::Undecided { .. } => Self::Undecided,
            FamilyReport::NotReached { reason: Some(_), .. } => Self::NotReachable,
            FamilyReport::NotReached { reason: None, .. } => Self::DoesNotMix,
            FamilyReport::Tested { counts, .. } if counts.is_lossless() => Self::Mixes,
            FamilyReport::Tested { .. } => Self::LosesPackets,
        }
    }

    /// Whether the node is at fault, as far as this test can show.
    #[must_use]
    pub const fn is_fault(self) -> bool {
        match self {
            Self::LosesPackets | Self::DoesNotMix | Self::NotReachable | Self::BadListing => true,
            Self::Mixes | Self::Undecided | Self::NotTested => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Doubt;
    use super::super::target::tests::listed;
    use super::*;
    use crate::report::Counts;

    fn tested(returned: u64) -> FamilyReport {
        FamilyReport::Tested {
            reached_after_s: 1.0,
            counts: Counts { sent: 10, returned, lost: 10 - returned },
            latency_over_delay_ms: None,
        }
    }

    fn silent(reason: Option<&str>) -> FamilyReport {
        FamilyReport::NotReached { after_s: 40.0, reason: reason.map(str::to_owned) }
    }

    async fn verdict(hosts: &[&str], ipv4: &FamilyReport, ipv6: &FamilyReport) -> Verdict {
        let target = Target::resolve(&listed(hosts, &bs58::encode([9; 32]).into_string())).await;
        Verdict::of(&target, |family| if family == IpFamily::V4 { ipv4.clone() } else { ipv6.clone() })
    }

    #[tokio::test]
    async fn the_worst_announced_family_decides() {
        let both = ["192.0.2.1:1", "[2001:db8::1]:1"];
        let only_v4 = &both[..1];
        let untested = FamilyReport::NotTested { reason: "no IPv6 here".to_owned() };
        let undecided = FamilyReport::Undecided { after_s: 5.0, doubt: Doubt::NotHeardYet };
        for (hosts, ipv4, ipv6, expected) in [
            (&both[..], tested(10), tested(10), Verdict::Mixes),
            (&both, tested(10), untested.clone(), Verdict::Mixes),
            (&both, tested(10), tested(9), Verdict::LosesPackets),
            (&both, tested(10), silent(None), Verdict::DoesNotMix),
            (&both, silent(Some("refused")), silent(None), Verdict::NotReachable),
            (&both, tested(10), undecided.clone(), Verdict::Undecided),
            (&both, tested(9), undecided.clone(), Verdict::LosesPackets),
            (&both, untested.clone(), untested.clone(), Verdict::NotTested),
            (only_v4, tested(10), silent(None), Verdict::Mixes),
            (only_v4, silent(None), tested(10), Verdict::DoesNotMix),
            (only_v4, untested.clone(), tested(10), Verdict::NotTested),
        ] {
            assert_eq!(verdict(hosts, &ipv4, &ipv6).await, expected, "{hosts:?} {ipv4:?} {ipv6:?}");
        }
    }

    #[tokio::test]
    async fn an_entry_without_a_valid_key_is_the_nodes_fault() {
        let target = Target::resolve(&listed(&["192.0.2.1:1"], "?")).await;
        let verdict = Verdict::of(&target, |_| FamilyReport::NotTested { reason: String::new() });
        assert!(verdict == Verdict::BadListing && verdict.is_fault());
    }
}
