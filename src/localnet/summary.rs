//! The result of a run: packets sent, returned and lost, and whether each node accounts for its packets.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use comfy_table::{ContentArrangement, Table, TableComponent, presets};
use nym_mixnode_base::count::{counted, noun};
use nym_mixnode_monitor::{IpFamily, Report};
use serde::Serialize;

use super::child::Death;
use super::gateways::FileSummary;
use super::load::Load;
use super::network::{Network, Node};
use super::traffic::Traffic;
use crate::node::NodeStatus;
use crate::text::wrapped;

/// Width from which the table shows whole addresses.
const WIDE: usize = 100;

/// Result of a run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// Packets end to end.
    #[serde(flatten)]
    pub report: Report,
    /// Requested and offered load.
    pub load: Load,
    /// Lost packets whose route had a node that died.
    pub lost_with_dead_nodes: u64,
    /// Whether IPv6 was tested: this machine has an IPv6 loopback address.
    pub ipv6_tested: bool,
    /// All nodes, layer by layer.
    pub nodes: Vec<NodeSummary>,
    /// The file that crossed the network, if one was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<FileSummary>,
    /// Processes that died or did not stop in order, one sentence each.
    pub problems: Vec<String>,
}

/// Counters of one node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NodeSummary {
    /// Id in this network.
    pub id: String,
    /// From 1.
    pub layer: usize,
    /// Bind addresses.
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
    /// Packets still in the node when it stopped; 0 unless something failed.
    pub in_flight: u64,
    /// Whether received = forwarded + final + Σ dropped, with nothing left in flight.
    pub conservation: bool,
    /// How it died, if it did; its counters are then up to one second old.
    pub died: Option<String>,
    /// Its last log lines, if it died.
    pub last_log_lines: Option<String>,
}

impl NodeSummary {
    fn new(node: &Node) -> Self {
        Self::from_status(&node.id, node.layer, node.addresses.clone(), node.status(), node.death())
    }

    fn from_status(
        id: &str,
        layer: usize,
        addresses: Vec<SocketAddr>,
        status: NodeStatus,
        death: Option<&Death>,
    ) -> Self {
        Self {
            id: id.to_owned(),
            layer,
            addresses,
            conservation: is_conserved(&status),
            received: status.received,
            forwarded: status.forwarded,
            final_hop: status.final_hop,
            dropped: status.dropped,
            in_flight: status.in_flight,
            died: death.map(|death| death.how.clone()),
            last_log_lines: death.map(|death| death.last_log_lines.clone()),
        }
    }

    fn dropped_in_all(&self) -> u64 {
        self.dropped.values().sum()
    }

    fn balance(&self) -> &'static str {
        match (&self.died, self.conservation) {
            (Some(_), _) => "died",
            (None, true) => "yes",
            (None, false) => "NO",
        }
    }
}

fn packets(count: u64) -> String {
    counted(count, "packet", "packets")
}

fn is_conserved(status: &NodeStatus) -> bool {
    let dropped: u64 = status.dropped.values().sum();
    status.in_flight == 0 && status.received == status.forwarded + status.final_hop + dropped
}

impl Summary {
    pub(super) fn new(traffic: &Traffic, families: &[IpFamily], network: &Network, problems: Vec<String>) -> Self {
        Self {
            report: traffic.report(),
            load: traffic.load(),
            lost_with_dead_nodes: traffic.lost_with_dead(),
            ipv6_tested: families.contains(&IpFamily::V6),
            nodes: network.nodes().iter().map(NodeSummary::new).collect(),
            file: None,
            problems,
        }
    }

