//! The `OTEL_…` variables of a process, and errors in them.
//!
//! Value types follow the specification: <https://opentelemetry.io/docs/specs/otel/configuration/>. An empty variable
//! counts as unset, words are case-insensitive, lists may end in a comma, and a timeout of 0 is unlimited.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt::Display;
use std::time::Duration;

use thiserror::Error;

use crate::losses::Signal;

/// Prefix of all exporter variables.
pub(super) const GENERIC: &str = "OTEL_EXPORTER_OTLP_";

/// Stands in for an unlimited timeout, as the specification allows.
const NO_LIMIT: Duration = Duration::from_millis(u32::MAX as u64);

/// A standard variable has a value that is not allowed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{variable}: {problem}")]
pub struct VariableError {
    /// Its name.
    pub variable: String,
    /// What is wrong, and which values are allowed.
    pub problem: String,
}

pub(super) struct Variables {
    variables: BTreeMap<String, OsString>,
    pub(super) problems: Vec<VariableError>,
}

impl Variables {
    pub(super) fn new(variables: impl Iterator<Item = (OsString, OsString)>) -> Self {
        let standard =
            variables.filter_map(|(name, value)| Some((name.into_string().ok()?, value))).filter(|(name, value)| {
                let is_empty = value.to_str().is_some_and(|value| value.trim().is_empty());
                name.starts_with("OTEL_") && !is_empty
            });
        Self { variables: standard.collect(), problems: Vec::new() }
    }

    /// The value without surrounding spaces.
    pub(super) fn text(&mut self, name: &str) -> Option<String> {
        match self.variables.get(name)?.to_str() {
            Some(text) => Some(text.trim().to_owned()),
            None => self.refuse(name, "is not valid UTF-8"),
        }
    }

    /// The variable of the signal, or else the general one.
    pub(super) fn of_signal(&mut self, signal: Signal, what: &str) -> Option<(String, String)> {
        let own = format!("{GENERIC}{}_{what}", signal.name().to_uppercase());
        let general = format!("{GENERIC}{what}");
        [own, general].into_iter().find_map(|name| self.text(&name).map(|text| (name, text)))
    }

    pub(super) fn switch(&mut self, name: &str) -> Option<bool> {
        let text = self.text(name)?;
        self.choose(name, &text, &[("true", true), ("false", false)])
    }

    /// The value for one of these words.
    pub(super) fn choose<T: Copy>(&mut self, name: &str, text: &str, choices: &[(&str, T)]) -> Option<T> {
        let chosen = choices.iter().find(|(word, _)| word.eq_ignore_ascii_case(text));
        if let Some((_, choice)) = chosen {
            return Some(*choice);
        }
        let words: Vec<_> = choices.iter().map(|(word, _)| *word).collect();
        self.refuse(name, format_args!("{text:?} is not {}", words.join(" or ")))
    }

    pub(super) fn duration(&mut self, name: &str, default: Duration) -> Duration {
        let given = self.text(name).and_then(|text| self.parse_millis(name, &text));
        given.unwrap_or(default)
    }

    pub(super) fn timeout(&mut self, name: &str, default: Duration) -> Duration {
        let given = self.text(name).and_then(|text| self.parse_timeout(name, &text));
        given.unwrap_or(default)
    }

    pub(super) fn parse_timeout(&mut self, name: &str, text: &str) -> Option<Duration> {
        self.parse_millis(name, text).map(|timeout| if timeout.is_zero() { NO_LIMIT } else { timeout })
    }

    fn parse_millis(&mut self, name: &str, text: &str) -> Option<Duration> {
        match text.parse::<u32>() {
            Ok(millis) => Some(Duration::from_millis(millis.into())),
            Err(_) => self.refuse(name, format_args!("{text:?} is not a whole number of milliseconds")),
        }
    }

    pub(super) fn count(&mut self, name: &str, default: usize) -> usize {
        let Some(text) = self.text(name) else { return default };
        match text.parse() {
            Ok(count @ 1..=65_536) => count,
            _ => self.refuse(name, format_args!("{text:?} is not a whole number from 1 to 65536")).unwrap_or(default),
        }
    }

    /// Records an error in a variable once, even if two signals share the variable.
    pub(super) fn refuse<T>(&mut self, variable: &str, problem: impl Display) -> Option<T> {
        let problem = VariableError { variable: variable.to_owned(), problem: problem.to_string() };
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
        None
    }
}

/// The items of a comma-separated list, which may end in a comma.
pub(super) fn items(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(str::trim).filter(|item| !item.is_empty())
}

/// An item `key=value` with percent encoding, as in W3C Baggage.
pub(super) fn pair(item: &str) -> Option<(String, String)> {
    let (key, value) = item.split_once('=')?;
    let key = percent_decoded(key.trim()).filter(|key| !key.is_empty())?;
    Some((key, percent_decoded(value.trim())?))
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => {
                let digits = [bytes.next()?, bytes.next()?];
                u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
            }
            byte => byte,
        });
    }
    String::from_utf8(decoded).ok()
}
