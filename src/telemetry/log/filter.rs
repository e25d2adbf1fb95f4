//! Which events are logged: filters as `RUST_LOG` has them everywhere in Rust.

use std::fmt;
use std::str::FromStr;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

/// A filter that has been understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFilter(String);

const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// A word that takes no more changes than this to be a level was meant as one.
const TYPOS_MAX: usize = 2;

impl LogFilter {
    /// What is logged when nobody says otherwise.
    #[must_use]
    pub fn info() -> Self {
        Self("info".to_owned())
    }

    pub(super) fn build(&self) -> EnvFilter {
        EnvFilter::builder().with_default_directive(LevelFilter::INFO.into()).parse_lossy(&self.0)
    }
}

impl FromStr for LogFilter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.split(',').all(|directive| directive.trim().is_empty()) {
            return Ok(Self::info());
        }
        for directive in text.split(',') {
            refuse_mistakes(directive.trim())?;
        }
        match EnvFilter::builder().parse(text) {
            Ok(_) => Ok(Self(text.to_owned())),
            Err(error) => Err(error.to_string()),
        }
    }
}

/// The mistakes that a filter takes for the names of modules, and then logs nothing.
fn refuse_mistakes(directive: &str) -> Result<(), String> {
    if directive.starts_with("nym-mixnode") {
        return Err(format!("in {directive:?} the program's modules begin with nym_mixnode"));
    }
    let word = directive.to_ascii_lowercase();
    let is_level = LEVELS.contains(&word.as_str());
    let plain = word.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if is_level || !plain || word.len() < 3 {
        return Ok(());
    }
    let meant = LEVELS.iter().filter(|level| level.len() > TYPOS_MAX + 1);
    match meant.min_by_key(|level| strsim::osa_distance(&word, level)) {
        Some(level) if strsim::osa_distance(&word, level) <= TYPOS_MAX => {
            Err(format!("{directive:?} is not a level, did you mean {level}?"))
        }
        _ => Ok(()),
    }
}

impl fmt::Display for LogFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_understood_or_refused_with_what_is_wrong() {
        for good in ["info", "warn,nym_mixnode::directory=debug", "off", "hyper=trace", "TRACE", "h2", "tower", "time"]
        {
            assert_eq!(good.parse::<LogFilter>().unwrap().to_string(), good);
        }
        assert_eq!("".parse(), Ok(LogFilter::info()));
        for (bad, why) in [
            ("nym=loud", "expected one of"),
            ("debgu", "did you mean debug?"),
            ("warn,inof", "did you mean info?"),
            ("nym-mixnode=debug", "nym_mixnode"),
        ] {
            let problem = bad.parse::<LogFilter>().unwrap_err();
            assert!(problem.contains(why), "{bad}: {problem}");
        }
    }
}