    /// Problems of the run, one sentence each; empty if there were none.
    #[must_use]
    pub fn complaints(&self) -> Vec<String> {
        let mut complaints = self.problems.clone();
        let total = self.report.total;
        let lost = total.sent - total.returned;
        let with_dead = self.lost_with_dead_nodes.min(lost);
        if with_dead > 0 {
            let were = noun(with_dead, "was", "were");
            complaints.push(format!("{with_dead} of {} {were} lost with nodes that died", packets(total.sent)));
        }
        if lost > with_dead {
            let dropped = self.drops().map_or_else(String::new, |drops| format!(" ({drops})"));
            let (lost, sent) = (lost - with_dead, packets(total.sent));
            complaints.push(format!("{lost} of {sent} {} lost{dropped}", noun(lost, "was", "were")));
        }
        if self.file.as_ref().is_some_and(|file| !file.intact) {
            complaints.push("the file that arrived is not the file that was sent".to_owned());
        }
        if total.sent == 0 {
            complaints.push("no packet was sent".to_owned());
        }
        for node in self.nodes.iter().filter(|node| node.died.is_none() && !node.conservation) {
            complaints.push(format!(
                "{} cannot account for its packets: received {}, forwarded {}, final {}, dropped {}, in flight {}",
                node.id,
                node.received,
                node.forwarded,
                node.final_hop,
                node.dropped_in_all(),
                node.in_flight
            ));
        }
        complaints
    }

    /// Whether no process died and every node accounts for its packets.
    #[must_use]
    pub fn nodes_are_well(&self) -> bool {
        self.problems.is_empty() && self.nodes.iter().all(|node| node.died.is_none() && node.conservation)
    }

