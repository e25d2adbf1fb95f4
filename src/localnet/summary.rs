//! The result of a run: what became of the packets, and whether each node's books balance.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use comfy_table::{Table, presets};
use serde::Serialize;

use super::network::{Network, Node};
use crate::node::NodeStatus;
use crate::probe::{IpFamily, Report};

/// The result of a run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// End to end.
    #[serde(flatten)]
    pub report: Report,
    /// Whether this machine has IPv6 to test with.
    pub ipv6_tested: bool,
    /// Every node, layer by layer.
    pub nodes: Vec<NodeSummary>,
    /// Processes that died or did not stop as they should, in words.
    pub problems: Vec<String>,
}

/// What one node counted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NodeSummary {
    /// Its name in this network.
    pub id: String,
    /// From 1.
    pub layer: usize,
    /// Where it listened.
    pub addresses: Vec<SocketAddr>,
    /// Packets received.
    pub received: u64,
    /// Packets forwarded.
    pub forwarded: u64,
    /// Packets whose last hop was this node.
    #[serde(rename = "final")]
    pub final_hop: u64,
    /// Packets dropped, by reason.
    pub dropped: BTreeMap<String, u64>,
    /// Packets still in the node when it stopped: none, if all is well.
    pub in_flight: u64,
    /// Whether received = forwarded + final + Σ dropped, with nothing left in flight.
    pub conservation: bool,
}

impl NodeSummary {
    fn new(node: &Node) -> Self {
        let status = node.status();
        Self {
            id: node.id.clone(),
            layer: node.layer,
            addresses: node.addresses.clone(),
            conservation: is_conserved(&status),
            received: status.received,
            forwarded: status.forwarded,
            final_hop: status.final_hop,
            dropped: status.dropped,
            in_flight: status.in_flight,
        }
    }
}

fn is_conserved(status: &NodeStatus) -> bool {
    let dropped: u64 = status.dropped.values().sum();
    status.in_flight == 0 && status.received == status.forwarded + status.final_hop + dropped
}

impl Summary {
    pub(super) fn new(report: Report, families: &[IpFamily], network: &Network, problems: Vec<String>) -> Self {
        let nodes = network.nodes().iter().map(NodeSummary::new).collect();
        Self { report, ipv6_tested: families.contains(&IpFamily::V6), nodes, problems }
    }

    /// Everything that was not as it should be, one sentence each; empty if all is well.
    #[must_use]
    pub fn complaints(&self) -> Vec<String> {
        let mut complaints = self.problems.clone();
        let total = self.report.total;
        if !total.is_lossless() {
            complaints.push(format!("{} of {} packets were lost", total.sent - total.returned, total.sent));
        }
        if total.sent == 0 {
            complaints.push("no packet was sent".to_owned());
        }
        for node in self.nodes.iter().filter(|node| !node.conservation) {
            complaints.push(format!(
                "{} cannot account for its packets: received {}, forwarded {}, final {}, dropped {}, in flight {}",
                node.id,
                node.received,
                node.forwarded,
                node.final_hop,
                node.dropped.values().sum::<u64>(),
                node.in_flight
            ));
        }
        complaints
    }

    /// The nodes' numbers.
    #[must_use]
    pub fn table(&self) -> Table {
        let mut table = Table::new();
        table.load_preset(presets::UTF8_FULL_CONDENSED);
        table.set_header(["node", "layer", "address", "received", "forwarded", "dropped", "in = out"]);
        for node in &self.nodes {
            let addresses: Vec<String> = node.addresses.iter().map(ToString::to_string).collect();
            table.add_row([
                node.id.clone(),
                node.layer.to_string(),
                addresses.join(" "),
                node.received.to_string(),
                node.forwarded.to_string(),
                dropped_words(&node.dropped),
                if node.conservation { "yes" } else { "NO" }.to_owned(),
            ]);
        }
        table
    }

