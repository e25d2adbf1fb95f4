//! A line on a terminal that shows what a command waits for.

use std::convert::Infallible;
use std::time::Duration;

use console::{Term, truncate_str};
use nym_mixnode_telemetry::log;
use tokio::time::{Instant, interval_at};

const EVERY: Duration = Duration::from_secs(1);

/// A line at the bottom of the standard error; nothing if that is not a terminal.
pub(super) struct StatusLine(Option<Term>);

impl StatusLine {
    /// `is_wanted` is false for output that programs read.
    pub(super) fn new(is_wanted: bool) -> Self {
        let terminal = Some(Term::stderr()).filter(|terminal| is_wanted && terminal.is_term());
        log::clear_line(terminal.is_some());
        Self(terminal)
    }

    /// Replaces the line. Ignores write errors: it only shows progress.
    pub(super) fn show(&self, words: &str) {
        let Some(terminal) = &self.0 else { return };
        // A line that the terminal wraps could not be cleared as one.
        let width = terminal.size_checked().map_or(usize::MAX, |(_, columns)| usize::from(columns).saturating_sub(1));
        drop(terminal.clear_line().and_then(|()| terminal.write_str(&truncate_str(words, width, "…"))));
    }

    pub(super) fn clear(&self) {
        if let Some(terminal) = &self.0 {
            drop(terminal.clear_line());
        }
    }

    /// Shows once a second what `doing` returns, and for how long this has run.
    pub(super) async fn show_every_second(&self, doing: impl Fn() -> &'static str) -> Infallible {
        let began = Instant::now();
        let mut ticks = interval_at(began + EVERY, EVERY);
        loop {
            ticks.tick().await;
            self.show(&format!("{} s: {}", began.elapsed().as_secs(), doing()));
        }
    }
}

impl Drop for StatusLine {
    fn drop(&mut self) {
        log::clear_line(false);
        self.clear();
    }
}
