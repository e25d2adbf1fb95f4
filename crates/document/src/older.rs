//! Reads an older release's `config.toml`: the release, and the values as texts with line numbers.
//!
//! Independent of the rest of the node, so that it can be fuzzed on its own.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use thiserror::Error;
use toml::{Spanned, Value};

/// A release whose configuration can be converted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Release {
    V0_8_1,
    V0_9_0,
    V0_9_1,
    V0_9_2,
}

/// The configuration file of an older release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Older {
    pub release: Release,
    entries: Vec<Entry>,
}

/// One `key = value` of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// `section.key`.
    pub key: String,
    pub text: String,
    pub line: u64,
}

/// The file cannot be converted.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum OlderError {
    #[error("{problem}")]
    Syntax { line: u64, problem: String },
    #[error("{key} is {found}; it must be a text or a whole number")]
    NotScalar { line: u64, key: String, found: &'static str },
    #[error("it is of release {version}; only those of {} can be upgraded", Release::names())]
    UnknownRelease { line: u64, version: String },
    #[error("it contains no release, and does not match any of {}", Release::names())]
    NoRelease,
}

impl Release {
    pub const ALL: [Self; 4] = [Self::V0_8_1, Self::V0_9_0, Self::V0_9_1, Self::V0_9_2];

    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::V0_8_1 => "0.8.1",
            Self::V0_9_0 => "0.9.0",
            Self::V0_9_1 => "0.9.1",
            Self::V0_9_2 => "0.9.2",
        }
    }

    fn names() -> String {
        Self::ALL.map(Self::name).join(", ")
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Release {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|release| release.name() == text).ok_or(())
    }
}

impl OlderError {
    /// The line number of the error.
    #[must_use]
    pub fn line(&self) -> u64 {
        match self {
            Self::Syntax { line, .. } | Self::NotScalar { line, .. } | Self::UnknownRelease { line, .. } => *line,
            Self::NoRelease => 1,
        }
    }
}

type Section = BTreeMap<Spanned<String>, Spanned<Value>>;

impl Older {
    /// Parses the text of a `config.toml`.
    ///
    /// # Errors
    /// If it is not TOML in sections, or was written by another release.
    pub fn parse(text: &str) -> Result<Self, OlderError> {
        let sections: BTreeMap<String, Section> = toml::from_str(text).map_err(|error| OlderError::Syntax {
            line: line_of(text, error.span()),
            problem: error.message().to_owned(),
        })?;
        let mut entries = Vec::new();
        for (section, values) in sections {
            for (key, value) in values {
                let line = line_of(text, Some(key.span()));
                let key = format!("{section}.{}", key.get_ref());
                entries.push(Entry { text: scalar(value.get_ref(), &key, line)?, key, line });
            }
        }
        entries.sort_by_key(|entry| entry.line);
        Ok(Self { release: release(&entries)?, entries })
    }

    /// All entries in the order of the file.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter()
    }

    /// The value of `section.key`; `None` if it is missing or marked as unset.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Entry> {
        find(&self.entries, key).filter(|entry| !entry.is_unset())
    }
}

impl Entry {
    /// The words that older releases wrote for an unset value.
    #[must_use]
    pub fn is_unset(&self) -> bool {
        let text = self.text.trim();
        ["", "unset", "none", "missing value"].iter().any(|unset| text.eq_ignore_ascii_case(unset))
    }

    /// The text as a duration with a unit; older releases wrote milliseconds without one.
    #[must_use]
    pub fn duration(&self) -> String {
        let text = self.text.trim();
        let bare = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if bare { format!("{text}ms") } else { text.to_owned() }
    }
}

fn find<'a>(entries: &'a [Entry], key: &str) -> Option<&'a Entry> {
    entries.iter().find(|entry| entry.key == key)
}

/// Determines the release. 0.8.1 wrote no version, but it has keys of its own.
fn release(entries: &[Entry]) -> Result<Release, OlderError> {
    match find(entries, "mixnode.version") {
        Some(version) => version
            .text
            .trim()
            .parse()
            .map_err(|()| OlderError::UnknownRelease { line: version.line, version: version.text.clone() }),
        None if find(entries, "mixnode.presence_directory_server").is_some() => Ok(Release::V0_8_1),
        None => Err(OlderError::NoRelease),
    }
}