    /// Table of the nodes' counters, at most `width` characters wide if names and numbers fit.
    #[must_use]
    pub fn table(&self, width: usize) -> Table {
        let mut table = Table::new();
        table.load_preset(presets::UTF8_HORIZONTAL_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
        table.set_width(u16::try_from(width).unwrap_or(u16::MAX));
        // One line per node, without separators.
        for line in [TableComponent::HorizontalLines, TableComponent::MiddleIntersections] {
            table.remove_style(line);
        }
        for end in [TableComponent::LeftBorderIntersections, TableComponent::RightBorderIntersections] {
            table.remove_style(end);
        }
        let place = if width >= WIDE { "address" } else { "port" };
        table.set_header(["node", place, "received", "forwarded", "dropped", "in=out"]);
        for node in &self.nodes {
            let addresses: Vec<String> = node.addresses.iter().map(ToString::to_string).collect();
            // All addresses of a node are loopback ones with the same port.
            let port = node.addresses.first().map_or_else(String::new, |address| address.port().to_string());
            table.add_row([
                node.id.clone(),
                if width >= WIDE { addresses.join(" ") } else { port },
                node.received.to_string(),
                node.forwarded.to_string(),
                node.dropped_in_all().to_string(),
                node.balance().to_owned(),
            ]);
        }
        for column in table.column_iter_mut() {
            column.set_padding((1, 0));
        }
        table
    }

    /// Sentences about the result, wrapped to `width` characters.
    #[must_use]
    pub fn words(&self, width: usize) -> String {
        let paragraphs = self.paragraphs();
        let width = u16::try_from(width).unwrap_or(u16::MAX);
        paragraphs.iter().map(|paragraph| wrapped(paragraph, width)).collect::<Vec<_>>().join("\n")
    }

    fn paragraphs(&self) -> Vec<String> {
        let Report { total, ipv4, ipv6, latency_over_delay_ms } = &self.report;
        let ipv6_words = if self.ipv6_tested {
            format!("IPv6: {} of {}", ipv6.sent - ipv6.returned, ipv6.sent)
        } else {
            "IPv6: NOT TESTED, no IPv6 loopback here".to_owned()
        };
        let lost = total.sent - total.returned;
        let ipv4_lost = ipv4.sent - ipv4.returned;
        let mut words =
            vec![format!("{lost} of {} lost (IPv4: {ipv4_lost} of {}, {ipv6_words}).", packets(total.sent), ipv4.sent)];
        words.extend(latency_over_delay_ms.map(|latency| {
            let (median, p99) = (latency.p50, latency.p99);
            format!("Lag over the whole route: median {median:.1} ms, p99 {p99:.1} ms.")
        }));
        words.extend(self.load.words());
        words.extend(self.file.as_ref().filter(|file| file.intact).map(FileSummary::words));
        words.extend(self.drops().map(|drops| format!("Dropped: {drops}.")));
        words.push(self.verdict());
        words
    }

    fn verdict(&self) -> String {
        let complaints = self.complaints().join("; ");
        match (complaints.is_empty(), self.nodes_are_well()) {
            (true, _) => "Every node accounts for every packet.".to_owned(),
            (false, true) => format!("Every node accounts for every packet, but {complaints}."),
            (false, false) => format!("NOT WELL: {complaints}."),
        }
    }

    /// Dropped packets by node and reason; `None` if none were dropped.
    fn drops(&self) -> Option<String> {
        let of_node = |node: &NodeSummary| {
            let reasons: Vec<String> = node.dropped.iter().map(|(reason, count)| format!("{reason} {count}")).collect();
            format!("{} {}", node.id, reasons.join(", "))
        };
        let dropping = self.nodes.iter().filter(|node| node.dropped_in_all() > 0);
        let drops: Vec<String> = dropping.map(of_node).collect();
        (!drops.is_empty()).then(|| drops.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::localnet::load::Limit;
    use nym_mixnode_monitor::Tally;

    fn status(received: u64, forwarded: u64, dropped: u64, in_flight: u64) -> NodeStatus {
        let dropped = BTreeMap::from([("replay".to_owned(), dropped)]);
        NodeStatus { received, forwarded, dropped, in_flight, ..NodeStatus::default() }
    }

    fn node(id: &str, status: NodeStatus, died: Option<&str>) -> NodeSummary {
        let addresses = vec!["127.0.0.1:45551".parse().unwrap(), "[::1]:45551".parse().unwrap()];
        let death =
            |how: &str| Death { who: id.to_owned(), how: how.to_owned(), last_log_lines: "one | two".to_owned() };
        NodeSummary::from_status(id, 1, addresses, status, died.map(death).as_ref())
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
        Summary {
            report: tally.report(),
            load: Load { asked_per_s: 100, offered_per_s: 100.0, not_sent: 0, limited_by: None },
            lost_with_dead_nodes: 0,
            ipv6_tested: true,
            nodes: vec![node("mix1-1", status, None)],
            file: None,
            problems: Vec::new(),
        }
    }

    #[test]
    fn what_comes_in_goes_out_or_is_dropped() {
        assert!(is_conserved(&status(10, 8, 2, 0)));
        assert!(!is_conserved(&status(10, 8, 1, 0)), "one vanished");
        assert!(!is_conserved(&status(10, 8, 1, 1)), "one is stuck");
        assert!(!is_conserved(&status(10, 9, 2, 0)), "one too many");
    }

    #[test]
    fn a_run_without_problems_is_reported_in_two_sentences() {
        let summary = summary(10, status(10, 10, 0, 0));
        assert_eq!(summary.complaints(), Vec::<String>::new());
        let words = summary.words(200);
        assert!(words.starts_with("0 of 10 ") && words.contains("(IPv4: 0 of 5, IPv6: 0 of 5)"), "{words}");
        assert!(words.contains("accounts for every packet"), "{words}");
        assert!(!words.contains("Requested"), "{words}");
    }

    #[test]
    fn losses_imbalances_and_deaths_are_complaints() {
        let mut bad = summary(8, status(10, 8, 1, 0));
        bad.problems.push("mix2-1 died: killed by signal 9 (SIGKILL)".to_owned());
        let complaints = bad.complaints();
        assert_eq!(complaints.len(), 3);
        assert!(complaints[1].contains("2 of 10 packets"));
        assert!(complaints[2].contains("mix1-1"));
        assert!(bad.words(200).contains("NOT WELL"));
        assert!(bad.words(200).contains("Dropped: mix1-1 replay 1."));
    }

    #[test]
    fn a_loss_between_nodes_that_account_for_everything_is_no_fault_of_theirs() {
        let summary = summary(8, status(10, 10, 0, 0));
        assert!(summary.nodes_are_well());
        let words = summary.words(200);
        assert!(words.contains("accounts for every packet") && words.contains("2 of 10 packets"), "{words}");
        assert!(!words.contains("NOT WELL"), "{words}");
    }

    #[test]
    fn packets_lost_with_a_dead_node_are_reported_separately() {
        let mut summary = summary(6, status(10, 10, 0, 0));
        summary.nodes.push(node("mix2-1", status(7, 3, 0, 0), Some("killed by signal 9 (SIGKILL)")));
        summary.lost_with_dead_nodes = 4;
        summary.problems.push("mix2-1 died".to_owned());
        let complaints = summary.complaints();
        assert_eq!((complaints.len(), &complaints[0][..]), (2, "mix2-1 died"));
        assert!(complaints[1].starts_with("4 of 10 packets "), "{complaints:?}");
        let table = summary.table(80).to_string();
        assert!(table.lines().any(|line| line.contains("mix2-1") && line.contains("died")), "{table}");
        let json = serde_json::to_value(&summary).unwrap();
        assert_eq!(json["nodes"][1]["died"], "killed by signal 9 (SIGKILL)");
        assert_eq!(json["nodes"][1]["last_log_lines"], "one | two");
        assert!(json["nodes"][0]["died"].is_null() && json["nodes"][0]["last_log_lines"].is_null());
        assert_eq!(json["lost_with_dead_nodes"], 4);
    }

    #[test]
    fn a_lower_load_is_reported_without_a_complaint() {
        let mut summary = summary(10, status(10, 10, 0, 0));
        summary.load =
            Load { asked_per_s: 5000, offered_per_s: 1832.4, not_sent: 15_838, limited_by: Some(Limit::Nodes) };
        assert_eq!(summary.complaints(), Vec::<String>::new());
        let words = summary.words(200);
        assert!(words.contains(" 5000 ") && words.contains(" 1832: "), "{words}");
        let json = serde_json::to_value(&summary).unwrap();
        assert_eq!((&json["load"]["asked_per_s"], &json["load"]["limited_by"]), (&5000.into(), &"nodes".into()));
        assert_eq!((&json["load"]["not_sent"], &json["lost"]), (&15_838.into(), &0.into()));
    }

    #[test]
    fn table_and_words_fit_terminals() {
        let mut summary = summary(8, status(123_456_789, 123_456_788, 1, 0));
        summary.nodes.push(node("mix3-100", status(7, 3, 0, 0), Some("exited with code 69")));
        summary.load =
            Load { asked_per_s: 5000, offered_per_s: 1832.4, not_sent: 15_838, limited_by: Some(Limit::Nodes) };
        for width in [60, 80, 200] {
            let text = format!("{}\n{}", summary.table(width), summary.words(width));
            for line in text.lines() {
                assert!(line.chars().count() <= width, "{width}: {line}");
            }
            let row = text.lines().find(|line| line.contains("mix1-1")).unwrap();
            assert!(row.contains("123456789") && row.contains("45551") && row.contains("yes"), "{row}");
            let table = summary.table(width).to_string();
            assert_eq!(table.lines().count(), 6, "frame, heading, its line, two nodes, frame:\n{table}");
        }
        assert!(summary.table(200).to_string().contains("[::1]:45551"));
    }

    #[test]
    fn a_missing_family_is_not_passed_over() {
        let mut summary = summary(10, status(10, 10, 0, 0));
        summary.ipv6_tested = false;
        assert!(summary.words(200).contains("IPv6: NOT TESTED"));
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
