//! Draws the nodes, layers side by side: packets per second and lag of the last seconds, drops, and dead nodes.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::widgets::{RenderDirection, Sparkline, SparklineBar, Widget};

use super::board::{Board, NodeRow};
use super::palette::Palette;
use crate::localnet::history::{Lag, Point};

/// A column of this width shows a node in one line, and one of the other in two.
const ONE_LINE_WIDTH: u16 = 20;
const TWO_LINES_WIDTH: u16 = 15;
/// Most lines of a node, and the number from which the last line is a gap.
const HEIGHT_MAX: u16 = 8;
const HEIGHT_WITH_GAP: u16 = 5;
/// Gap between two columns.
const GAP: u16 = 2;
/// Width of `1234/s` and of `>250ms`.
const LABEL_WIDTH: u16 = 6;
/// Widths from which a node that has one line shows its lag as a number, and its drops.
const WITH_LAG_WIDTH: u16 = 36;
const WITH_DROPS_WIDTH: u16 = 52;
const DROPS_WIDTH: u16 = 14;

/// Arrangement of the nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Arrangement {
    /// Number of layers side by side; further layers follow below.
    columns: u16,
    width: u16,
    node_height: u16,
}

/// All nodes, `width` wide and as high as they need; `height` of it is on the screen.
pub(super) fn draw(board: &Board, width: u16, height: u16, palette: Palette) -> Buffer {
    let layers = layers(board);
    let arrangement = arrange(&layers, width, height);
    let mut buffer = Buffer::empty(Rect::new(0, 0, width, arrangement.total_height(&layers)));
    let painter = Painter { rate_max: rate_max(board), id_width: id_width(board), palette };
    let mut top = 0;
    for band in layers.chunks(arrangement.columns.into()) {
        for (x, layer) in (0..).step_by(arrangement.width.into()).zip(band) {
            let column = Rect::new(x, top, arrangement.width.saturating_sub(GAP), arrangement.layer_height(layer));
            painter.layer(layer, column, arrangement.node_height, &mut buffer);
        }
        top += arrangement.band_height(band);
    }
    buffer
}

fn layers(board: &Board) -> Vec<&[NodeRow]> {
    board.nodes.chunk_by(|a, b| a.layer == b.layer).collect()
}

/// As many layers side by side as fit, and nodes as high as they fit on the screen; else small, to be scrolled.
fn arrange(layers: &[&[NodeRow]], width: u16, height: u16) -> Arrangement {
    let count = u16::try_from(layers.len()).unwrap_or(u16::MAX).max(1);
    let columns = (width / TWO_LINES_WIDTH).clamp(1, count);
    let column_width = (width / columns).max(1);
    let least = if column_width >= ONE_LINE_WIDTH { 1 } else { 2 };
    let arrangement = |node_height| Arrangement { columns, width: column_width, node_height };
    let fitting = (least..=HEIGHT_MAX).rev().map(arrangement).find(|some| some.total_height(layers) <= height);
    fitting.unwrap_or_else(|| arrangement(least))
}

impl Arrangement {
    fn layer_height(self, layer: &[NodeRow]) -> u16 {
        let nodes = u16::try_from(layer.len()).unwrap_or(u16::MAX);
        nodes.saturating_mul(self.node_height).saturating_add(1)
    }

    fn band_height(self, band: &[&[NodeRow]]) -> u16 {
        band.iter().map(|layer| self.layer_height(layer)).max().unwrap_or(0)
    }

    fn total_height(self, layers: &[&[NodeRow]]) -> u16 {
        let bands = layers.chunks(self.columns.into()).map(|band| self.band_height(band));
        bands.fold(0, u16::saturating_add)
    }
}

/// Common scale of all nodes, so that they can be compared.
fn rate_max(board: &Board) -> u64 {
    let points = board.nodes.iter().flat_map(|node| &node.points);
    points.map(|point| point.rate).max().unwrap_or(0).max(1)
}

fn id_width(board: &Board) -> u16 {
    let longest = board.nodes.iter().map(|node| node.id.len()).max().unwrap_or(0);
    u16::try_from(longest).unwrap_or(u16::MAX)
}

struct Painter {
    rate_max: u64,
    id_width: u16,
    palette: Palette,
}

