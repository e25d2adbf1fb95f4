//! Times given by flags, within bounds: clocks overflow with longer ones.

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
    match humantime::parse_duration(text) {
        Ok(time) if time < shortest => Err(format!("the minimum is {}", humantime::format_duration(shortest))),
        Ok(time) if time > LONGEST => Err("the maximum is 365days".to_owned()),
        Ok(time) => Ok(time),
        Err(error) => Err(error.to_string()),
    }
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
            (any("soon"), "number"),
        ] {
            let problem = refused.unwrap_err();
            assert!(problem.contains(word), "{problem}");
        }
    }
}
