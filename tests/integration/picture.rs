//! The image of `localnet` in README: the command at work on a terminal, drawn as SVG. `make picture` writes it.
#![cfg(target_os = "linux")]

use std::cell::RefCell;
use std::env;
use std::fmt::Write;
use std::fs;

use vt100::{Cell, Color, Screen};

use super::pty::Pty;

const COLUMNS: u16 = 100;
const ROWS: u16 = 24;
/// Pixels of a character, with the text's baseline so far below its top.
const WIDTH: u16 = 8;
const HEIGHT: u16 = 17;
const BASELINE: u16 = 13;
const MARGIN: u16 = 14;

/// The colours of the image, on a background of its own: it reads on light and dark pages alike.
const BACKGROUND: &str = "#0d1117";
const TEXT: &str = "#e6edf3";
const QUIET: &str = "#8b949e";
/// Those of a terminal, 0 to 15.
const COLOURS: [&str; 16] = [
    "#484f58", "#ff7b72", "#3fb950", "#d29922", "#58a6ff", "#bc8cff", "#39c5cf", "#b1bac4", QUIET, "#ffa198",
    "#56d364", "#e3b341", "#79c0ff", "#d2a8ff", "#56d4dd", "#ffffff",
];

/// An image of the screen, with every row's text in as few elements as possible.
fn draw(screen: &Screen) -> String {
    let (rows, columns) = screen.size();
    let (width, height) = (columns.get() * WIDTH + 2 * MARGIN, rows.get() * HEIGHT + 2 * MARGIN);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" \
         role=\"img\" font-family=\"ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace\" font-size=\"13\">\n\
         <title>nym-mixnode localnet in a terminal</title>\n\
         <rect width=\"{width}\" height=\"{height}\" rx=\"8\" fill=\"{BACKGROUND}\"/>\n"
    );
    for row in 0..rows.get() {
        let cells: Vec<_> = (0..columns.get()).filter_map(|column| screen.cell(row, column)).collect();
        draw_bars(&mut svg, row, &cells);
        draw_text(&mut svg, row, &cells);
    }
    svg + "</svg>\n"
}

/// The height of a bar, in eighths of a character, if the cell is one of a sparkline's.
fn eighths(cell: &Cell) -> Option<u32> {
    let first = cell.contents().chars().next()?;
    ('▁'..='█').contains(&first).then(|| u32::from(first) - u32::from('▁') + 1)
}

/// Draws bars as rectangles, because fonts differ in how they draw them.
fn draw_bars(svg: &mut String, row: u16, cells: &[&Cell]) {
    for (column, cell) in cells.iter().enumerate() {
        let Some(eighths) = eighths(cell) else { continue };
        let height = f64::from(eighths) / 8.0 * f64::from(HEIGHT);
        let (left, top) = (left(column), f64::from(MARGIN + (row + 1) * HEIGHT) - height);
        let colour = colour(cell);
        writeln!(svg, "<rect x=\"{left}\" y=\"{top}\" width=\"{WIDTH}\" height=\"{height}\" fill=\"{colour}\"/>")
            .unwrap();
    }
}

/// Draws the words of a row; cells of one look, without a gap, are one element.
fn draw_text(svg: &mut String, row: u16, cells: &[&Cell]) {
    let look = |cell: &Cell| (colour(cell), cell.bold());
    let is_text = |cell: &Cell| !cell.contents().trim().is_empty() && eighths(cell).is_none();
    let mut column = 0;
    while column < cells.len() {
        let run = cells[column..].iter().take_while(|cell| is_text(cell) && look(cell) == look(cells[column])).count();
        if run > 0 {
            let text: String = cells[column..column + run].iter().map(|cell| cell.contents()).collect();
            let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
            let (left, top, length) = (left(column), MARGIN + row * HEIGHT + BASELINE, run * usize::from(WIDTH));
            let weight = if cells[column].bold() { " font-weight=\"bold\"" } else { "" };
            let colour = colour(cells[column]);
            writeln!(
                svg,
                "<text x=\"{left}\" y=\"{top}\" textLength=\"{length}\" fill=\"{colour}\"{weight}>{text}</text>"
            )
            .unwrap();
        }
        column += run.max(1);
    }
}

fn left(column: usize) -> usize {
    usize::from(MARGIN) + column * usize::from(WIDTH)
}

fn colour(cell: &Cell) -> String {
    match cell.fgcolor() {
        Color::Default if cell.dim() => QUIET.to_owned(),
        Color::Idx(index) if usize::from(index) < COLOURS.len() => COLOURS[usize::from(index)].to_owned(),
        Color::Rgb(red, green, blue) => format!("#{red:02x}{green:02x}{blue:02x}"),
        Color::Default | Color::Idx(_) => TEXT.to_owned(),
    }
}

/// How long the network has run, by the first line: `nym-mixnode localnet  29 s  6 nodes mix; …`.
fn seconds(screen: &[String]) -> Option<u32> {
    let mut words = screen.first()?.split_whitespace().skip_while(|word| *word != "localnet").skip(1);
    words.next()?.parse().ok()
}

/// Waits for a moment between two frames: in the middle of one, the screen has rows of the frame before.
fn wait_for_whole_frame(terminal: &Pty) {
    let seen = RefCell::new((Vec::<String>::new(), 0));
    terminal.wait_for("still between two frames", |screen| {
        let (last, times) = &mut *seen.borrow_mut();
        *times = if last.as_slice() == screen { *times + 1 } else { 0 };
        screen.clone_into(last);
        *times >= 5
    });
}

#[test]
fn the_image_of_readme_is_drawn_from_a_terminal() {
    let to = env::var_os("LOCALNET_PICTURE");
    // With sparklines that are full.
    let wanted = if to.is_some() { 40 } else { 0 };
    let mut terminal = Pty::start(env!("CARGO_BIN_EXE_nym-mixnode"), &["localnet"], &[], (COLUMNS, ROWS));
    terminal.wait_for("mixing long enough", |screen| {
        let mixes =
            screen.iter().any(|line| line.contains("6 nodes mix")) && screen.iter().any(|line| line.contains('█'));
        mixes && seconds(screen).is_some_and(|seconds| seconds >= wanted)
    });
    wait_for_whole_frame(&terminal);
    let svg = terminal.with_screen(draw);
    terminal.press("q");
    assert_eq!(terminal.wait_for_end().code(), Some(0), "{}", terminal.text());
    for layer in 1..=3 {
        for name in [format!(">mix{layer}-1</text>"), format!(">mix{layer}-2</text>")] {
            assert!(svg.contains(&name), "no {name} in {svg}");
        }
    }
    let bars = svg.lines().filter(|line| line.starts_with("<rect x=") && line.contains(COLOURS[6])).count();
    assert!(bars >= 6, "{bars} bars of packets per second in {svg}");
    if let Some(path) = to {
        fs::write(path, svg).unwrap();
    }
}
