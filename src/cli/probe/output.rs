//! The result of a probe, as a table and words or as JSON.

use std::io::{self, Write};

use comfy_table::{ContentArrangement, Table, presets};
use console::Term;
use serde::Serialize;
use url::Url;

use crate::probe::IpFamily;
use crate::probe::check::{FamilyReport, NodeReport};

const TABLE_WIDTH_WITHOUT_TERMINAL: u16 = 120;

/// The result, as it is printed.
#[derive(Debug, Serialize)]
pub(super) struct Verdict {
    directory: Url,
    pub(super) ok: bool,
    mixing: usize,
    pub(super) not_mixing: usize,
    pub(super) nodes: Vec<NodeReport>,
}

impl Verdict {
    pub(super) fn new(directory: &Url, nodes: Vec<NodeReport>) -> Self {
        let mixing = nodes.iter().filter(|node| node.mixing).count();
        let not_mixing = nodes.len() - mixing;
        Self { directory: directory.clone(), ok: not_mixing == 0, mixing, not_mixing, nodes }
    }

    /// Writes the result to the standard output.
    pub(super) fn print(&self, json: bool) -> io::Result<()> {
        let mut out = io::stdout().lock();
        if json {
            serde_json::to_writer_pretty(&mut out, self)?;
            writeln!(out)?;
        } else {
            writeln!(out, "{}\n{}", self.table(), self.words())?;
        }
        out.flush()
    }

    fn table(&self) -> Table {
        let mut table = Table::new();
        let (_, width) = Term::stdout().size_checked().unwrap_or((0, TABLE_WIDTH_WITHOUT_TERMINAL));
        table.load_preset(presets::UTF8_HORIZONTAL_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
        table.set_width(width).set_header(["node", "layer", "address", "IPv4", "IPv6", "verdict"]);
        for node in &self.nodes {
            let addresses: Vec<String> = node.target.addresses.iter().map(ToString::to_string).collect();
            table.add_row([
                node.target.identity.clone(),
                node.target.layer.to_string(),
                addresses.join("\n"),
                family_cell(&node.ipv4),
                family_cell(&node.ipv6),
                if node.mixing { "mixes" } else { "DOES NOT MIX" }.to_owned(),
            ]);
        }
        table
    }

    /// The result in plain sentences.
    pub(super) fn words(&self) -> String {
        let tested = |family| self.nodes.iter().all(|node| over(node, family).is_mixing().is_some());
        let families: Vec<String> =
            IpFamily::ALL.into_iter().filter(|family| tested(*family)).map(|family| family.to_string()).collect();
        let mut sentences = vec![match (self.ok, self.nodes.len()) {
            (true, 1) => format!("The node mixes over {}.", families.join(" and ")),
            (true, count) => format!("All {count} nodes mix over {}.", families.join(" and ")),
            (false, count) => format!("{} of {count} nodes mix as they should.", self.mixing),
        }];
        for family in IpFamily::ALL {
            let untested = self.nodes.iter().filter(|node| over(node, family).is_mixing().is_none()).count();
            if untested > 0 {
                sentences.push(format!("{family} was NOT TESTED for {untested} of {} nodes.", self.nodes.len()));
            }
        }
        sentences.join(" ")
    }
}

fn over(node: &NodeReport, family: IpFamily) -> &FamilyReport {
    match family {
        IpFamily::V4 => &node.ipv4,
        IpFamily::V6 => &node.ipv6,
    }
}

fn family_cell(report: &FamilyReport) -> String {
    match report {
        FamilyReport::NotTested { reason } => format!("not tested ({reason})"),
        FamilyReport::NotReached { after_s, reason } => {
            let reason = reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
            format!("nothing returned in {after_s} s{reason}")
        }
        FamilyReport::Tested { reached_after_s, counts, latency_over_delay_ms } => {
            let mut lines = vec![format!("{}/{} returned, {} lost", counts.returned, counts.sent, counts.lost)];
            lines.extend(reached_after_s.map(|after| format!("reached after {after} s")));
            lines.extend(
                latency_over_delay_ms
                    .map(|latency| format!("beyond the delay: {:.1} ms, p99 {:.1} ms", latency.p50, latency.p99)),
            );
            lines.join("\n")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::check::Target;
    use crate::probe::{Counts, LatencyMs};

    async fn node(ipv4: FamilyReport, ipv6: FamilyReport, mixing: bool) -> NodeReport {
        let listed = crate::api::MixRegistration {
            mix_host: "127.0.0.1:1789".to_owned(),
            mix_hosts: Vec::new(),
            identity_key: "identity".to_owned(),
            sphinx_key: bs58::encode([1; 32]).into_string(),
            version: "0.9.2".to_owned(),
            location: String::new(),
            incentives_address: String::new(),
            layer: 1,
            proof: None,
        };
        NodeReport { target: Target::resolve(&listed).await, ipv4, ipv6, mixing }
    }

    fn tested(returned: u64) -> FamilyReport {
        FamilyReport::Tested {
            reached_after_s: Some(1.0),
            counts: Counts { sent: 20, returned, lost: 20 - returned },
            latency_over_delay_ms: Some(LatencyMs { p50: 1.0, p99: 2.0, max: 3.0 }),
        }
    }

    #[tokio::test]
    async fn an_untested_family_is_never_passed_over_in_silence() {
        let untested = FamilyReport::NotTested { reason: "no IPv6 here".to_owned() };
        let url = Url::parse("http://127.0.0.1:1").unwrap();
        let verdict = Verdict::new(&url, vec![node(tested(20), untested, true).await]);
        assert_eq!(verdict.words(), "The node mixes over IPv4. IPv6 was NOT TESTED for 1 of 1 nodes.");
        assert!(verdict.table().to_string().contains("no IPv6 here"));
    }

    #[tokio::test]
    async fn a_loss_is_told_in_the_table_and_in_words() {
        let url = Url::parse("http://127.0.0.1:1").unwrap();
        let nodes = vec![node(tested(20), tested(20), true).await, node(tested(20), tested(19), false).await];
        let verdict = Verdict::new(&url, nodes);
        assert_eq!(verdict.words(), "1 of 2 nodes mix as they should.");
        assert!(verdict.table().to_string().contains("DOES NOT MIX"));
        assert_eq!((verdict.ok, verdict.mixing, verdict.not_mixing), (false, 1, 1));
    }
}
