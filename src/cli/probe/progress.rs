//! The line that shows, on a terminal, how far the test has come.

use console::Term;

use crate::probe::check::Progress;

/// One line on a terminal that says what the prober waits for.
pub(super) struct ProgressLine {
    terminal: Option<Term>,
    shown: Progress,
}

impl ProgressLine {
    pub(super) fn new(json: bool) -> Self {
        let terminal = Some(Term::stderr()).filter(|terminal| !json && terminal.is_term());
        Self { terminal, shown: Progress::default() }
    }

    pub(super) fn draw(mut self) -> impl FnMut(Progress) {
        move |progress| {
            if progress != self.shown {
                self.shown = progress;
                self.redraw();
            }
        }
    }

    /// What cannot be drawn is only progress.
    fn redraw(&self) {
        let Some(terminal) = &self.terminal else { return };
        let Progress { settling, lanes, counts, planned } = self.shown;
        let line = if settling > 0 {
            format!("waiting for {settling} of {lanes} routes to open; {}/{planned} packets returned", counts.returned)
        } else {
            format!("{}/{planned} packets returned, {} lost", counts.returned, counts.lost)
        };
        drop(terminal.clear_line().and_then(|()| terminal.write_str(&line)));
    }
}

impl Drop for ProgressLine {
    fn drop(&mut self) {
        if let Some(terminal) = &self.terminal {
            drop(terminal.clear_line());
        }
    }
}
