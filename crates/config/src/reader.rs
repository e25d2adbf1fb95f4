//! Parses the texts of settings, each once, and collects the errors.

use std::fmt;

use super::error::{ConfigError, ConfigErrors, InvalidValue};
use super::settings::{self as s, Setting, WhenUnset};
use super::values::{Source, Value, Values};

/// Parses settings for the sections of a configuration.
///
/// It reads on after an error, so that all errors are reported at once. What it returns for an invalid setting is never
/// used.
pub(super) struct Reader<'a> {
    pub(super) values: &'a Values,
    problems: Vec<ConfigError>,
}

impl<'a> Reader<'a> {
    /// Reads sections with `read`.
    ///
    /// # Errors
    /// Lists every setting that is missing or not allowed, in the order of the file; missing ones last.
    pub(super) fn read<T>(values: &'a Values, read: impl FnOnce(&mut Self) -> T) -> Result<T, ConfigErrors> {
        let mut reader = Self { values, problems: Vec::new() };
        let sections = read(&mut reader);
        if reader.problems.is_empty() {
            return Ok(sections);
        }
        let place = |key: &str| s::ALL.iter().position(|about| about.key == key);
        reader.problems.sort_by_key(|problem| match problem {
            ConfigError::Invalid(value) => (false, place(value.key)),
            ConfigError::Unset { key, .. } => (true, place(key)),
            _ => (true, None),
        });
        Err(ConfigErrors(reader.problems))
    }

    /// A setting with a default.
    pub(super) fn get<T: Default>(&mut self, setting: &'static Setting<T>) -> T {
        self.with_source(setting).map(|(value, _)| value).unwrap_or_default()
    }

    /// A setting and its source; `None` after an error.
    pub(super) fn with_source<T>(&mut self, setting: &'static Setting<T>) -> Option<(T, Source)> {
        match (self.values.of(&setting.about).last(), setting.about.when_unset) {
            (Some(value), _) => self.parse(setting, value),
            (None, WhenUnset::Value(text)) => {
                self.parse(setting, &Value { text: text.to_owned(), source: Source::Program })
            }
            (None, WhenUnset::Follows(_) | WhenUnset::Required) => {
                self.problems.push(ConfigError::unset(&setting.about));
                None
            }
        }
    }

    /// A setting without a default; `None` if it is not set.
    pub(super) fn if_set<T>(&mut self, setting: &'static Setting<T>) -> Option<T> {
        let value = self.values.of(&setting.about).last()?;
        self.parse(setting, value).map(|(value, _)| value)
    }

    /// A setting that is a list; every item keeps its source.
    pub(super) fn list<T>(&mut self, setting: &'static Setting<T>) -> Vec<(T, Source)> {
        let values = self.values;
        values.of(&setting.about).iter().filter_map(|value| self.parse(setting, value)).collect()
    }

    /// Records that a value contradicts another one.
    pub(super) fn reject(&mut self, place: Source, key: &'static str, value: impl fmt::Display, problem: &str) {
        let value = InvalidValue { place, key, value: value.to_string(), problem: problem.to_owned() };
        self.problems.push(value.into());
    }

    fn parse<T>(&mut self, setting: &'static Setting<T>, value: &Value) -> Option<(T, Source)> {
        match value.parse(setting) {
            Ok(parsed) => Some((parsed, value.source.clone())),
            Err(invalid) => {
                self.problems.push(invalid.into());
                None
            }
        }
    }
}
