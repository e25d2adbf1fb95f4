//! The progress line of a test on a terminal.

use std::time::Duration;

use console::{Term, truncate_str};
use nym_mixnode_monitor::check::Progress;

use super::ProbeArgs;

/// One line on a terminal that shows what the prober waits for.
pub(super) struct ProgressLine {
    terminal: Option<Term>,
    settle: Duration,
    shown: Progress,
}

impl ProgressLine {
    pub(super) fn new(args: &ProbeArgs) -> Self {
        let terminal = Some(Term::stderr()).filter(|terminal| !args.json && terminal.is_term());
        Self { terminal, settle: args.settle, shown: Progress::default() }
    }

    pub(super) fn draw(mut self) -> impl FnMut(Progress) {
        move |progress| {
            if progress != self.shown {
                self.shown = progress;
                self.redraw();
            }
        }
    }

    /// Ignores write errors: the line only shows progress.
    fn redraw(&self) {
        let Some(terminal) = &self.terminal else { return };
        let line = line(self.shown, self.settle);
        // A line that the terminal wraps could not be cleared as one.
        let width = terminal.size_checked().map_or(usize::MAX, |(_, columns)| usize::from(columns).saturating_sub(1));
        drop(terminal.clear_line().and_then(|()| terminal.write_str(&truncate_str(&line, width, "…"))));
    }
}

fn line(Progress { settling, lanes, counts, planned }: Progress, settle: Duration) -> String {
    if settling == 0 {
        return format!("{}/{planned} packets returned, {} lost", counts.returned, counts.lost);
    }
    let open = lanes - settling;
    let settle = humantime::format_duration(settle);
    let returned = counts.returned;
    format!(
        "{open} of {lanes} routes open (waiting up to {settle} for the rest), {returned}/{planned} packets returned"
    )
}

impl Drop for ProgressLine {
    fn drop(&mut self) {
        if let Some(terminal) = &self.terminal {
            drop(terminal.clear_line());
        }
    }
}
