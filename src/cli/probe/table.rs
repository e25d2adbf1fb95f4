//! Table of the probed nodes, fitted to the terminal.

use std::fmt;

use comfy_table::{ContentArrangement, TableComponent, presets};
use console::Style;
use nym_mixnode_monitor::IpFamily;
use nym_mixnode_monitor::check::{FamilyReport, NodeReport, Verdict};

/// Terminal widths from which a further detail is shown.
const FOR_LATENCIES: u16 = 76;
const FOR_ADDRESSES: u16 = 100;
const FOR_WHOLE_KEYS: u16 = 156;

/// Characters of a shortened key.
const KEY_CHARS: usize = 8;

/// Table that is drawn by its `Display`.
pub(super) struct Table(comfy_table::Table);

impl Table {
    pub(super) fn new(nodes: &[NodeReport], width: u16) -> Self {
        let mut table = comfy_table::Table::new();
        table.load_preset(presets::UTF8_HORIZONTAL_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
        // Lines between the nodes would double the height.
        table.remove_style(TableComponent::HorizontalLines).remove_style(TableComponent::MiddleIntersections);
        table.set_width(width);
        let mut header = vec!["layer", "node", "address", "IPv4", "IPv6", "verdict"];
        let has_addresses = width >= FOR_ADDRESSES;
        if !has_addresses {
            header.retain(|column| *column != "address");
        }
        table.set_header(header);
        for node in nodes {
            let mut row = vec![node.target.layer.to_string(), shown_key(&node.target.identity, width)];
            if has_addresses {
                let addresses: Vec<_> = node.target.addresses.iter().map(ToString::to_string).collect();
                row.push(addresses.join("\n"));
            }
            row.extend(IpFamily::ALL.map(|family| cell(node, family, width)));
            row.push(name(node.verdict).to_owned());
            table.add_row(row);
        }
        // With the space of the border, two characters between columns.
        table.column_iter_mut().for_each(|column| {
            column.set_padding((0, 1));
        });
        Self(table)
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, line) in self.0.to_string().lines().enumerate() {
            let line = line.trim_end();
            let (rest, verdict) = split_verdict(line);
            write!(f, "{}{rest}", if number == 0 { "" } else { "\n" })?;
            if let Some(verdict) = verdict {
                write!(f, "{}", style(verdict).apply_to(name(verdict)))?;
            }
        }
        Ok(())
    }
}

/// Splits off the verdict in the last column; keys and addresses contain no spaces.
fn split_verdict(line: &str) -> (&str, Option<Verdict>) {
    let found = ALL.into_iter().find_map(|verdict| {
        let rest = line.strip_suffix(name(verdict))?;
        rest.ends_with("  ").then_some((rest, verdict))
    });
    found.map_or((line, None), |(rest, verdict)| (rest, Some(verdict)))
}

const ALL: [Verdict; 7] = [
    Verdict::Mixes,
    Verdict::LosesPackets,
    Verdict::DoesNotMix,
    Verdict::NotReachable,
    Verdict::BadListing,
    Verdict::Undecided,
    Verdict::NotTested,
];

/// Verdict in one to three words.
pub(super) const fn name(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Mixes => "mixes",
        Verdict::LosesPackets => "LOSES PACKETS",
        Verdict::DoesNotMix => "DOES NOT MIX",
        Verdict::NotReachable => "NOT REACHABLE",
        Verdict::BadListing => "BAD LISTING",
        Verdict::Undecided => "UNDECIDED",
        Verdict::NotTested => "NOT TESTED",
    }
}

fn style(verdict: Verdict) -> Style {
    match verdict {
        Verdict::Mixes => Style::new().green(),
        Verdict::Undecided | Verdict::NotTested => Style::new().yellow(),
        _ => Style::new().red(),
    }
}

/// Key, or its beginning, which `--node` also accepts.
fn shown_key(key: &str, width: u16) -> String {
    if width >= FOR_WHOLE_KEYS || key.chars().count() <= KEY_CHARS {
        return key.to_owned();
    }
    let beginning: String = key.chars().take(KEY_CHARS).collect();
    format!("{beginning}…")
}

