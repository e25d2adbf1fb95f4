//! The unparsed texts of settings, each with its source.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use nym_mixnode_base::redact::{HIDDEN, has_credentials, redacted_text};

use super::error::InvalidValue;
use super::settings as s;
use super::settings::{About, Kind, Setting, WhenUnset};

/// Source of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A line of the configuration file.
    File { path: Arc<Path>, line: u64 },
    /// A variable of the environment.
    Variable(&'static str),
    /// The file that a `…_FILE` variable of this setting names.
    VariableFile { variable: &'static str, path: Arc<Path> },
    /// A flag of the command line.
    Flag(&'static str),
    /// Set by the program itself.
    Program,
}

/// A text and its source.
#[derive(Clone, PartialEq, Eq)]
pub struct Value {
    pub text: String,
    pub source: Source,
}

/// The texts of explicitly set settings.
///
/// Later calls replace earlier values, so the order of the calls is the order of precedence.
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

    /// Replaces the settings that `others` sets.
    pub fn replace_with(&mut self, others: &Self) {
        if !others.of(&s::DIRECTORY_URL.about).is_empty() {
            // A new directory resets the metrics server, which belongs to the previous network.
            self.0.remove(s::DIRECTORY_METRICS_URL.about.key);
        }
        self.0.extend(others.0.iter().map(|(key, values)| (*key, values.clone())));
    }

    pub(super) fn set_values(&mut self, about: &'static About, values: Vec<Value>) {
        self.0.insert(about.key, values);
    }

    /// The texts of `about`; empty if it is not set.
    pub fn of(&self, about: &About) -> &[Value] {
        self.0.get(about.key).map_or(&[], Vec::as_slice)
    }

    /// The required settings that are not set.
    pub fn unset(&self) -> impl Iterator<Item = &'static About> {
        s::ALL.iter().copied().filter(|about| about.when_unset == WhenUnset::Required && self.of(about).is_empty())
    }

    /// The number of settings that are set.
    pub fn count(&self) -> usize {
        self.0.values().filter(|values| !values.is_empty()).count()
    }
}

impl Value {
    /// Parses the text and checks that a password is not exposed.
    pub(super) fn parse<T>(&self, setting: &'static Setting<T>) -> Result<T, InvalidValue> {
        let about = &setting.about;
        let parsed = (setting.parse)(&self.text).ok_or_else(|| self.refused(about, not_allowed(about, &self.text)))?;
        let exposed = matches!(self.source, Source::File { .. } | Source::Flag(_) | Source::Variable(_));
        if exposed && about.kind == Kind::Url && has_credentials(&self.text) {
            let problem = "contains a password, which others can read there: put the URL into a separate file and that \
                           file's path into";
            return Err(self.refused(about, format!("{problem} {}_FILE", about.variable())));
        }
        Ok(parsed)
    }

    fn refused(&self, about: &About, problem: String) -> InvalidValue {
        InvalidValue { place: self.source.clone(), key: about.key, value: self.text.clone(), problem }
    }

    /// The text as it may be printed.
    pub fn shown(&self, kind: Kind) -> String {
        match &self.source {
            _ if kind == Kind::Url => redacted_text(&self.text),
            // A `_FILE` variable marks a secret.
            Source::VariableFile { .. } => HIDDEN.to_owned(),
            _ => self.text.clone(),
        }
    }
}

fn not_allowed(about: &About, text: &str) -> String {
    let problem = about.kind.problem(text).map(|problem| format!(": {problem}")).unwrap_or_default();
    format!("is not {}{problem}", about.allowed)
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The setting is unknown here, so the text is redacted for every kind.
        let text = redacted_text(&self.shown(Kind::Text));
        f.debug_struct("Value").field("text", &text).field("source", &self.source).finish()
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Variable(variable) => f.write_str(variable),
            Self::VariableFile { variable, path } => write!(f, "{variable}_FILE ({})", path.display()),
            Self::Flag(flag) => f.write_str(flag),
            Self::Program => f.write_str("default"),
        }
    }
}
