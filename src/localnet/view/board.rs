//! State of the network that the live view shows.

use std::time::Duration;

use nym_mixnode_base::count::counted;
use nym_mixnode_monitor::{Counts, IpFamily, LatencyMs};

use crate::localnet::history::Point;
use crate::localnet::load::Limit;
use crate::localnet::network::{Network, Node};
use crate::localnet::traffic::Traffic;

/// Snapshot of the network.
#[derive(Debug, Clone, Default)]
pub(super) struct Board {
    /// Time since the start of the command.
    pub(super) elapsed: Duration,
    /// Layer by layer; empty while the network starts.
    pub(super) nodes: Vec<NodeRow>,
    pub(super) flow: Flow,
}

#[derive(Debug, Clone, Default)]
pub(super) struct NodeRow {
    pub(super) id: String,
    /// From 1.
    pub(super) layer: usize,
    pub(super) dropped: u64,
    /// Packets held for their delay.
    pub(super) pool: u64,
    /// Rates of the last seconds, oldest first.
    pub(super) points: Vec<Point>,
    /// Whether packets come back through it over IPv4 and IPv6; `None` if a family is not tested.
    pub(super) up: [Option<bool>; 2],
    /// How it died, if it did.
    pub(super) died: Option<String>,
}

/// Packets end to end.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Flow {
    pub(super) counts: Counts,
    pub(super) on_their_way: usize,
    pub(super) latency: Option<LatencyMs>,
    /// Requested packets per second; 0 while the network starts.
    pub(super) asked_per_s: u32,
    /// Reason for a lower rate, and that rate.
    pub(super) limited: Option<(Limit, f64)>,
}

impl Board {
    pub(super) fn of(network: &Network, traffic: &Traffic, elapsed: Duration) -> Self {
        let nodes = network.nodes().iter().enumerate();
        let nodes = nodes.map(|(number, node)| NodeRow::of(node, number, traffic)).collect();
        Self { elapsed, nodes, flow: Flow::of(traffic) }
    }

    /// Packets dropped by all nodes.
    pub(super) fn dropped(&self) -> u64 {
        self.nodes.iter().map(|node| node.dropped).sum()
    }
}

impl NodeRow {
    fn of(node: &Node, number: usize, traffic: &Traffic) -> Self {
        let status = node.status();
        Self {
            id: node.id.clone(),
            layer: node.layer,
            dropped: status.dropped.values().sum(),
            pool: status.pool,
            points: node.history(),
            up: IpFamily::ALL.map(|family| traffic.is_up(number, family)),
            died: node.death().map(|death| death.how.clone()),
        }
    }
}

impl Flow {
    fn of(traffic: &Traffic) -> Self {
        let report = traffic.report();
        let (rate, limit) = traffic.rate_now();
        Self {
            counts: report.total,
            on_their_way: traffic.in_transit(),
            latency: report.latency_over_delay_ms,
            asked_per_s: traffic.load().asked_per_s,
            limited: limit.map(|limit| (limit, rate)),
        }
    }

    /// Requested rate, and the offered one with the reason if it is lower.
    pub(super) fn rate_words(&self) -> String {
        let asked = counted(self.asked_per_s, "packet/s", "packets/s");
        match self.limited {
            None => asked,
            Some((limit, rate)) => format!("requested {asked}, offering {rate:.0}: {limit}"),
        }
    }

    /// Lag of returning packets: the time of their whole route beyond the requested delays.
    pub(super) fn latency_words(&self) -> Option<String> {
        let LatencyMs { p50, p99, .. } = self.latency?;
        Some(format!("lag p50 {p50:.1} ms, p99 {p99:.1} ms"))
    }

    /// Formats everything in one line.
    pub(super) fn words(&self, elapsed: Duration) -> String {
        let Counts { sent, returned, lost } = self.counts;
        let on_their_way = self.on_their_way;
        let counts = format!(
            "{} s: {sent} sent, {returned} returned, {lost} lost, {on_their_way} on their way",
            elapsed.as_secs()
        );
        let limited = self.limited.map(|_| self.rate_words());
        [Some(counts), self.latency_words(), limited].into_iter().flatten().collect::<Vec<_>>().join("; ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_has_everything_at_once() {
        let mut flow = Flow {
            counts: Counts { sent: 3, returned: 1, lost: 1 },
            on_their_way: 1,
            latency: Some(LatencyMs { p50: 1.25, p99: 1.25, max: 2.0 }),
            asked_per_s: 5000,
            limited: None,
        };
        let line = "7 s: 3 sent, 1 returned, 1 lost, 1 on their way; lag p50 1.2 ms, p99 1.2 ms";
        assert_eq!(flow.words(Duration::from_secs(7)), line);
        flow.limited = Some((Limit::Nodes, 1832.4));
        let limited = "; requested 5000 packets/s, offering 1832: the nodes are at their limit on this machine";
        assert_eq!(flow.words(Duration::from_secs(7)), format!("{line}{limited}"));
        let nothing = Flow::default().words(Duration::ZERO);
        assert_eq!(nothing, "0 s: 0 sent, 0 returned, 0 lost, 0 on their way");
    }
}
