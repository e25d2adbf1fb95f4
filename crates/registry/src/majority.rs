//! Majority of several monitors: no single one decides whether a node is up.
//!
//! Each monitor reports a verdict on each node per round and IP version. A measurement follows when all present monitors
//! have reported since the one before, or when most have and one of them reports again. A single monitor is a majority, so
//! each of its verdicts is a measurement. A monitor is present from its second verdict on: a single report beside the
//! monitors that run, such as that of a probe, decides nothing.

use std::fmt;
use std::time::Duration;

/// How long a monitor is present after its last verdict: three rounds by default. A shorter time would leave out monitors
/// with longer rounds, or one that missed a round, and the others would decide without them.
pub(super) const PRESENT_FOR: Duration = Duration::from_mins(3);

/// Monitor that reports verdicts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reporter {
    /// The registry's own, on whichever registry of a database it runs.
    Own,
    /// Any caller with the registry's token, or whose address is trusted.
    Unnamed,
    /// The caller with the token of this name.
    Named(String),
}

/// Key in the store; no two reporters have the same.
impl fmt::Display for Reporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Own => f.write_str("own"),
            Self::Unnamed => f.write_str("unnamed"),
            Self::Named(name) => write!(f, "named {name}"),
        }
    }
}

/// Latest verdict of one monitor on a node over one IP version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) monitor: String,
    pub(super) is_up: bool,
    /// Whether its monitor had reported before.
    pub(super) is_repeated: bool,
    /// Whether a measurement has followed from it.
    pub(super) is_counted: bool,
    pub(super) at: i64,
}

/// Latest verdicts of all present monitors on a node over one IP version.
#[derive(Debug, Default)]
pub(super) struct Verdicts(Vec<Verdict>);

impl Verdicts {
    /// Takes over a stored verdict.
    pub(super) fn push(&mut self, verdict: Verdict) {
        self.0.push(verdict);
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Verdict> {
        self.0.iter()
    }

    /// Adds a new verdict; returns the measurement that follows: whether the node is up. A tie is no measurement.
    pub(super) fn add(&mut self, monitor: &str, is_up: bool, at: i64) -> Option<bool> {
        let Some(before) = self.0.iter_mut().find(|before| before.monitor == monitor) else {
            let is_alone = !self.0.iter().any(|verdict| verdict.is_repeated);
            let verdict = Verdict { monitor: monitor.to_owned(), is_up, is_repeated: false, is_counted: true, at };
            self.0.push(verdict);
            return is_alone.then_some(is_up);
        };
        let was_waiting = !before.is_counted;
        (before.is_up, before.is_repeated, before.is_counted, before.at) = (is_up, true, false, at);
        self.measure(was_waiting)
    }

    /// The measurement of the present monitors, when enough of them have reported.
    fn measure(&mut self, has_one_waited: bool) -> Option<bool> {
        let mut present: Vec<_> = self.0.iter_mut().filter(|verdict| verdict.is_repeated).collect();
        let waiting = present.iter().filter(|verdict| !verdict.is_counted).count();
        let is_complete = waiting == present.len() || has_one_waited && 2 * waiting > present.len();
        if !is_complete {
            return None;
        }
        for verdict in &mut present {
            verdict.is_counted = true;
        }
        let up = present.iter().filter(|verdict| verdict.is_up).count();
        let down = present.len() - up;
        (up != down).then_some(up > down)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Measurements that follow from verdicts of monitors: `A` is up and `a` down, reported by the monitor `a`.
    fn measure(reports: &str) -> String {
        let mut verdicts = Verdicts::default();
        let mark = |report: char| match verdicts.add(&report.to_ascii_lowercase().to_string(), report.is_uppercase(), 0)
        {
            None => '.',
            Some(true) => '+',
            Some(false) => '-',
        };
        reports.chars().filter(|report| *report != ' ').map(mark).collect()
    }

    #[test]
    fn each_verdict_of_a_single_monitor_is_a_measurement() {
        assert_eq!(measure("AAaAa"), "++-+-");
    }

    #[test]
    fn the_majority_of_three_decides_once_per_round_whatever_their_order() {
        // The first verdicts are those of single monitors, until one of them reports again.
        assert_eq!(measure("ABC ABC ABC ABC"), "++++..+..+..");
        assert_eq!(measure("ABC ABC ABc ABc cBA BcA"), "++++..+..+..+..+..");
        assert_eq!(measure("ABC ABC Abc abC Cba bcA"), "++++..+..-..-..-..");
    }

    #[test]
    fn two_monitors_that_disagree_measure_nothing() {
        assert_eq!(measure("AABB AbAbAbAb"), "++..+.......");
        assert_eq!(measure("AABB ABABAbab"), "++..+.+.+.-.");
    }

    #[test]
    fn a_monitor_decides_nothing_with_its_first_verdict_beside_others() {
        assert_eq!(measure("AA b AAA"), "++.+++");
        assert_eq!(measure("AA b AA b A b A"), "++.++....", "with its second one it is one of two");
    }

    #[test]
    fn a_silent_monitor_does_not_stop_the_majority() {
        assert_eq!(measure("ABC ABC ABC AB AB AB"), "++++..+..+..+..");
        assert_eq!(measure("ABC ABC ABC A A A A"), "++++..+..+...", "one of three is no majority");
    }

    #[test]
    fn a_monitor_that_reports_all_the_time_decides_nothing() {
        assert_eq!(measure("ABC ABC ABC ccccccccc"), "++++..+..+........");
        let measured = measure("ABC ABC ABC ccAccBccAccB");
        assert!(!measured.contains('-'), "{measured}");
    }
}
