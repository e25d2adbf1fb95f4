//! Times given by flags, within bounds: clocks overflow with longer ones.

use std::ops::RangeInclusive;
use std::time::Duration;

/// Far above any useful time.
const LONGEST: Duration = Duration::from_hours(24 * 365);

/// Parses a time.
pub(crate) fn any(text: &str) -> Result<Duration, String> {
    at_least(text, Duration::ZERO)
}

/// Parses a time other than 0.
pub(crate) fn positive(text: &str) -> Result<Duration, String> {
    at_least(text, Duration::from_millis(1))
}

/// Parses a time of at least `shortest`.
pub(crate) fn at_least(text: &str, shortest: Duration) -> Result<Duration, String> {
    within(text, shortest..=LONGEST)
}

/// Parses a time within these bounds.
pub(crate) fn within(text: &str, bounds: RangeInclusive<Duration>) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(time) if time < *bounds.start() => {
            Err(format!("the minimum is {}", humantime::format_duration(*bounds.start())))
        }
        Ok(time) if time > *bounds.end() => Err(format!("the maximum is {}", longest(*bounds.end()))),
        Ok(time) => Ok(time),
        Err(error) => Err(error.to_string()),
    }
}

/// The library would write a year of 365 days as one and some hours less.
fn longest(time: Duration) -> String {
    if time == LONGEST { "365days".to_owned() } else { humantime::format_duration(time).to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_within_their_bounds() {
        let second = Duration::from_secs(1);
        for (parsed, expected) in [
            (any("0s"), Ok(Duration::ZERO)),
            (any("365days"), Ok(LONGEST)),
            (positive("1ms"), Ok(Duration::from_millis(1))),
            (at_least("1s", second), Ok(second)),
        ] {
            assert_eq!(parsed, expected);
        }
        for (refused, word) in [
            (any("366days"), "maximum"),
            (any("99999999999y"), "maximum"),
            (positive("0s"), "minimum is 1ms"),
            (at_least("999ms", second), "minimum is 1s"),
            (within("61s", second..=60 * second), "maximum is 1m"),
            (any("soon"), "number"),
        ] {
            let problem = refused.unwrap_err();
            assert!(problem.contains(word), "{problem}");
        }
    }
}