    /// The result in plain sentences.
    #[must_use]
    pub fn words(&self) -> String {
        let Report { total, ipv4, ipv6, latency_over_delay_ms } = &self.report;
        let ipv6_words = if self.ipv6_tested {
            format!("IPv6: {} of {}", ipv6.sent - ipv6.returned, ipv6.sent)
        } else {
            "IPv6: NOT TESTED, no IPv6 loopback here".to_owned()
        };
        let lost = total.sent - total.returned;
        let ipv4_lost = ipv4.sent - ipv4.returned;
        let mut words =
            vec![format!("{lost} of {} packets lost (IPv4: {ipv4_lost} of {}, {ipv6_words}).", total.sent, ipv4.sent)];
        words.extend(latency_over_delay_ms.map(|latency| {
            format!("Beyond the delays asked for they took {:.1} ms, p99 {:.1} ms.", latency.p50, latency.p99)
        }));
        let complaints = self.complaints();
        words.push(if complaints.is_empty() {
            "Every node accounts for every packet.".to_owned()
        } else {
            format!("NOT WELL: {}.", complaints.join("; "))
        });
        words.join("\n")
    }
}

fn dropped_words(dropped: &BTreeMap<String, u64>) -> String {
    if dropped.is_empty() {
        return "0".to_owned();
    }
    dropped.iter().map(|(reason, count)| format!("{reason} {count}")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::Tally;

    fn status(received: u64, forwarded: u64, dropped: u64, in_flight: u64) -> NodeStatus {
        let dropped = BTreeMap::from([("replay".to_owned(), dropped)]);
        NodeStatus { received, forwarded, dropped, in_flight, ..NodeStatus::default() }
    }

    fn summary(returned: u64, status: NodeStatus) -> Summary {
        let mut tally = Tally::default();
        for i in 0..10 {
            tally.sent(IpFamily::ALL[i % 2]);
        }
        for _ in 0..returned / 2 {
            tally.returned(IpFamily::V4, 1.0);
            tally.returned(IpFamily::V6, 2.0);
        }
        let node = NodeSummary {
            id: "mix1-1".to_owned(),
            layer: 1,
            addresses: vec!["127.0.0.1:1".parse().unwrap()],
            conservation: is_conserved(&status),
            received: status.received,
            forwarded: status.forwarded,
            final_hop: status.final_hop,
            dropped: status.dropped,
            in_flight: status.in_flight,
        };
        Summary { report: tally.report(), ipv6_tested: true, nodes: vec![node], problems: Vec::new() }
    }

    #[test]
    fn what_comes_in_goes_out_or_is_dropped() {
        assert!(is_conserved(&status(10, 8, 2, 0)));
        assert!(!is_conserved(&status(10, 8, 1, 0)), "one vanished");
        assert!(!is_conserved(&status(10, 8, 1, 1)), "one is stuck");
        assert!(!is_conserved(&status(10, 9, 2, 0)), "one too many");
    }

    #[test]
    fn all_well_is_said_plainly() {
        let summary = summary(10, status(10, 10, 0, 0));
        assert_eq!(summary.complaints(), Vec::<String>::new());
        assert!(summary.words().starts_with("0 of 10 packets lost (IPv4: 0 of 5, IPv6: 0 of 5)."));
        assert!(summary.words().contains("Every node accounts for every packet."));
    }

    #[test]
    fn losses_imbalances_and_deaths_are_complaints() {
        let mut bad = summary(8, status(10, 8, 1, 0));
        bad.problems.push("mix2-1 ended (signal: 9)".to_owned());
        let complaints = bad.complaints();
        assert_eq!(complaints.len(), 3);
        assert!(complaints[1].contains("2 of 10 packets"));
        assert!(complaints[2].contains("mix1-1"));
        assert!(bad.words().contains("NOT WELL"));
        assert!(bad.table().to_string().contains("replay 1"));
    }

    #[test]
    fn a_missing_family_is_not_passed_over() {
        let mut summary = summary(10, status(10, 10, 0, 0));
        summary.ipv6_tested = false;
        assert!(summary.words().contains("IPv6: NOT TESTED"));
    }

    #[test]
    fn the_json_has_the_documented_fields() {
        let json = serde_json::to_value(summary(10, status(10, 9, 1, 0))).unwrap();
        assert_eq!((&json["sent"], &json["lost"], &json["ipv6"]["returned"]), (&10.into(), &0.into(), &5.into()));
        let node = &json["nodes"][0];
        assert_eq!(
            (&node["final"], &node["dropped"]["replay"], &node["conservation"]),
            (&0.into(), &1.into(), &true.into())
        );
    }
}
