//! Configuration errors; all of them are reported at once.

use std::path::PathBuf;
use std::{fmt, io};

use nym_mixnode_base::file::remedy;
use nym_mixnode_base::redact::{HIDDEN, redacted_text};
use thiserror::Error;

use super::settings::{self, VARIABLE_PREFIX};
use super::values::Source;

/// One error in the configuration.
#[derive(Debug, Error)]
pub enum ConfigError {
    #[error("{} does not exist", .0.display())]
    NotFound(PathBuf),
    #[error("{} cannot be read: {source}{}", path.display(), remedy(source))]
    Read { path: PathBuf, source: io::Error },
    #[error("{}:{line}: {problem}", path.display())]
    Syntax { path: PathBuf, line: u64, problem: String },
    #[error("{}:{line}: {key} is not a setting{} {known}", path.display(), meant_key(*nearest))]
    UnknownKey { path: PathBuf, line: u64, key: String, nearest: Option<&'static str>, known: String },
    #[error("{name} is not a variable of this program{}", meant_variable(*nearest))]
    UnknownVariable { name: String, nearest: Option<&'static str> },
    #[error("{variable}: {problem}")]
    Variable { variable: String, problem: String },
    #[error("--id <ID> is not given, and {variable} is not set: name the node")]
    NoNode { variable: &'static str },
    #[error("{key} is not set and has no default: set {key} in the file, {variable}, or {flag}")]
    Unset { key: &'static str, variable: &'static str, flag: &'static str },
    /// The configured telemetry export is invalid.
    #[error("{0}")]
    Telemetry(String),
    #[error(transparent)]
    Invalid(#[from] InvalidValue),
}

/// A setting has a value that is not allowed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{place}: {key} {} {problem}", self.shown_value())]
pub struct InvalidValue {
    pub place: Source,
    pub key: &'static str,
    pub value: String,
    /// A predicate, such as "is not a layer".
    pub problem: String,
}

/// All errors in a configuration, one per line; never empty.
#[derive(Debug, Error)]
pub struct ConfigErrors(pub(super) Vec<ConfigError>);

impl ConfigErrors {
    /// The single problems.
    pub fn iter(&self) -> impl Iterator<Item = &ConfigError> {
        self.0.iter()
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            write!(f, "{}{error}", if index == 0 { "" } else { "\n" })?;
        }
        Ok(())
    }
}

impl From<ConfigError> for ConfigErrors {
    fn from(error: ConfigError) -> Self {
        Self(vec![error])
    }
}

/// Accepts names of command-line flags as variables, for the suggestion in the error.
const OF_FLAGS: [(&str, &settings::About); 9] = [
    ("HOST", &settings::LISTEN_ADDRESSES.about),
    ("PORT", &settings::LISTEN_ADDRESSES.about),
    ("LISTEN", &settings::LISTEN_ADDRESSES.about),
    ("ANNOUNCE_HOST", &settings::ANNOUNCE_ADDRESSES.about),
    ("LAYER", &settings::NODE_LAYER.about),
    ("LOCATION", &settings::NODE_LOCATION.about),
    ("DIRECTORY", &settings::DIRECTORY_URL.about),
    ("VALIDATOR", &settings::DIRECTORY_URL.about),
    ("METRICS_SERVER", &settings::DIRECTORY_METRICS_URL.about),
];

impl ConfigError {
    pub fn unset(about: &'static settings::About) -> Self {
        Self::Unset { key: about.key, variable: about.variable(), flag: about.flag() }
    }

    /// An unknown variable with this program's prefix.
    pub(super) fn unknown_variable(name: &str) -> Self {
        let settings = settings::ALL.iter().map(|about| about.variable());
        let variables = settings.chain(super::environment::SWITCHES);
        // Compares without the prefix, which all of them share.
        let own = |name: &'static str| (name.strip_prefix(VARIABLE_PREFIX).unwrap_or(name), name);
        let flags = OF_FLAGS.iter().map(|(flag, about)| (*flag, about.variable()));
        let meant = name.strip_prefix(VARIABLE_PREFIX).unwrap_or(name);
        let nearest = super::nearest::by_name(meant, variables.map(own).chain(flags));
        Self::UnknownVariable { name: name.to_owned(), nearest }
    }
}

fn meant_key(nearest: Option<&str>) -> String {
    nearest.map_or_else(
        || "; valid keys here:".to_owned(),
        |nearest| format!(", did you mean {nearest}? Valid keys here:"),
    )
}

fn meant_variable(nearest: Option<&str>) -> String {
    match nearest {
        Some(nearest) => format!(", did you mean {nearest}?"),
        None => ": `nym-mixnode config reference` lists them all".to_owned(),
    }
}

impl InvalidValue {
    /// The value as it may be printed: a value from a `_FILE` variable is a secret.
    fn shown_value(&self) -> String {
        let is_url = settings::find(self.key).is_some_and(|about| about.kind == settings::Kind::Url);
        match &self.place {
            _ if is_url => format!("{:?}", redacted_text(&self.value)),
            Source::VariableFile { .. } => HIDDEN.to_owned(),
            _ => format!("{:?}", self.value),
        }
    }
}
