//! Progress output while the network runs: a live view on a terminal, otherwise occasional lines.
//!
//! All of it goes to standard error, and write errors are ignored.

mod board;
mod keyboard;
mod live;
mod nodes;
mod palette;
mod picture;
mod screen;

use std::io::{self, Write};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;
use url::Url;

use self::board::Board;
use self::live::Live;
use super::network::Network;
use super::traffic::Traffic;

pub(super) use self::live::StopKey;

/// Interval of the lines without a live view.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Shows the network while it runs. Dropping it restores the terminal.
#[derive(Debug)]
pub struct View {
    live: Option<Live>,
    keys: Option<mpsc::Receiver<StopKey>>,
    last_line: Option<Instant>,
    started: Instant,
}

impl View {
    /// Creates a live view if standard error is a capable terminal and `plain` is not set.
    #[must_use]
    pub fn new(plain: bool) -> Self {
        let started = Instant::now();
        if !plain && screen::is_suitable() {
            match Live::start() {
                Ok((live, keys)) => return Self { live: Some(live), keys: Some(keys), last_line: None, started },
                Err(error) => tracing::debug!(%error, "no live picture"),
            }
        }
        Self { live: None, keys: None, last_line: None, started }
    }

    /// Takes the receiver of stop keys; `None` without a live view.
    pub(super) const fn take_keys(&mut self) -> Option<mpsc::Receiver<StopKey>> {
        self.keys.take()
    }

    /// Shows the registry's URL, at which a browser finds the explorer.
    pub(super) fn set_explorer(&mut self, registry: &Url) {
        let url = registry.as_str().trim_end_matches('/');
        match &self.live {
            Some(live) => live.set_explorer(url),
            None => write_line(&picture::explorer_words(url)),
        }
    }

    /// Adds a permanent line.
    pub(super) fn note(&mut self, words: &str) {
        match &self.live {
            Some(live) => live.note(words, false),
            None => write_line(words),
        }
    }

    /// Adds a permanent, highlighted line.
    pub(super) fn alert(&mut self, words: &str) {
        match &self.live {
            Some(live) => live.note(words, true),
            None => write_line(words),
        }
    }

    /// Sets the current phase; shown in the live view only.
    pub(super) fn progress(&mut self, words: &str) {
        if let Some(live) = &self.live {
            live.set_phase(words);
        }
    }

    /// Shows the state of the network.
    pub(super) fn show(&mut self, network: &Network, traffic: &Traffic) {
        if let Some(live) = &self.live {
            live.show(Board::of(network, traffic, self.started.elapsed()));
        } else if self.last_line.is_none_or(|last| last.elapsed() >= LINE_EVERY) {
            self.last_line = Some(Instant::now());
            let board = Board::of(network, traffic, self.started.elapsed());
            write_line(&board.flow.words(board.elapsed));
        }
    }

    /// Restores the terminal, and prints the permanent lines on it.
    pub(super) fn finish(&mut self) {
        if let Some(live) = self.live.take() {
            for note in live.finish() {
                write_line(&note);
            }
        }
    }
}

impl Drop for View {
    fn drop(&mut self) {
        self.finish();
    }
}

fn write_line(words: &str) {
    let mut stderr = io::stderr().lock();
    // Without a reader the line is lost.
    writeln!(stderr, "{words}").and_then(|()| stderr.flush()).ok();
}
