//! The progress line of a test on a terminal.

use std::time::Duration;

use nym_mixnode_base::count::counted;
use nym_mixnode_monitor::check::Progress;

use super::ProbeArgs;
use crate::cli::status_line::StatusLine;

/// Shows on a terminal what the prober waits for.
pub(super) struct ProgressLine {
    status: StatusLine,
    settle: Duration,
    shown: Progress,
}

impl ProgressLine {
    pub(super) fn new(args: &ProbeArgs) -> Self {
        Self { status: StatusLine::new(!args.json), settle: args.settle, shown: Progress::default() }
    }

    pub(super) fn draw(mut self) -> impl FnMut(Progress) {
        move |progress| {
            if progress != self.shown {
                self.shown = progress;
                self.status.show(&line(progress, self.settle));
            }
        }
    }
}

fn line(Progress { settling, lanes, counts, planned }: Progress, settle: Duration) -> String {
    if settling == 0 {
        let of = counted(planned, "packet", "packets");
        return format!("{} of {of} returned, {} lost", counts.returned, counts.lost);
    }
    let open = lanes - settling;
    let settle = humantime::format_duration(settle);
    let returned = counts.returned;
    let (lanes, of) = (counted(lanes, "route", "routes"), counted(planned, "packet", "packets"));
    format!("{open} of {lanes} open (waiting up to {settle} for the rest), {returned} of {of} returned")
}