/// Short result over one family; the sentences below the table have the details.
fn cell(node: &NodeReport, family: IpFamily, width: u16) -> String {
    let is_announced = node.announces.contains(&family);
    match node.over(family) {
        FamilyReport::Tested { counts, latency_over_delay_ms, .. } => {
            let latency = latency_over_delay_ms.filter(|_| width >= FOR_LATENCIES);
            let latency = latency.map(|latency| format!(", {:.1} ms", latency.p50)).unwrap_or_default();
            format!("{}{}/{}{latency}", if is_announced { "" } else { "sends " }, counts.returned, counts.sent)
        }
        _ if !is_announced => "–".to_owned(),
        FamilyReport::NotTested { .. } => "not tested".to_owned(),
        FamilyReport::NotReached { .. } | FamilyReport::Undecided { .. } => "nothing".to_owned(),
    }
}

/// Legend of the table.
pub(super) const fn legend(width: u16) -> &'static str {
    if width >= FOR_LATENCIES {
        "IPv4, IPv6: packets returned / sent, and the median lag, the time beyond the mix delays."
    } else {
        "IPv4, IPv6: packets returned / sent."
    }
}

#[cfg(test)]
mod tests {
    use super::super::output::tests::{BOTH, node, not_reached, tested, undecided, untested};
    use super::*;
    use console::measure_text_width;

    async fn nodes() -> Vec<NodeReport> {
        vec![
            node(1, &BOTH, tested(20), tested(20)).await,
            node(1, &BOTH[..1], tested(20), tested(20)).await,
            node(2, &BOTH, tested(20), not_reached(None)).await,
            node(2, &BOTH, not_reached(Some("refused")), untested()).await,
            node(3, &BOTH, undecided(), tested(20)).await,
            node(3, &["[2001:db8:1234:5678:9abc:def0:1234:5678]:17890"], untested(), tested(20)).await,
        ]
    }

    #[tokio::test]
    async fn a_table_fits_its_width_and_each_node_takes_one_line_of_it() {
        let nodes = nodes().await;
        for width in [60, 66, 76, 80, 99, 100, 120, 155, 156, 160, 200] {
            let table = Table::new(&nodes, width).to_string();
            for line in table.lines() {
                assert!(measure_text_width(line) <= width.into(), "{width}:\n{table}");
            }
            for (line, verdict) in [(4, "mixes"), (6, "DOES NOT MIX"), (7, "NOT REACHABLE"), (8, "UNDECIDED")] {
                if width < FOR_ADDRESSES {
                    let line = table.lines().nth(line - 1).unwrap_or_default();
                    assert!(line.ends_with(verdict), "{width}: {line:?} does not end with {verdict}:\n{table}");
                }
            }
            let shown = if width < FOR_WHOLE_KEYS { "3HWAJ1zw…" } else { &nodes[5].target.identity };
            assert!(table.contains(shown), "{width}:\n{table}");
            assert_eq!(table.contains("192.0.2.1:1789"), width >= FOR_ADDRESSES, "{width}:\n{table}");
            assert_eq!(table.contains("1.0 ms"), width >= FOR_LATENCIES, "{width}:\n{table}");
        }
    }

    #[tokio::test]
    async fn a_family_that_a_node_does_not_listen_on_is_shown_as_such() {
        let table = Table::new(&[node(1, &BOTH[..1], tested(20), tested(19)).await], 80).to_string();
        assert!(table.contains(" 20/20, 1.0 ms") && table.contains("sends 19/20, 1.0 ms"), "{table}");
        assert!(table.lines().any(|line| line.ends_with("  mixes")), "{table}");
    }

    #[tokio::test]
    async fn a_very_narrow_table_stays_within_its_width() {
        let nodes = nodes().await;
        for width in [30, 40, 50] {
            let table = Table::new(&nodes, width).to_string();
            assert!(table.lines().all(|line| measure_text_width(line) <= width.into()), "{width}:\n{table}");
        }
    }
}
