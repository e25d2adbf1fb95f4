//! Tests the nodes of a directory: does each of them mix, over IPv4 and over IPv6?
//!
//! Each node is tested alone, on the route prober → node → prober, all nodes at the same time. A *lane* is one node and
//! one family. A lane first *settles*: a node forwards only to hops in its topology, and gets the prober with its next
//! refresh. The first returning packet ends this phase; then the counted packets are sent.

mod lane;
mod target;
mod verdict;

use std::net::SocketAddr;
use std::time::Duration;

use nym_mixnode_sphinx::{BuildError, Hop};
use serde::Serialize;
use tokio::time::{Instant, MissedTickBehavior, interval};

use self::lane::Lane;
use super::family::IpFamily;
use super::prober::Prober;
use super::report::{Counts, LatencyMs};

#[cfg(test)]
pub(crate) use self::target::tests::target_of;

pub use self::lane::Label;
pub use self::target::Target;
pub use self::verdict::Verdict;

/// Interval at which lanes send packets and look for late ones.
const TICK: Duration = Duration::from_millis(50);

/// Parameters of a test.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Number of counted packets per node and family.
    pub packets: u32,
    /// A packet later than this, beyond its delays, counts as lost.
    pub timeout: Duration,
    /// Maximum time until the first packet returns; zero counts from the first packet on.
    pub settle: Duration,
}

/// Progress of a test over all nodes and families.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Number of lanes that wait for their first packet to return.
    pub settling: usize,
    /// Number of lanes in total.
    pub lanes: usize,
    /// Counted packets so far.
    pub counts: Counts,
    /// Expected number of counted packets, if all settling lanes succeed.
    pub planned: u64,
}

/// Result for one node.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NodeReport {
    /// The tested node.
    #[serde(flatten)]
    pub target: Target,
    /// Result over IPv4.
    pub ipv4: FamilyReport,
    /// Result over IPv6.
    pub ipv6: FamilyReport,
    /// Families of its addresses.
    pub announces: Vec<IpFamily>,
    /// Combined verdict of both results.
    pub verdict: Verdict,
    /// Whether the verdict is that the node mixes.
    pub mixing: bool,
}

impl NodeReport {
    pub fn new(target: Target, ipv4: FamilyReport, ipv6: FamilyReport) -> Self {
        let verdict = Verdict::of(&target, |family| if family == IpFamily::V4 { ipv4.clone() } else { ipv6.clone() });
        let announces = IpFamily::ALL.into_iter().filter(|family| target.announces(*family)).collect();
        Self { target, ipv4, ipv6, announces, verdict, mixing: verdict == Verdict::Mixes }
    }

    /// Result over one family.
    #[must_use]
    pub const fn over(&self, family: IpFamily) -> &FamilyReport {
        match family {
            IpFamily::V4 => &self.ipv4,
            IpFamily::V6 => &self.ipv6,
        }
    }
}

/// Reason other than the node why no packet may have returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "doubt", rename_all = "snake_case")]
pub enum Doubt {
    /// The prober has been listed for less than the default refresh interval of nodes.
    NotHeardYet,
    /// No node has connected to the prober over this family.
    ProberNotReached {
        /// Listen address of the prober.
        prober: SocketAddr,
    },
}

/// Result for one node over one family.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum FamilyReport {
    /// Cannot be tested from here; the node may be fine.
    NotTested {
        /// Reason.
        reason: String,
    },
    /// No packet returned, possibly because of the prober.
    Undecided {
        /// How long no packet returned, in seconds.
        after_s: f64,
        /// Possible reason.
        #[serde(flatten)]
        doubt: Doubt,
    },
    /// No packet returned, or none could be sent.
    NotReached {
        /// How long no packet returned, in seconds.
        after_s: f64,
        /// Last error while sending, if any.
        reason: Option<String>,
    },
    /// The packets were sent and counted.
    Tested {
        /// Time from the start until the first packet returned, in seconds.
        reached_after_s: f64,
        /// Counts of the packets.
        #[serde(flatten)]
        counts: Counts,
        /// `None` when no packet returned.
        latency_over_delay_ms: Option<LatencyMs>,
    },
}

