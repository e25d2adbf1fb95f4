//! Draws the whole view: phase, packets end to end, nodes by layer, and keys.

use std::time::Duration;

use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::board::{Board, Flow};
use super::nodes;
use super::palette::Palette;
use crate::text::lines as lines_of;

/// Most lines of alerts; the latest come first.
const ALERT_LINES_MAX: usize = 4;
/// Gap between two parts of a line.
const GAP: &str = "  ";

/// Height from which on the view has a line for the explorer.
const EXPLORER_ROWS_MIN: u16 = 10;

/// First lines of the view, before the figures.
#[derive(Debug, Clone, Default)]
pub(super) struct Heading {
    /// What the network is doing.
    pub(super) phase: String,
    /// URL of the explorer; empty until the registry runs.
    pub(super) explorer: String,
}

impl Heading {
    pub(super) fn starting() -> Self {
        Self { phase: "starting".to_owned(), explorer: String::new() }
    }
}

/// Line that names the explorer.
pub(super) fn explorer_words(url: &str) -> String {
    format!("explorer{GAP}{url}")
}

/// Permanent line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Note {
    pub(super) words: String,
    /// Coloured, and shown while there is space.
    pub(super) is_alert: bool,
}

/// Visible part of the nodes, in lines.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Scroll {
    offset: usize,
    /// Visible and total lines of the last frame.
    page: usize,
    total: usize,
}

impl Scroll {
    pub(super) fn by(&mut self, lines: isize) {
        self.offset = self.offset.saturating_add_signed(lines).min(self.last());
    }

    pub(super) fn by_pages(&mut self, pages: isize) {
        self.by(pages * isize::try_from(self.page.max(1)).unwrap_or(1));
    }

    pub(super) const fn go_to_start(&mut self) {
        self.offset = 0;
    }

    pub(super) const fn go_to_end(&mut self) {
        self.offset = self.last();
    }

    const fn last(&self) -> usize {
        self.total.saturating_sub(self.page)
    }

    fn fit(&mut self, page: usize, total: usize) {
        (self.page, self.total) = (page, total);
        self.offset = self.offset.min(self.last());
    }
}

/// Draws the view, and stores in `scroll` how much of it fits.
pub(super) fn draw(
    frame: &mut Frame<'_>,
    board: &Board,
    heading: &Heading,
    notes: &[Note],
    scroll: &mut Scroll,
    palette: Palette,
) {
    let area = frame.area();
    let mut head = head(board, heading, area, palette);
    head.extend(alerts(notes, area.width, palette));
    head.truncate(area.height.into());
    let head_height = u16::try_from(head.len()).unwrap_or(area.height);
    for (row, line) in (area.y..).zip(&head) {
        frame.buffer_mut().set_line(area.x, row, line, area.width);
    }
    let [_, rest] = split(area, head_height);
    let [body, foot] = split(rest, rest.height.saturating_sub(1));
    let layers = nodes::draw(board, body.width, body.height, palette);
    scroll.fit(body.height.into(), layers.area.height.into());
    copy(&layers, scroll.offset, frame.buffer_mut(), body);
    if !foot.is_empty() {
        frame.buffer_mut().set_line(foot.x, foot.y, &keys(scroll, palette), foot.width);
    }
}

/// Splits an area into its first rows and the rest.
fn split(area: Rect, height: u16) -> [Rect; 2] {
    let height = height.min(area.height);
    let first = Rect { height, ..area };
    [first, Rect { y: area.y + height, height: area.height - height, ..area }]
}

fn head(board: &Board, heading: &Heading, area: Rect, palette: Palette) -> Vec<Line<'static>> {
    let width = area.width;
    let mut title = vec![Span::styled("nym-mixnode localnet", Palette::title())];
    if board.elapsed > Duration::ZERO {
        title.push(format!("{} s", board.elapsed.as_secs()).into());
    }
    title.push(Span::styled(heading.phase.clone(), palette.quiet()));
    let mut lines = flowed(title, width);
    if !heading.explorer.is_empty() && area.height >= EXPLORER_ROWS_MIN {
        lines.extend(flowed(vec![explorer_words(&heading.explorer).into()], width));
    }
    if board.flow.asked_per_s > 0 {
        lines.extend(flowed(counts(board, palette), width));
        lines.extend(flowed(rates(&board.flow, palette), width));
    }
    lines
}

fn counts(board: &Board, palette: Palette) -> Vec<Span<'static>> {
    let Flow { counts, on_their_way, .. } = board.flow;
    let bad_if = |is_bad: bool| if is_bad { palette.bad() } else { Style::new() };
    vec![
        format!("sent {}", counts.sent).into(),
        format!("returned {}", counts.returned).into(),
        Span::styled(format!("lost {}", counts.lost), bad_if(counts.lost > 0)),
        format!("on their way {on_their_way}").into(),
        Span::styled(format!("dropped {}", board.dropped()), bad_if(board.dropped() > 0)),
    ]
}

fn rates(flow: &Flow, palette: Palette) -> Vec<Span<'static>> {
    let style = if flow.limited.is_some() { palette.warning() } else { Style::new() };
    let rate = Span::styled(flow.rate_words(), style);
    std::iter::once(rate).chain(flow.latency_words().map(Span::from)).collect()
}

fn alerts(notes: &[Note], width: u16, palette: Palette) -> Vec<Line<'static>> {
    let alerts = notes.iter().rev().filter(|note| note.is_alert);
    let lines = alerts.flat_map(|note| lines_of(&note.words, width.into()));
    lines.take(ALERT_LINES_MAX).map(|line| Line::styled(line, palette.bad())).collect()
}

/// Lays out parts one after another, in as many lines as needed.
fn flowed(pieces: Vec<Span<'static>>, width: u16) -> Vec<Line<'static>> {
    let width = usize::from(width);
    let mut lines: Vec<Line<'static>> = Vec::new();
    for piece in pieces {
        match lines.last_mut() {
            Some(line) if line.width() + GAP.len() + piece.width() <= width => {
                line.push_span(GAP);
                line.push_span(piece);
            }
            _ => lines.extend(lines_of(&piece.content, width).into_iter().map(|part| Line::styled(part, piece.style))),
        }
    }
    lines
}

fn keys(scroll: &Scroll, palette: Palette) -> Line<'static> {
    let words = if scroll.last() > 0 {
        let (first, last, total) = (scroll.offset + 1, scroll.offset + scroll.page, scroll.total);
        format!("q stop{GAP}↑ ↓ PgUp PgDn scroll{GAP}lines {first}-{last} of {total}")
    } else {
        "q stop".to_owned()
    };
    Line::styled(words, palette.quiet())
}

/// Copies the visible rows of `from`.
fn copy(from: &Buffer, offset: usize, to: &mut Buffer, area: Rect) {
    for row in 0..area.height {
        let source = u16::try_from(offset).unwrap_or(u16::MAX).saturating_add(row);
        for column in 0..area.width {
            let (Some(cell), Some(target)) =
                (from.cell((column, source)), to.cell_mut((area.x + column, area.y + row)))
            else {
                break;
            };
            *target = cell.clone();
        }
    }
}

#[cfg(test)]
mod tests;
