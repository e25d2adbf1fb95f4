//! Log filters in the usual `RUST_LOG` syntax: `LEVEL` and `MODULE=LEVEL`, separated by commas.
//!
//! A word that is neither a level nor a module is an error. Other implementations take it for a module, so that
//! `RUST_LOG=warning` disables the log.

use std::fmt;
use std::str::FromStr;

use tracing_subscriber::filter::{LevelFilter, Targets};

use super::target::{self, OWN};

/// A parsed log filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFilter(Vec<Directive>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Directive {
    /// The module that the directive applies to; `None` applies to everything that no other directive names.
    module: Option<String>,
    level: LevelFilter,
}

/// The dependencies of this program that log, in this or an earlier version.
const LIBRARIES: [&str; 11] =
    ["h2", "hyper", "hyper_util", "opentelemetry", "reqwest", "rustls", "sqlx", "tokio", "tonic", "tower", "want"];

impl LogFilter {
    /// The default filter.
    #[must_use]
    pub fn info() -> Self {
        Self(vec![Directive { module: None, level: LevelFilter::INFO }])
    }

    pub(super) fn build(&self) -> Targets {
        self.0.iter().fold(Targets::new(), |targets, Directive { module, level }| match module {
            Some(module) => targets.with_target(target::of_module(module), *level),
            None => targets.with_default(*level),
        })
    }
}

impl FromStr for LogFilter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let directives = text.split(',').map(str::trim).filter(|directive| !directive.is_empty());
        let directives = directives.map(str::parse).collect::<Result<Vec<_>, _>>()?;
        Ok(if directives.is_empty() { Self::info() } else { Self(directives) })
    }
}

impl FromStr for Directive {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some((module, word)) = text.split_once('=') else {
            return match level(text) {
                Some(level) => Ok(Self { module: None, level }),
                None => Ok(Self { module: Some(module(text)?), level: LevelFilter::TRACE }),
            };
        };
        let level = level(word.trim()).ok_or_else(|| format!("{text:?} does not end in a level: {LEVELS}"))?;
        Ok(Self { module: Some(self::module(module.trim())?), level })
    }
}

const LEVELS: &str = "off, error, warn, info, debug or trace";

/// The nearest level for a level's name, here or in other logging systems.
fn level(word: &str) -> Option<LevelFilter> {
    let level = match word.to_ascii_lowercase().as_str() {
        "" => return None,
        "none" => LevelFilter::OFF,
        "err" | "critical" | "crit" | "fatal" | "severe" | "alert" | "emergency" | "emerg" | "panic" => {
            LevelFilter::ERROR
        }
        "warning" => LevelFilter::WARN,
        "information" | "informational" | "notice" => LevelFilter::INFO,
        // Some systems rank these below debug; trace would log far too much.
        "verbose" | "fine" => LevelFilter::DEBUG,
        // The names of the `log` crate, and 0 to 5.
        word => return word.parse().ok(),
    };
    Some(level)
}

/// A module that can emit events.
fn module(path: &str) -> Result<String, String> {
    let mut parts = path.split("::");
    let (first, second) = (parts.next().unwrap_or_default(), parts.next());
    let is_own = first == OWN;
    match second {
        _ if LIBRARIES.contains(&first) => Ok(path.to_owned()),
        None if is_own => Ok(path.to_owned()),
        Some(second) if is_own && target::is_module(second) => Ok(path.to_owned()),
        Some(_) if is_own => {
            Err(format!("{path:?} is not a module of this program; its modules are {}", own_modules()))
        }
        _ if target::is_module(first) => Err(format!("{path:?} is a module of {OWN}: write {OWN}::{path}")),
        _ if first.replace('-', "_") == OWN => Err(format!("{path:?} is written with underscores: {OWN}")),
        _ => Err(format!(
            "{path:?} is not a level ({LEVELS}), {OWN}, or one of its libraries ({})",
            LIBRARIES.join(", ")
        )),
    }
}

fn own_modules() -> String {
    target::modules().map(|module| format!("{OWN}::{module}")).collect::<Vec<_>>().join(", ")
}

impl fmt::Display for LogFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, Directive { module, level }) in self.0.iter().enumerate() {
            f.write_str(if index == 0 { "" } else { "," })?;
            if let Some(module) = module {
                write!(f, "{module}=")?;
            }
            write!(f, "{level}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> String {
        text.parse::<LogFilter>().map_or_else(|problem| format!("refused: {problem}"), |filter| filter.to_string())
    }

    #[test]
    fn levels_and_modules_are_understood() {
        for (text, expected) in [
            ("info", "info"),
            ("off", "off"),
            ("TRACE", "trace"),
            ("Info , nym_mixnode::directory = DEBUG,", "info,nym_mixnode::directory=debug"),
            ("nym_mixnode::directory::heartbeat=debug", "nym_mixnode::directory::heartbeat=debug"),
            ("hyper=trace", "hyper=trace"),
            ("h2", "h2=trace"),
            ("tower::buffer", "tower::buffer=trace"),
            ("nym_mixnode", "nym_mixnode=trace"),
            ("", "info"),
            (" , ", "info"),
        ] {
            assert_eq!(read(text), expected, "{text:?}");
        }
    }

    #[test]
    fn words_of_other_logs_are_the_nearest_level() {
        for (words, expected) in [
            ("none OFF 0", "off"),
            ("critical CRITICAL crit fatal Fatal severe alert emerg panic err ERR error 1", "error"),
            ("warning WARNING Warning warn 2", "warn"),
            ("information Informational notice 3", "info"),
            ("verbose VERBOSE 4", "debug"),
            ("trace 5", "trace"),
        ] {
            for word in words.split(' ') {
                assert_eq!(read(word), expected, "{word}");
                assert_eq!(read(&format!("nym_mixnode={word}")), format!("nym_mixnode={expected}"));
            }
        }
    }

    #[test]
    fn words_that_are_neither_level_nor_module_are_rejected() {
        for (bad, why) in [
            ("nym_mixnode=loud", "off, error, warn"),
            ("nym_mixnode=", "does not end in a level"),
            ("=debug", "is not a level"),
            ("debgu", "\"debgu\""),
            ("warn,inof", "\"inof\""),
            ("6", "\"6\""),
            ("-1", "\"-1\""),
            ("30", "\"30\""),
            ("all", "\"all\""),
            ("warn nym_mixnode=debug", "\"warn nym_mixnode\""),
            ("nym_mixnod=debug", "\"nym_mixnod\""),
            ("nym-mixnode=debug", "written with underscores: nym_mixnode"),
            ("nym_mixnode::directry=debug", "its modules are nym_mixnode::address, "),
            ("directory=debug", "write nym_mixnode::directory"),
            ("directory::heartbeat=debug", "write nym_mixnode::directory::heartbeat"),
            ("hyperr=debug", "(h2, hyper, "),
            ("nym_mixnode[span]=debug", "is not a level"),
        ] {
            let problem = bad.parse::<LogFilter>().unwrap_err();
            assert!(problem.contains(why), "{bad}: {problem}");
        }
    }
}
