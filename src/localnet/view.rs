//! What the user sees while the network runs: on a terminal a table redrawn in place, elsewhere a line now and then.
//! All of it goes to standard error, and none of it matters: what cannot be written is left out.

use std::time::Duration;

use comfy_table::{ContentArrangement, Table, presets};
use console::Term;
use tokio::time::Instant;

use super::network::{Network, Node};
use super::traffic::Traffic;
use crate::probe::{IpFamily, Report};

/// Without a terminal.
const LINE_EVERY: Duration = Duration::from_secs(5);
/// Lines of the picture that are no node: the table's frame and header, the end-to-end line, and a spare one.
const LINES_BESIDES_NODES: usize = 6;

/// Shows the network while it runs.
#[derive(Debug)]
pub struct View {
    terminal: Term,
    live: bool,
    /// Lines of the picture on the screen.
    drawn: usize,
    last_line: Option<Instant>,
    started: Instant,
}

impl View {
    /// A live table if standard error is a terminal and `plain` is not asked for.
    #[must_use]
    pub fn new(plain: bool) -> Self {
        // Buffered, so that a picture is replaced in one stroke.
        let terminal = Term::buffered_stderr();
        let live = !plain && terminal.is_term();
        Self { terminal, live, drawn: 0, last_line: None, started: Instant::now() }
    }

    /// A line that stays.
    pub(super) fn note(&mut self, words: &str) {
        self.erase();
        self.write(words);
    }

    /// A line that the next one replaces; on a terminal only.
    pub(super) fn progress(&mut self, words: &str) {
        if self.live {
            self.redraw(words);
        }
    }

    /// The state of the network.
    pub(super) fn show(&mut self, network: &Network, traffic: &Traffic) {
        let report = traffic.report();
        let end_to_end = end_to_end_words(&report, traffic.in_transit(), self.started.elapsed());
        if self.live {
            let (rows, _) = self.terminal.size();
            let nodes_max = usize::from(rows).saturating_sub(LINES_BESIDES_NODES).max(1);
            self.redraw(&picture(network.nodes(), traffic, &end_to_end, nodes_max));
        } else if self.last_line.is_none_or(|last| last.elapsed() >= LINE_EVERY) {
            self.last_line = Some(Instant::now());
            self.note(&end_to_end);
        }
    }

    /// Clears the picture for what is printed next.
    pub(super) fn finish(&mut self) {
        self.erase();
        drop(self.terminal.flush());
    }

    fn redraw(&mut self, picture: &str) {
        self.erase();
        let (_, columns) = self.terminal.size();
        let picture = cut_to_width(picture, columns.into());
        self.drawn = picture.lines().count();
        self.write(&picture);
    }

    fn write(&self, text: &str) {
        drop(self.terminal.write_line(text).and_then(|()| self.terminal.flush()));
    }

    fn erase(&mut self) {
        if self.drawn > 0 {
            drop(self.terminal.clear_last_lines(self.drawn));
            self.drawn = 0;
        }
    }
}

fn picture(nodes: &[Node], traffic: &Traffic, end_to_end: &str, nodes_max: usize) -> String {
    let mut table = Table::new();
    // One line for each node, whatever the width: the number of lines must be known.
    table.load_preset(presets::UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(["node", "layer", "address", "received", "forwarded", "dropped", "pool", "IPv4", "IPv6"]);
    for (number, node) in nodes.iter().enumerate().take(nodes_max) {
        let status = node.status();
        table.add_row([
            node.id.clone(),
            node.layer.to_string(),
            node.addresses.first().map(ToString::to_string).unwrap_or_default(),
            status.received.to_string(),
            status.forwarded.to_string(),
            status.dropped.values().sum::<u64>().to_string(),
            status.pool.to_string(),
            up_word(traffic.is_up(number, IpFamily::V4)).to_owned(),
            up_word(traffic.is_up(number, IpFamily::V6)).to_owned(),
        ]);
    }
    let hidden = nodes.len().saturating_sub(nodes_max);
    let more = if hidden > 0 { format!("\n… and {hidden} more nodes") } else { String::new() };
    format!("{table}{more}\n{end_to_end}")
}

/// A line that wraps would take two lines of the screen, and only one would be cleared.
fn cut_to_width(picture: &str, columns: usize) -> String {
    let cut = |line: &str| line.chars().take(columns).collect::<String>();
    picture.lines().map(cut).collect::<Vec<_>>().join("\n")
}

const fn up_word(up: Option<bool>) -> &'static str {
    match up {
        Some(true) => "up",
        Some(false) => "-",
        None => "not tested",
    }
}

fn end_to_end_words(report: &Report, in_transit: usize, since_start: Duration) -> String {
    let total = report.total;
    let latency = report.latency_over_delay_ms.map_or_else(String::new, |latency| {
        format!("; beyond the delays p50 {:.1} ms, p99 {:.1} ms", latency.p50, latency.p99)
    });
    format!(
        "{} s: {} sent, {} returned, {} lost, {in_transit} on their way{latency}",
        since_start.as_secs(),
        total.sent,
        total.returned,
        total.lost
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::Tally;

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        assert_eq!(cut_to_width("│ äöü │\nab", 4), "│ äö\nab");
    }

    #[test]
    fn the_end_to_end_line_tells_everything_at_once() {
        let mut tally = Tally::default();
        for _ in 0..3 {
            tally.sent(IpFamily::V4);
        }
        tally.returned(IpFamily::V4, 1.25);
        tally.lost(IpFamily::V4);
        assert_eq!(
            end_to_end_words(&tally.report(), 1, Duration::from_secs(7)),
            "7 s: 3 sent, 1 returned, 1 lost, 1 on their way; beyond the delays p50 1.2 ms, p99 1.2 ms"
        );
        assert_eq!(
            end_to_end_words(&Tally::default().report(), 0, Duration::ZERO),
            "0 s: 0 sent, 0 returned, 0 lost, 0 on their way"
        );
    }
}