impl FamilyReport {
    /// Whether the node mixes; `None` when it was not tested or the test is inconclusive.
    #[must_use]
    pub const fn is_mixing(&self) -> Option<bool> {
        match self {
            Self::NotTested { .. } | Self::Undecided { .. } => None,
            Self::NotReached { .. } => Some(false),
            Self::Tested { counts, .. } => Some(counts.is_lossless()),
        }
    }
}

/// Tests all targets at once. `on_progress` is called a few times per second.
///
/// # Errors
/// When no packet can be built for a target.
pub async fn run(
    prober: &mut Prober<Label>,
    targets: Vec<Target>,
    plan: &Plan,
    mut on_progress: impl FnMut(Progress),
) -> Result<Vec<NodeReport>, BuildError> {
    let started = Instant::now();
    let mut lanes = open_lanes(prober, &targets, plan, started);
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !lanes.iter().all(Lane::is_done) {
        tokio::select! {
            returned = prober.returned() => {
                lanes[returned.label.lane].on_return(returned.label, returned.over_delay_ms, started.elapsed());
            }
            now = tick.tick() => {
                for (number, lane) in lanes.iter_mut().enumerate() {
                    lane.advance(prober, number, now)?;
                }
                for label in prober.give_up_late(plan.timeout) {
                    lanes[label.lane].on_loss(label);
                }
                on_progress(progress(&lanes, plan));
            }
        }
    }
    let report = |(number, target)| node_report(number, target, &lanes, prober, started);
    Ok(targets.into_iter().enumerate().map(report).collect())
}

fn open_lanes(prober: &Prober<Label>, targets: &[Target], plan: &Plan, now: Instant) -> Vec<Lane> {
    let mut lanes = Vec::with_capacity(2 * targets.len());
    for (number, target) in targets.iter().enumerate() {
        for family in IpFamily::ALL {
            if let Ok((first, last)) = route(prober, target, family) {
                lanes.push(Lane::open(number, family, (first, last), plan, now));
            }
        }
    }
    lanes
}

/// The hop of the node, at its address of this family if it has one, and the hop of the prober.
fn route(prober: &Prober<Label>, target: &Target, family: IpFamily) -> Result<(Hop, Hop), String> {
    if let Some(defect) = &target.defect {
        return Err(defect.clone());
    }
    let last = prober.last_hop(family).ok_or_else(|| format!("the prober has no {family} address"))?;
    let reachable = |family: &IpFamily| prober.last_hop(*family).is_some();
    let other = IpFamily::ALL.into_iter().filter(|other| *other != family).find(reachable);
    let first = target.hop(family).or_else(|| target.hop(other?));
    first.map(|first| (first, last)).ok_or_else(|| "the node has no address that is reachable from here".to_owned())
}

fn progress(lanes: &[Lane], plan: &Plan) -> Progress {
    let mut progress = Progress { lanes: lanes.len(), ..Progress::default() };
    for lane in lanes {
        let counts = lane.counts();
        progress.settling += usize::from(lane.is_settling());
        progress.counts.sent += counts.sent;
        progress.counts.returned += counts.returned;
        progress.counts.lost += counts.lost;
        progress.planned += if lane.is_unreached() { 0 } else { u64::from(plan.packets) };
    }
    progress
}

