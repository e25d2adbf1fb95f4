//! Tests of the view on an in-memory terminal of various sizes, with various networks.

use nym_mixnode_monitor::{Counts, LatencyMs};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::style::Color;

use super::*;
use crate::localnet::history::{Lag, Point};
use crate::localnet::load::Limit;
use crate::localnet::view::board::NodeRow;

const SIZES: [(u16, u16); 3] = [(60, 24), (80, 24), (200, 50)];

/// Three layers; nodes get busier from one to the next.
fn board(nodes_per_layer: usize) -> Board {
    let point = |second: usize, node: usize| Point {
        rate: (100 + node + second % 5) as u64,
        lag: Some(Lag::of_step(1 + usize::from(second.is_multiple_of(7)))),
    };
    let node = |number: usize| NodeRow {
        id: format!("mix{}-{}", number / nodes_per_layer + 1, number % nodes_per_layer + 1),
        layer: number / nodes_per_layer + 1,
        points: (0..40).map(|second| point(second, number)).collect(),
        up: [Some(true), Some(true)],
        ..NodeRow::default()
    };
    Board {
        elapsed: Duration::from_secs(40),
        nodes: (0..3 * nodes_per_layer).map(node).collect(),
        flow: Flow {
            counts: Counts { sent: 4000, returned: 3980, lost: 0 },
            on_their_way: 20,
            latency: Some(LatencyMs { p50: 3.7, p99: 5.7, max: 9.0 }),
            asked_per_s: 100,
            limited: None,
        },
    }
}

fn heading() -> Heading {
    Heading { phase: "mixing".to_owned(), explorer: "http://127.0.0.1:40961".to_owned() }
}

struct Shown {
    buffer: Buffer,
    scroll: Scroll,
}

fn show(board: &Board, notes: &[Note], (width, height): (u16, u16), scroll: Scroll) -> Shown {
    show_in(board, notes, (width, height), scroll, Palette::new(true))
}

fn show_in(board: &Board, notes: &[Note], size: (u16, u16), mut scroll: Scroll, palette: Palette) -> Shown {
    let mut terminal = Terminal::new(TestBackend::new(size.0, size.1)).unwrap();
    terminal.draw(|frame| draw(frame, board, &heading(), notes, &mut scroll, palette)).unwrap();
    Shown { buffer: terminal.backend().buffer().clone(), scroll }
}

impl Shown {
    fn lines(&self) -> Vec<String> {
        let width = usize::from(self.buffer.area.width);
        let rows = self.buffer.content().chunks(width);
        rows.map(|row| row.iter().map(ratatui::buffer::Cell::symbol).collect::<String>().trim_end().to_owned())
            .collect()
    }

    fn text(&self) -> String {
        self.lines().join("\n")
    }

    fn ids(&self) -> Vec<String> {
        let text = self.text();
        text.split_whitespace()
            .filter(|word| word.starts_with("mix") && word.contains('-'))
            .map(str::to_owned)
            .collect()
    }

    /// Whether this text is on the screen in this colour.
    fn has_in(&self, words: &str, colour: Color) -> bool {
        let lines = self.lines();
        let found = lines.iter().zip(0..).find_map(|(line, row)| Some((line.find(words)?, line.clone(), row)));
        let Some((byte, line, row)) = found else { return false };
        let from = line[..byte].chars().count();
        let columns = from..from + words.chars().count();
        columns.into_iter().all(|column| self.buffer[(u16::try_from(column).unwrap(), row)].fg == colour)
    }
}

fn is_bar(symbol: char) -> bool {
    ('▁'..='█').contains(&symbol)
}

#[test]
fn six_nodes_are_all_there_at_every_size_with_their_rates_lags_and_lines() {
    for size in SIZES {
        let shown = show(&board(2), &[], size, Scroll::default());
        let text = shown.text();
        assert_eq!(shown.ids(), ["mix1-1", "mix2-1", "mix3-1", "mix1-2", "mix2-2", "mix3-2"], "{size:?}\n{text}");
        assert_eq!(shown.scroll.last(), 0, "{size:?}: nothing to scroll to");
        let headings = shown.lines().into_iter().find(|line| line.contains("layer 1")).unwrap();
        assert!(headings.contains("layer 2") && headings.contains("layer 3"), "side by side: {headings}");
        // The figures of each node have a label.
        assert_eq!(headings.matches("/s, lag").count(), 3, "{size:?}: {headings}");
        // The last second of the first and of the last node.
        assert!(text.contains("104/s") && text.contains("109/s"), "{size:?}\n{text}");
        assert!(text.contains("≤1ms"), "{size:?}\n{text}");
        assert!(text.chars().filter(|symbol| is_bar(*symbol)).count() > 60, "{size:?}\n{text}");
        assert!(text.contains("v4 v6"), "{size:?}\n{text}");
        for words in ["sent 4000", "returned 3980", "lost 0", "on their way 20", "dropped 0", "100 packets/s", "q stop"]
        {
            assert!(text.contains(words), "{size:?}: {words}\n{text}");
        }
        assert!(text.contains("p50 3.7 ms, p99 5.7 ms") && text.contains("40 s"), "{size:?}\n{text}");
        assert!(text.contains("explorer  http://127.0.0.1:40961"), "{size:?}\n{text}");
    }
}