impl Painter {
    fn layer(&self, layer: &[NodeRow], column: Rect, node_height: u16, buffer: &mut Buffer) {
        let number = layer.first().map_or(0, |node| node.layer);
        let end = put(buffer, column, 0, &format!("layer {number}"), Palette::title());
        let fits = |words: &&str| usize::from(end) + words.len() < column.width.into();
        if let Some(words) = ["packets/s, lag", "/s, lag"].into_iter().find(fits) {
            put_right(buffer, column, end, words, self.palette.quiet());
        }
        for (row, node) in (column.y + 1..).step_by(node_height.into()).zip(layer) {
            let area = Rect { y: row, height: node_height, ..column };
            if node_height == 1 { self.one_line(node, area, buffer) } else { self.lines(node, area, buffer) }
        }
    }

    /// Such as `mix1-12  ▃▄▅  123 ▁▁`.
    fn one_line(&self, node: &NodeRow, area: Rect, buffer: &mut Buffer) {
        self.id(node, area, buffer);
        let rest = right_of(area, self.id_width + 1);
        if self.is_dead(node, rest, buffer) {
            return;
        }
        let (drops, lag) = (area.width >= WITH_DROPS_WIDTH, area.width >= WITH_LAG_WIDTH);
        let beside = 6 + if lag { LABEL_WIDTH + 1 } else { 0 } + if drops { DROPS_WIDTH } else { 0 };
        let lines = rest.width.saturating_sub(beside);
        let rates = Rect { width: lines.div_ceil(2), ..rest };
        self.rates(node, rates, buffer);
        let number = right_of(rest, rates.width);
        put(buffer, number, 0, &format!("{:>5}", rate(node)), Style::new());
        let lags = Rect { width: lines / 2, ..right_of(number, 6) };
        self.lags(node, lags, buffer);
        if lag {
            self.lag_number(node, Rect { x: lags.right() + 1, width: LABEL_WIDTH, ..lags }, buffer);
        }
        if drops && node.dropped > 0 {
            let words = format!("dropped {}", node.dropped);
            put_right(buffer, area, 0, &words, self.palette.bad());
        }
    }

    /// Two lines: all in the second one. More: the rate in several, the lag in the last.
    fn lines(&self, node: &NodeRow, area: Rect, buffer: &mut Buffer) {
        let area = Rect { height: area.height - u16::from(area.height >= HEIGHT_WITH_GAP), ..area };
        let id = self.id(node, area, buffer);
        let below = Rect { y: area.y + 1, height: area.height - 1, ..area };
        if self.is_dead(node, below, buffer) {
            return;
        }
        self.remarks(node, area, id + 1, buffer);
        let last = Rect { y: area.bottom() - 1, height: 1, ..area };
        let rate = format!("{:>4}/s", rate(node));
        if area.height == 2 {
            put(buffer, last, 0, &rate, Style::new());
            let lines = right_of(last, LABEL_WIDTH + 1);
            let rates = Rect { width: lines.width.div_ceil(2), ..lines };
            self.rates(node, rates, buffer);
            self.lags(node, right_of(lines, rates.width + 1), buffer);
            return;
        }
        let rates = Rect { height: area.height - 2, ..below };
        put(buffer, Rect { y: rates.bottom() - 1, ..rates }, 0, &rate, Style::new());
        self.rates(node, right_of(rates, LABEL_WIDTH + 1), buffer);
        self.lag_number(node, last, buffer);
        self.lags(node, right_of(last, LABEL_WIDTH + 1), buffer);
    }

    /// Draws the name, with a mark readable without colour. Returns its end within the area.
    fn id(&self, node: &NodeRow, area: Rect, buffer: &mut Buffer) -> u16 {
        let (mark, style) = match (&node.died, node.dropped) {
            (Some(_), _) => ("x", self.palette.bad()),
            (None, 1..) => ("!", self.palette.warning()),
            (None, 0) => ("", Style::new()),
        };
        put(buffer, area, 0, &format!("{}{mark}", node.id), style)
    }

    fn is_dead(&self, node: &NodeRow, area: Rect, buffer: &mut Buffer) -> bool {
        if let Some(how) = &node.died {
            put(buffer, area, 0, &format!("died: {how}"), self.palette.bad());
        }
        node.died.is_some()
    }

    /// Draws what fits to the right of the name: drops, families, packets in the pool.
    fn remarks(&self, node: &NodeRow, area: Rect, from: u16, buffer: &mut Buffer) {
        let mut end = area.width;
        let mut add = |words: String, style: Style, buffer: &mut Buffer| {
            let width = u16::try_from(words.chars().count()).unwrap_or(u16::MAX);
            if let Some(start) = end.checked_sub(width).filter(|start| *start >= from) {
                put(buffer, area, start, &words, style);
                end = start.saturating_sub(1);
            }
        };
        if node.dropped > 0 {
            add(format!("dropped {}", node.dropped), self.palette.bad(), buffer);
        }
        for (family, up) in ["v4", "v6"].into_iter().zip(node.up).rev() {
            match up {
                Some(true) => add(family.to_owned(), self.palette.good(), buffer),
                // No packet came back recently.
                Some(false) => add(format!("{family}?"), self.palette.warning(), buffer),
                None => {}
            }
        }
        add(format!("pool {}", node.pool), self.palette.quiet(), buffer);
    }

