//! Sends packets through the node and counts those that return.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use nym_mixnode_api::MixRegistration;
use nym_mixnode_base::count::counted;
use nym_mixnode_directory::Client;
use nym_mixnode_monitor::check::{self, Doubt, FamilyReport, Label, Plan, Target};
use nym_mixnode_monitor::own_address::{self, OwnAddressRequest};
use nym_mixnode_monitor::{IpFamily, Prober, Registration};

use super::Finding;
use super::network::Targets;

const MEAN_DELAY: Duration = Duration::from_millis(50);

/// Small number of packets. The test waits until the node has read the prober's entry at its next refresh.
const PLAN: Plan = Plan { packets: 10, timeout: Duration::from_secs(10), settle: Duration::from_secs(40) };

/// Sends packets through the node over each family. The directory lists the prober meanwhile.
pub(super) async fn probe(client: Client, entry: &MixRegistration, targets: &Targets) -> Vec<Finding> {
    let report = match send(client, entry, targets).await {
        Ok(report) => report,
        Err(NotSent { reason, fix }) => {
            return vec![Finding::warning("mixing", format!("cannot be tested from here: {reason}"), fix)];
        }
    };
    let announced = &report.target.addresses;
    vec![
        verdict("mixing IPv4", IpFamily::V4, &report.ipv4, announced),
        verdict("mixing IPv6", IpFamily::V6, &report.ipv6, announced),
    ]
}

/// Why no packets were sent.
struct NotSent {
    reason: String,
    fix: &'static str,
}

impl NotSent {
    fn by_address(error: &impl ToString) -> Self {
        let fix = "pass the addresses of this machine to `nym-mixnode probe`, or use --no-probe";
        Self { reason: error.to_string(), fix }
    }

    /// The directory's own message says what to do, but not that the flags of the node's start are needed here too.
    fn by_directory(error: &impl ToString) -> Self {
        let fix = "pass the flags that the node was started with, or use --no-probe";
        Self { reason: error.to_string(), fix }
    }
}

async fn send(client: Client, entry: &MixRegistration, targets: &Targets) -> Result<check::NodeReport, NotSent> {
    let target = Target::resolve(entry).await;
    let endpoints = own_address::choose(&OwnAddressRequest::default(), &targets.directory, &target.addresses)
        .map_err(|error| NotSent::by_address(&error))?;
    let mut prober = Prober::<Label>::bind(&endpoints, MEAN_DELAY).map_err(|error| NotSent::by_address(&error))?;
    let registration =
        Registration::register(&Arc::new(client), &prober).await.map_err(|error| NotSent::by_directory(&error))?;
    let reports = check::run(&mut prober, vec![target], &PLAN, |_| {}).await;
    if let Err(error) = registration.withdraw().await {
        tracing::warn!("{error}");
    }
    let report = reports.map_err(|error| NotSent::by_address(&error))?.pop();
    report.ok_or_else(|| NotSent::by_address(&"nothing was sent"))
}

fn verdict(check: &'static str, family: IpFamily, report: &FamilyReport, announced: &[SocketAddr]) -> Finding {
    match report {
        FamilyReport::NotTested { reason } => Finding::ok(check, format!("not tested: {reason}")),
        FamilyReport::Undecided { after_s, doubt: Doubt::NotHeardYet } => {
            let fix = "run doctor again; directory.topology_refresh sets how often the node reads the list";
            Finding::warning(check, format!("nothing returned in {after_s} s: it may not know the prober yet"), fix)
        }
        FamilyReport::Undecided { after_s, doubt: Doubt::ProberNotReached { prober } } => {
            let message = format!("nothing returned in {after_s} s, and the node has not connected to {prober}");
            Finding::failed(check, message).with_fix("check that packets may leave the node for that address")
        }
        FamilyReport::NotReached { after_s, reason } => {
            let reason = reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
            Finding::failed(check, format!("no packet came back in {after_s} s{reason}"))
                .with_fix("check that the node's port is open from outside, and that packets may leave")
        }
        FamilyReport::Tested { counts, .. } if counts.is_lossless() => {
            let all = match counts.sent {
                1 => "the packet".to_owned(),
                sent => format!("all {sent} packets"),
            };
            Finding::ok(check, format!("{all} came back{}", way(family, announced)))
        }
        FamilyReport::Tested { counts, .. } => {
            let sent = counted(counts.sent, "packet", "packets");
            let message = format!("{} of {sent} lost{}", counts.lost, way(family, announced));
            Finding::warning(check, message, "read the node's log")
        }
    }
}

/// Path of the packets if the families differ: a node without an address of a family can still send
/// over it.
fn way(family: IpFamily, announced: &[SocketAddr]) -> String {
    let other = announced.iter().map(|address| IpFamily::of(address.ip()));
    match other.reduce(|first, next| if next == family { next } else { first }) {
        Some(other) if other != family => {
            format!(": received over {other} because it announces no {family} address, and sent over {family}")
        }
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;
    use nym_mixnode_api::testing;
    use nym_mixnode_monitor::Counts;

    #[tokio::test]
    async fn a_prober_that_cannot_be_listed_proves_nothing() {
        // A bound socket that does not listen refuses connections.
        let refusing = tokio::net::TcpSocket::new_v4().unwrap();
        refusing.bind(([127, 0, 0, 1], 0).into()).unwrap();
        let closed = refusing.local_addr().unwrap();
        let nobody = format!("http://{closed}").parse().unwrap();
        let client = Client::new(&nobody, &nobody).unwrap();
        let entry = MixRegistration {
            sphinx_key: bs58::encode([9; 32]).into_string(),
            ..testing::mix(bs58::encode([1; 32]).into_string(), closed.to_string())
        };
        let targets = Targets { directory: vec![closed], ..Targets::default() };
        let found = probe(client, &entry, &targets).await;
        assert_eq!((found.len(), found[0].check, found[0].level), (1, "mixing", Level::Warning), "{found:?}");
        assert!(found[0].fix.is_some(), "{found:?}");
    }

    #[test]
    fn a_verdict_follows_from_what_came_back() {
        let tested = |returned| FamilyReport::Tested {
            reached_after_s: 1.0,
            counts: Counts { sent: 10, returned, lost: 10 - returned },
            latency_over_delay_ms: None,
        };
        let not_reached = FamilyReport::NotReached { after_s: 40.0, reason: Some("refused".to_owned()) };
        let not_tested = FamilyReport::NotTested { reason: "no IPv6 here".to_owned() };
        for (report, level, words) in [
            (tested(10), Level::Ok, "all 10 packets"),
            (tested(9), Level::Warning, "1 of 10 packets lost"),
            (not_reached, Level::Failed, "refused"),
            (not_tested, Level::Ok, "no IPv6 here"),
        ] {
            let finding = verdict("mixing", IpFamily::V6, &report, &["[2001:db8::1]:1789".parse().unwrap()]);
            assert!(finding.level == level && finding.message.contains(words), "{finding:?}");
            assert!(!finding.message.contains("received over"), "{finding:?}");
        }
    }

    #[test]
    fn a_family_that_the_node_only_sends_over_is_reported() {
        let (v4, v6): (SocketAddr, SocketAddr) = ("192.0.2.1:1".parse().unwrap(), "[2001:db8::1]:1".parse().unwrap());
        let way_of_v4 = way(IpFamily::V6, &[v4]);
        assert!(way_of_v4.contains("received over IPv4") && way_of_v4.contains("sent over IPv6"), "{way_of_v4}");
        for announced in [&[v4, v6][..], &[v6, v4], &[v6]] {
            assert_eq!(way(IpFamily::V6, announced), "");
        }
    }
}
