//! The settings' texts before they are parsed, each with where it came from.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use super::settings::{About, Setting, WhenUnset};
use super::{ConfigError, InvalidValue};

/// Where a value was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A line of the configuration file.
    File { path: Arc<Path>, line: u64 },
    /// A flag of the command line.
    Flag(&'static str),
    /// The program itself.
    Program,
}

/// A text and where it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Value {
    pub(crate) text: String,
    pub(crate) source: Source,
}

/// The texts of the settings that somebody has set.
///
/// What is set later replaces what was set before, so the order of the calls is the order of precedence.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Values(BTreeMap<&'static str, Vec<Value>>);

impl Values {
    /// Sets `about` to a text.
    pub fn set(&mut self, about: &'static About, text: impl Into<String>, source: &Source) {
        self.set_list(about, [text], source);
    }

    /// Sets `about` to a list of texts.
    pub fn set_list(&mut self, about: &'static About, texts: impl IntoIterator<Item: Into<String>>, source: &Source) {
        let values = texts.into_iter().map(|text| Value { text: text.into(), source: source.clone() }).collect();
        self.set_values(about, values);
    }

    /// Replaces here what `others` has set.
    pub fn replace_with(&mut self, others: &Self) {
        self.0.extend(others.0.iter().map(|(key, values)| (*key, values.clone())));
    }

    pub(super) fn set_values(&mut self, about: &'static About, values: Vec<Value>) {
        self.0.insert(about.key, values);
    }

    /// What `about` was set to; empty when it wasn't.
    pub(crate) fn of(&self, about: &About) -> &[Value] {
        self.0.get(about.key).map_or(&[], Vec::as_slice)
    }

    /// Parses a setting with one value.
    pub(super) fn parse<T>(&self, setting: &Setting<T>) -> Result<T, ConfigError> {
        self.parse_with_source(setting).map(|(value, _)| value)
    }

    pub(super) fn parse_with_source<T>(&self, setting: &Setting<T>) -> Result<(T, Source), ConfigError> {
        match (self.of(&setting.about).last(), setting.about.when_unset) {
            (Some(value), _) => value.parse(setting),
            (None, WhenUnset::Value(text)) => Value { text: text.to_owned(), source: Source::Program }.parse(setting),
            (None, WhenUnset::Follows(_) | WhenUnset::Required) => Err(ConfigError::Unset(setting.about.key)),
        }
    }

    /// Parses a setting that is a list; every item keeps its source.
    pub(super) fn parse_list<T>(&self, setting: &Setting<T>) -> Result<Vec<(T, Source)>, ConfigError> {
        self.of(&setting.about).iter().map(|value| value.parse(setting)).collect()
    }
}

impl Value {
    fn parse<T>(&self, setting: &Setting<T>) -> Result<(T, Source), ConfigError> {
        match (setting.parse)(&self.text) {
            Some(parsed) => Ok((parsed, self.source.clone())),
            None => Err(InvalidValue {
                place: self.source.clone(),
                key: setting.about.key,
                value: self.text.clone(),
                problem: format!("is not {}", setting.about.allowed),
            }
            .into()),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Flag(flag) => f.write_str(flag),
            Self::Program => f.write_str("default"),
        }
    }
}