    fn lag_number(&self, node: &NodeRow, area: Rect, buffer: &mut Buffer) {
        if let Some(lag) = node.points.last().and_then(|point| point.lag) {
            put(buffer, area, 0, &format!("{:>6}", lag.words()), self.palette.lag(lag));
        }
    }

    fn rates(&self, node: &NodeRow, area: Rect, buffer: &mut Buffer) {
        let bars = node.points.iter().rev().map(|point| SparklineBar::from(point.rate));
        sparkline(bars, self.rate_max).style(self.palette.rate()).render(area, buffer);
    }

    fn lags(&self, node: &NodeRow, area: Rect, buffer: &mut Buffer) {
        let bar = |point: &Point| match point.lag {
            Some(lag) => SparklineBar::from(lag.step()).style(self.palette.lag(lag)),
            None => SparklineBar::from(0),
        };
        sparkline(node.points.iter().rev().map(bar), Lag::STEPS).render(area, buffer);
    }
}

/// The newest bar is at the right.
fn sparkline<'a>(newest_first: impl Iterator<Item = SparklineBar>, max: u64) -> Sparkline<'a> {
    Sparkline::default().data(newest_first).max(max).direction(RenderDirection::RightToLeft)
}

/// Values of the last second.
fn rate(node: &NodeRow) -> String {
    node.points.last().map_or_else(|| "-".to_owned(), |point| short(point.rate))
}

/// At most four characters.
fn short(rate: u64) -> String {
    match rate {
        0..=9999 => rate.to_string(),
        10_000..=999_999 => format!("{}k", rate / 1000),
        _ => format!("{}M", rate / 1_000_000),
    }
}

fn right_of(area: Rect, width: u16) -> Rect {
    let width = width.min(area.width);
    Rect { x: area.x + width, width: area.width - width, ..area }
}

/// Writes into the first line of an area, from a column on; returns the end within the area.
fn put(buffer: &mut Buffer, area: Rect, from: u16, words: &str, style: Style) -> u16 {
    let room = right_of(area, from);
    if room.is_empty() {
        return area.width;
    }
    let (end, _) = buffer.set_stringn(room.x, room.y, words, room.width.into(), style);
    end - area.x
}

/// Writes to the right end of the first line, if that leaves a gap behind `from`.
fn put_right(buffer: &mut Buffer, area: Rect, from: u16, words: &str, style: Style) {
    let width = u16::try_from(words.chars().count()).unwrap_or(u16::MAX);
    if let Some(start) = area.width.checked_sub(width).filter(|start| *start > from) {
        put(buffer, area, start, words, style);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes(layers: usize, each: usize) -> Vec<NodeRow> {
        let node = |i: usize| NodeRow { layer: i / each + 1, id: format!("mix{}-1", i / each), ..NodeRow::default() };
        (0..layers * each).map(node).collect()
    }

    fn arrangement(layers: usize, each: usize, width: u16, height: u16) -> (u16, u16) {
        let board = Board { nodes: nodes(layers, each), ..Board::default() };
        let Arrangement { columns, node_height, .. } = arrange(&self::layers(&board), width, height);
        (columns, node_height)
    }

    #[test]
    fn layers_lie_side_by_side_as_far_as_they_fit_and_nodes_are_as_high_as_they_fit() {
        assert_eq!(arrangement(3, 2, 80, 20), (3, 8));
        assert_eq!(arrangement(3, 6, 80, 20), (3, 3));
        assert_eq!(arrangement(3, 19, 60, 20), (3, 1), "all nodes in one line each");
        assert_eq!(arrangement(3, 20, 60, 20), (3, 1), "one more is scrolled to");
        assert_eq!(arrangement(4, 2, 60, 20), (4, 8));
        assert_eq!(arrangement(4, 20, 60, 20), (4, 2), "too narrow for one line");
        assert_eq!(arrangement(4, 2, 40, 20), (2, 4), "two bands of two layers");
        assert_eq!(arrangement(3, 2, 5, 20), (1, 2));
    }

    #[test]
    fn rates_are_short() {
        assert_eq!([0, 999, 9999, 12_345, 999_999, 5_000_000].map(short), ["0", "999", "9999", "12k", "999k", "5M"]);
    }
}