fn scalar(value: &Value, key: &str, line: u64) -> Result<String, OlderError> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Integer(number) => Ok(number.to_string()),
        Value::Boolean(truth) => Ok(truth.to_string()),
        other => Err(OlderError::NotScalar { line, key: key.to_owned(), found: kind(other) }),
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::String(_) => "a text",
        Value::Integer(_) => "a whole number",
        Value::Float(_) => "a fraction",
        Value::Boolean(_) => "true or false",
        Value::Datetime(_) => "a date",
        Value::Array(_) => "a list",
        Value::Table(_) => "a section",
    }
}

fn line_of(text: &str, span: Option<Range<usize>>) -> u64 {
    let before = span.and_then(|span| text.get(..span.start)).unwrap_or_default();
    1 + before.matches('\n').count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> (u64, String) {
        let error = Older::parse(text).unwrap_err();
        (error.line(), error.to_string())
    }

    #[test]
    fn a_release_is_known_by_its_version_or_by_its_names() {
        for release in Release::ALL {
            let text = format!("[mixnode]\nversion = \"{release}\"\n");
            assert_eq!(Older::parse(&text).unwrap().release, release);
        }
        let text = "[mixnode]\npresence_directory_server = \"https://directory.nymtech.net\"\n";
        assert_eq!(Older::parse(text).unwrap().release, Release::V0_8_1);
        assert_eq!(error("[mixnode]\n\nversion = \"0.10.0\"\n").0, 3);
        assert!(error("[mixnode]\nversion = \"0.10.0\"\n").1.contains("0.10.0; only those of 0.8.1, 0.9.0"));
        assert!(error("").1.contains("it contains no release"));
        assert!(error("[gateway]\nid = \"a\"\n").1.contains("it contains no release"));
    }

    #[test]
    fn values_keep_their_lines_and_order() {
        let text = "[mixnode]\nversion = '0.9.2'\nlayer = 2 # two\n\n[logging]\n\n[debug]\ncache_entry_ttl = \"30s\"\n";
        let older = Older::parse(text).unwrap();
        let entries: Vec<_> = older.entries().map(|e| (e.key.as_str(), e.text.as_str(), e.line)).collect();
        assert_eq!(
            entries,
            [("mixnode.version", "0.9.2", 2), ("mixnode.layer", "2", 3), ("debug.cache_entry_ttl", "30s", 8)]
        );
    }

    #[test]
    fn what_is_no_value_is_named_with_its_line() {
        let (line, message) = error("[mixnode]\nversion = \"0.9.2\"\nlayer = [1]\n");
        assert!(line == 3 && message.starts_with("mixnode.layer is a list"), "{line}: {message}");
        assert_eq!(error("[mixnode]\nversion = \"0.9.2\"\nlayer = 1.5\n").0, 3);
        assert_eq!(error("[mixnode\n").0, 1);
        assert_eq!(error("[mixnode]\nid = \"a\"\nid = \"b\"\n").0, 3);
        assert_eq!(error("layer = 1\n").0, 1);
        assert_eq!(error("{\"node\": 1}").0, 1);
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in "[\\[\\]a-z0-9='\",.#{} \n\t-]{0,200}|(\\PC|\n){0,100}") {
            Older::parse(&text).ok();
            Older::parse(&format!("[mixnode]\nversion = '0.9.2'\n{text}")).ok();
        }
    }

    #[test]
    fn a_bare_number_is_milliseconds() {
        let duration = |text: &str| Entry { key: String::new(), text: text.to_owned(), line: 1 }.duration();
        assert_eq!(duration("1500"), "1500ms");
        assert_eq!(duration("10s"), "10s");
        assert_eq!(duration(" 1m 30s "), "1m 30s");
        assert_eq!(duration("-5"), "-5");
        assert_eq!(duration(""), "");
    }

    #[test]
    fn words_for_unset_are_unset() {
        let unset = |text: &str| Entry { key: String::new(), text: text.to_owned(), line: 1 }.is_unset();
        assert!(["", " ", "unset", "UNSET", "None", "MISSING VALUE"].iter().all(|text| unset(text)));
        assert!(!unset("VJLxyz") && !unset("nonesuch"));
    }
}
