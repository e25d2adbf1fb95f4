//! What the user sees while the network runs: on a terminal a live picture, elsewhere a line now and then.
//!
//! All of it goes to standard error, and none of it matters: what cannot be written is left out.

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

use self::board::Board;
use self::live::Live;
use super::network::Network;
use super::traffic::Traffic;

pub(super) use self::live::StopKey;

/// Without a live picture.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Shows the network while it runs. Dropping it gives the terminal back.
#[derive(Debug)]
pub struct View {
    live: Option<Live>,
    keys: Option<mpsc::Receiver<StopKey>>,
    last_line: Option<Instant>,
    started: Instant,
}

impl View {
    /// A live picture if standard error is a terminal that can show one and `plain` is not asked for.
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

    /// The keys that ask for a stop, once; `None` without a live picture.
    pub(super) const fn take_keys(&mut self) -> Option<mpsc::Receiver<StopKey>> {
        self.keys.take()
    }

    /// A line that stays.
    pub(super) fn note(&mut self, words: &str) {
        match &self.live {
            Some(live) => live.note(words, false),
            None => write_line(words),
        }
    }

    /// A line that stays and that nobody should miss.
    pub(super) fn alert(&mut self, words: &str) {
        match &self.live {
            Some(live) => live.note(words, true),
            None => write_line(words),
        }
    }

    /// What goes on now, until the next such line; in the live picture only.
    pub(super) fn progress(&mut self, words: &str) {
        if let Some(live) = &self.live {
            live.set_phase(words);
        }
    }

    /// The state of the network.
    pub(super) fn show(&mut self, network: &Network, traffic: &Traffic) {
        if let Some(live) = &self.live {
            live.show(Board::of(network, traffic, self.started.elapsed()));
        } else if self.last_line.is_none_or(|last| last.elapsed() >= LINE_EVERY) {
            self.last_line = Some(Instant::now());
            let board = Board::of(network, traffic, self.started.elapsed());
            write_line(&board.flow.words(board.elapsed));
        }
    }

    /// Gives the terminal back, and leaves the lines on it that stay.
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
    // Nobody reads it: there is nobody to tell.
    writeln!(stderr, "{words}").and_then(|()| stderr.flush()).ok();
}