fn node_report(number: usize, target: Target, lanes: &[Lane], prober: &Prober<Label>, started: Instant) -> NodeReport {
    let over = |family| match lanes.iter().find(|lane| lane.is_of(number, family)) {
        Some(lane) => lane.report(prober, started),
        None => FamilyReport::NotTested { reason: route(prober, &target, family).err().unwrap_or_default() },
    };
    let (ipv4, ipv6) = (over(IpFamily::V4), over(IpFamily::V6));
    NodeReport::new(target, ipv4, ipv6)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prober::Endpoint;

    const FAST: Plan = Plan { packets: 3, timeout: Duration::from_millis(100), settle: Duration::from_millis(120) };

    fn prober() -> Prober<Label> {
        Prober::bind(&[Endpoint::local("127.0.0.1:0".parse().unwrap())], Duration::ZERO).unwrap()
    }

    async fn target(hosts: &[&str]) -> Target {
        Target::resolve(&target::tests::listed(hosts, &bs58::encode([9; 32]).into_string())).await
    }

    #[tokio::test]
    async fn a_dead_node_is_not_reached_and_a_missing_family_is_reported() {
        // Bound and not listening: connections are refused, and no other program can take the port.
        let dead = tokio::net::TcpSocket::new_v4().unwrap();
        dead.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = dead.local_addr().unwrap().to_string();
        let reports = run(&mut prober(), vec![target(&[&address]).await], &FAST, |_| {}).await.unwrap();
        assert_eq!(reports[0].verdict, Verdict::NotReachable, "{reports:?}");
        assert!(matches!(&reports[0].ipv4, FamilyReport::NotReached { reason: Some(_), .. }), "{reports:?}");
        assert_eq!(reports[0].ipv6, FamilyReport::NotTested { reason: "the prober has no IPv6 address".to_owned() });
        let json = serde_json::to_value(&reports[0]).unwrap();
        assert_eq!((&json["ipv4"]["outcome"], &json["layer"]), (&"not_reached".into(), &2.into()));
        assert_eq!((&json["verdict"], &json["announces"]), (&"not_reachable".into(), &serde_json::json!(["ipv4"])));
    }

    #[tokio::test]
    async fn a_node_that_takes_packets_and_returns_none_is_not_blamed_too_early() {
        let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = silent.local_addr().unwrap().to_string();
        let reports = run(&mut prober(), vec![target(&[&address]).await], &FAST, |_| {}).await.unwrap();
        assert_eq!((reports[0].verdict, reports[0].mixing), (Verdict::Undecided, false), "{reports:?}");
        let json = serde_json::to_value(&reports[0]).unwrap();
        let ipv4 = &json["ipv4"];
        assert_eq!((&ipv4["outcome"], &ipv4["doubt"]), (&"undecided".into(), &"not_heard_yet".into()), "{json:#}");
    }

    #[tokio::test]
    async fn a_node_is_reached_at_its_address_of_the_family_or_at_its_only_one() {
        let endpoints = ["127.0.0.1:0", "[::1]:0"]
            .map(|bind| Endpoint { bind: "127.0.0.1:0".parse().unwrap(), announce: bind.parse().unwrap() });
        let dual = Prober::<Label>::bind(&endpoints, Duration::ZERO).unwrap();
        let both = target(&["192.0.2.1:1", "[2001:db8::1]:1"]).await;
        let only_v4 = target(&["192.0.2.1:1"]).await;
        let only_v6 = target(&["[2001:db8::1]:1"]).await;
        let first = |target: &Target, family| route(&dual, target, family).unwrap().0.address.is_ipv6();
        assert!(!first(&both, IpFamily::V4) && first(&both, IpFamily::V6));
        assert!(!first(&only_v4, IpFamily::V6));
        assert!(first(&only_v6, IpFamily::V4));
        // A prober without IPv6 cannot reach an IPv6-only node.
        assert!(route(&prober(), &only_v6, IpFamily::V4).is_err());
    }

    #[tokio::test]
    async fn an_unusable_entry_is_reported_and_does_not_count_as_mixing() {
        let useless = Target::resolve(&target::tests::listed(&["127.0.0.1:1"], "?")).await;
        let reports = run(&mut prober(), vec![useless], &FAST, |_| {}).await.unwrap();
        assert!(!reports[0].mixing);
        let FamilyReport::NotTested { reason } = &reports[0].ipv4 else { unreachable!("{reports:?}") };
        assert!(reason.contains("Sphinx key"));
    }
}
