//! Majority of several monitors: no single one decides whether a node is up.
//!
//! Each monitor reports a verdict on each node per round and IP version. A measurement follows when all present monitors
//! have reported since the one before, or when most have and one of them reports again. A single monitor is a majority, so
//! each of its verdicts is a measurement.

use std::fmt;
use std::time::Duration;

/// How long a monitor is present after its last verdict: three rounds by default.
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
        let verdict = Verdict { monitor: monitor.to_owned(), is_up, is_counted: false, at };
        let before = self.0.iter_mut().find(|before| before.monitor == monitor);
        let is_repeated = before.as_ref().is_some_and(|before| !before.is_counted);
        match before {
            Some(before) => *before = verdict,
            None => self.0.push(verdict),
        }
        let waiting = self.0.iter().filter(|verdict| !verdict.is_counted).count();
        let is_complete = waiting == self.0.len() || is_repeated && 2 * waiting > self.0.len();
        if !is_complete {
            return None;
        }
        self.0.iter_mut().for_each(|verdict| verdict.is_counted = true);
        let up = self.0.iter().filter(|verdict| verdict.is_up).count();
        let down = self.0.len() - up;
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
        // The first verdict of all is that of a single monitor.
        assert_eq!(measure("ABC ABC ABC"), "+..+..+..");
        assert_eq!(measure("ABc ABc cBA BcA"), "+..+..+..+..");
        assert_eq!(measure("Abc abC Cba bcA"), "+..-..-..-..");
    }

    #[test]
    fn two_monitors_that_disagree_measure_nothing() {
        assert_eq!(measure("AbAbAbAb"), "+.......");
        assert_eq!(measure("ABABAbab"), "+.+.+.-.");
    }

    #[test]
    fn a_silent_monitor_does_not_stop_the_majority() {
        assert_eq!(measure("ABC ABC AB AB AB"), "+..+..+..+..");
        assert_eq!(measure("ABC ABC A A A A"), "+..+..+...", "one of three is no majority");
    }

    #[test]
    fn a_monitor_that_reports_all_the_time_decides_nothing() {
        assert_eq!(measure("ABC ABC ccccccccc"), "+..+..+........");
        let measured = measure("ABC ABC ccAccBccAccB");
        assert!(!measured.contains('-'), "{measured}");
    }
}