#[test]
fn sixty_nodes_are_readable_and_none_is_out_of_reach() {
    for size in SIZES {
        let board = board(20);
        let first = show(&board, &[], size, Scroll::default());
        let text = first.text();
        assert!(text.contains("mix1-1 ") && text.contains("mix2-1 ") && text.contains("mix3-1 "), "{size:?}\n{text}");
        // Name, rate and both lines of each node, without a gap between the layers.
        let row = first.lines().into_iter().find(|line| line.contains("mix1-3")).unwrap();
        if size.1 == 24 {
            assert!(row.contains("106") && row.contains("126") && row.contains("146"), "{size:?}: {row}");
            assert!(row.chars().filter(|symbol| is_bar(*symbol)).count() >= 12, "{size:?}: {row}");
        }
        let mut seen = first.ids();
        let mut scroll = first.scroll;
        while scroll.offset < scroll.last() {
            scroll.by_pages(1);
            let next = show(&board, &[], size, scroll);
            assert!(
                next.text().contains("PgDn scroll")
                    && next.text().contains(&format!("-{} of ", scroll.offset + scroll.page))
            );
            seen.extend(next.ids());
        }
        let missing: Vec<_> = board.nodes.iter().filter(|node| !seen.contains(&node.id)).map(|node| &node.id).collect();
        assert!(missing.is_empty(), "{size:?}: {missing:?}");
    }
    assert_eq!(show(&board(20), &[], (200, 50), Scroll::default()).scroll.last(), 0, "there is room for all");
}

#[test]
fn the_ends_of_the_list_are_the_ends_of_scrolling() {
    let mut scroll = show(&board(40), &[], (80, 24), Scroll::default()).scroll;
    scroll.by(-3);
    assert_eq!(scroll.offset, 0);
    scroll.by(2);
    assert_eq!(scroll.offset, 2);
    scroll.go_to_end();
    let end = show(&board(40), &[], (80, 24), scroll);
    assert!(end.text().contains("mix3-40"), "{}", end.text());
    scroll.by(5);
    assert_eq!(scroll.offset, scroll.last());
    // A larger terminal shows more of it: the offset follows.
    let larger = show(&board(40), &[], (80, 40), scroll);
    assert!(larger.scroll.offset < scroll.offset && larger.text().contains("mix3-40"));
    scroll.go_to_start();
    assert_eq!(scroll.offset, 0);
}

#[test]
fn drops_and_deaths_stand_out_with_and_without_colours() {
    let how = "killed by signal 9 (SIGKILL)";
    let note = Note { words: format!("mix2-1 died: {how}; last log lines: one | two"), is_alert: true };
    for (size, nodes) in SIZES.into_iter().flat_map(|size| [(size, 2), (size, 19)]) {
        let mut board = board(nodes);
        board.nodes[0].dropped = 12;
        board.nodes[nodes].died = Some(how.to_owned());
        board.flow.counts.lost = 3;
        let shown = show(&board, std::slice::from_ref(&note), size, Scroll::default());
        let context = format!("{size:?} {nodes}\n{}", shown.text());
        assert!(shown.has_in("mix1-1!", Color::Yellow), "{context}");
        assert!(shown.has_in("mix2-1x", Color::Red), "{context}");
        assert!(shown.has_in("mix2-1 died: killed by", Color::Red), "{context}");
        assert!(shown.has_in("dropped 12", Color::Red) && shown.has_in("lost 3", Color::Red), "{context}");

        let plain = show_in(&board, std::slice::from_ref(&note), size, Scroll::default(), Palette::new(false));
        assert!(plain.buffer.content().iter().all(|cell| cell.fg == Color::Reset), "{context}");
        assert!(plain.text().contains("mix1-1!") && plain.text().contains("mix2-1x"), "{context}");
    }
}

#[test]
fn a_load_below_the_one_asked_for_is_said_at_every_size() {
    let mut board = board(20);
    board.flow.asked_per_s = 5000;
    board.flow.limited = Some((Limit::Nodes, 1832.4));
    for size in SIZES {
        let text = show(&board, &[], size, Scroll::default()).text().replace('\n', " ");
        let words = "requested 5000 packets/s, offering 1832: the nodes are at";
        assert!(text.split_whitespace().collect::<Vec<_>>().join(" ").contains(words), "{size:?}\n{text}");
    }
}

#[test]
fn a_node_that_nothing_came_through_and_an_untested_family_look_different() {
    let mut board = board(2);
    board.nodes[0].up = [Some(false), None];
    let text = show(&board, &[], (80, 24), Scroll::default()).text();
    let row = text.lines().find(|line| line.contains("mix1-1")).unwrap();
    let first = row.split("mix2-1").next().unwrap();
    assert!(first.contains("v4?") && !first.contains("v6"), "{row}");
}

#[test]
fn no_terminal_is_too_small_and_none_is_left_with_old_lines() {
    let notes = [Note { words: "mix2-1 died: exited with code 69; last log lines: none".to_owned(), is_alert: true }];
    for nodes in [0, 2, 20] {
        for (width, height) in [(1, 1), (3, 2), (10, 5), (14, 30), (33, 8), (300, 3)] {
            let mut board = board(nodes.max(1));
            board.nodes.truncate(3 * nodes);
            show(&board, &notes, (width, height), Scroll { offset: 7, page: 3, total: 90 });
        }
    }
    let mut terminal = Terminal::new(TestBackend::new(80, 24)).unwrap();
    let (board, palette) = (board(20), Palette::new(true));
    let mut scroll = Scroll::default();
    for (width, height) in [(80, 24), (60, 24), (60, 12), (100, 40), (80, 24)] {
        terminal.backend_mut().resize(width, height);
        terminal.draw(|frame| draw(frame, &board, &heading(), &[], &mut scroll, palette)).unwrap();
        let fresh = show(&board, &[], (width, height), scroll);
        assert_eq!(
            terminal.backend().buffer(),
            &fresh.buffer,
            "{width} × {height}: what was there before shows through"
        );
    }
}
