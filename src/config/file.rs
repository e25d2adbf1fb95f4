//! The configuration file: YAML sections of settings. Written for people, read strictly.

use std::fmt;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_saphyr::{MessageFormatter, Spanned, UserMessageFormatter};

use super::error::ConfigError;
use super::settings::{self, About, WhenUnset};
use super::values::{Source, Value, Values};

/// Reads the settings' texts from a file, and what is wrong with the keys in it.
pub(super) fn read(path: &Path) -> Result<(Values, Vec<ConfigError>), ConfigError> {
    let text = fs::read_to_string(path).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => ConfigError::NotFound(path.to_owned()),
        _ => ConfigError::Read { path: path.to_owned(), source },
    })?;
    Ok(parse(&text, path))
}

/// The settings' texts, as far as the text can be understood, and everything that is wrong with it.
pub(super) fn parse(text: &str, path: &Path) -> (Values, Vec<ConfigError>) {
    let options = serde_saphyr::options! { with_snippet: false };
    let mut document = Document::default();
    let outcome = serde_saphyr::with_deserializer_from_str_with_options(text, options, |deserializer| {
        Sections(&mut document).deserialize(deserializer)
    });
    let broken = outcome.err().map(|error| document.syntax_error(path, &error));
    let unknown = document.unknown.into_iter().map(|(key, line)| ConfigError::UnknownKey {
        path: path.to_owned(),
        line,
        nearest: nearest(&key),
        known: known_beside(&key),
        key,
    });
    let problems = unknown.chain(broken).collect();
    let path: Arc<Path> = path.into();
    let mut values = Values::default();
    for (about, texts) in document.settings {
        let value = |text: Spanned<String>| Value {
            text: text.value,
            source: Source::File { path: Arc::clone(&path), line: text.referenced.line() },
        };
        values.set_values(about, texts.into_iter().map(value).collect());
    }
    (values, problems)
}

/// The key or section that `key` was meant to be.
fn nearest(key: &str) -> &'static str {
    if key.contains('.') { settings::nearest(key) } else { super::nearest::to(key, settings::sections().into_iter()) }
}

/// The keys that may stand where `key` was found.
fn known_beside(key: &str) -> String {
    let section = key.split_once('.').map(|(section, _)| section);
    let known: Vec<_> = match section {
        Some(section) => settings::in_section(section).map(|about| about.section_and_name().1).collect(),
        None => settings::sections(),
    };
    known.join(", ")
}

/// The file as it stands: known settings, and the keys that nobody knows.
#[derive(Default)]
struct Document {
    settings: Vec<(&'static About, Vec<Spanned<String>>)>,
    unknown: Vec<(String, u64)>,
    /// The setting whose value is being read: an error there is about it.
    reading: Option<&'static About>,
}

impl Document {
    fn syntax_error(&self, path: &Path, error: &serde_saphyr::Error) -> ConfigError {
        let line = error.location().map_or(1, |location| location.line());
        let problem = UserMessageFormatter.format_message(error.without_snippet());
        let problem = match self.reading {
            Some(about) if about.is_list() => format!("{}: {problem}; each item is {}", about.key, about.allowed),
            Some(about) => format!("{}: {problem}; it is {}", about.key, about.allowed),
            None => problem.into_owned(),
        };
        ConfigError::Syntax { path: path.to_owned(), line, problem }
    }
}

/// The whole document, a map of sections.
struct Sections<'a>(&'a mut Document);

impl<'de> DeserializeSeed<'de> for Sections<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Sections<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sections such as `node:`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<Spanned<String>>()? {
            if settings::in_section(&name.value).next().is_some() {
                map.next_value_seed(Section { name: &name.value, document: &mut *self.0 })?;
            } else {
                map.next_value::<IgnoredAny>()?;
                self.0.unknown.push((name.value, name.referenced.line()));
            }
        }
        Ok(())
    }
}

/// One section; every line in it may be commented out.
struct Section<'a> {
    name: &'a str,
    document: &'a mut Document,
}

impl<'de> DeserializeSeed<'de> for Section<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_option(self)
    }
}

impl<'de> Visitor<'de> for Section<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the settings of `{}:`, each on a line of its own", self.name)
    }

    fn visit_none<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<Spanned<String>>()? {
            let key = format!("{}.{}", self.name, name.value);
            let Some(about) = settings::find(&key) else {
                map.next_value::<IgnoredAny>()?;
                self.document.unknown.push((key, name.referenced.line()));
                continue;
            };
            self.document.reading = Some(about);
            let texts = if about.is_list() {
                map.next_value::<Option<Vec<Spanned<String>>>>()?.unwrap_or_default()
            } else {
                map.next_value::<Option<Spanned<String>>>()?.into_iter().collect()
            };
            self.document.settings.push((about, texts));
            self.document.reading = None;
        }
        Ok(())
    }
}

const HEAD: &str = "\
# Configuration of a nym-mixnode. `nym-mixnode run` reads it at the start.
#
# A line that begins with `#` shows what holds unless it is changed: remove the `#` to change it.
# Durations have a unit (500ms, 10s, 5m), sizes too (256MiB). A key that is not known is an error.
";

/// The file's text: what is set as it is, all other settings as comments with their defaults.
pub(super) fn render(values: &Values) -> String {
    let mut lines: Vec<String> = HEAD.lines().map(str::to_owned).collect();
    let mut section_before = "";
    for about in settings::ALL {
        let (section, name) = about.section_and_name();
        if section != section_before {
            lines.extend([String::new(), format!("{section}:")]);
            section_before = section;
        }
        lines.extend(about.help.lines().map(|line| format!("  # {line}")));
        render_setting(about, name, values.of(about), &mut lines);
    }
    lines.push(String::new());
    lines.join("\n")
}

fn render_setting(about: &About, name: &str, values: &[Value], lines: &mut Vec<String>) {
    // What lies in a file of its own is a secret, and this file is none.
    let is_secret = values.iter().any(|value| matches!(value.source, Source::VariableFile { .. }));
    match (if is_secret { &[] } else { values }, about.when_unset) {
        ([], WhenUnset::Value(default)) => lines.push(format!("  #{name}: {}", scalar(default))),
        ([], WhenUnset::Follows(what)) => {
            lines.push(format!("  # Unless set: {what}."));
            lines.push(format!("  #{name}:"));
        }
        ([], WhenUnset::Required) => lines.push(format!("  #{name}:")),
        (values, _) if about.is_list() => {
            lines.push(format!("  {name}:"));
            lines.extend(values.iter().map(|value| format!("    - {}", scalar(&value.text))));
        }
        ([.., value], _) => lines.push(format!("  {name}: {}", scalar(&value.text))),
    }
}

/// A text as a YAML scalar that comes back as the same text.
fn scalar(text: &str) -> String {
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if plain && !text.eq_ignore_ascii_case("null") {
        text.to_owned()
    } else {
        // YAML's double-quoted style takes every JSON string.
        serde_json::Value::from(text).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_text(text: &str) -> Result<Values, String> {
        let (values, problems) = parse(text, Path::new("config.yaml"));
        problems.first().map_or(Ok(values), |problem| Err(problem.to_string()))
    }

    fn text_of(values: &Values, about: &About) -> Vec<String> {
        values.of(about).iter().map(|value| value.text.clone()).collect()
    }

    #[test]
    fn every_setting_comes_back_as_it_was_written() {
        for tricky in
            ["10s", "no", "null", "~", "", "1789", "0x10", "a: b # c", "\"", "'", "\\", "[::]:1789", "Zürich ☃", "- x"]
        {
            let mut values = Values::default();
            for about in settings::ALL {
                values.set(about, tricky, &Source::Program);
            }
            let read = parse_text(&render(&values)).unwrap();
            for about in settings::ALL {
                assert_eq!(text_of(&read, about), [tricky], "{}", about.key);
            }
        }
    }

    #[test]
    fn no_text_makes_the_reader_panic() {
        let lines = "(node|mix|listen|  id|  addresses|    - |  workers|: |\\[|\\{|\\&a |\\*a|\"|'|\n|\\PC){0,40}";
        proptest::proptest!(|(any in "(?s).{0,200}", like_yaml in lines)| {
            for text in [any, like_yaml] {
                parse(&text, Path::new("config.yaml"));
            }
        });
    }

    #[test]
    fn nothing_set_is_nothing_read() {
        assert_eq!(parse_text(&render(&Values::default())).unwrap(), Values::default());
        let emptied = parse_text("mix:\n  workers:\nlisten:\n  addresses:\nforward: {}\n").unwrap();
        assert!(settings::ALL.iter().all(|about| emptied.of(about).is_empty()));
    }

    #[test]
    fn a_value_knows_its_line() {
        let values = parse_text("listen:\n  addresses:\n    - 192.0.2.1\n\n    - '[::1]:1789'\n").unwrap();
        let lines: Vec<_> = values.of(&settings::LISTEN_ADDRESSES.about).iter().map(|v| v.source.to_string()).collect();
        assert_eq!(lines, ["config.yaml:3", "config.yaml:5"]);
    }

    #[test]
    fn errors_name_the_line_and_the_key() {
        for (text, expected) in [
            (
                "node:\n  layr: 1\n",
                ":2: node.layr is not a setting, did you mean node.layer? Here stand id, layer, location, incen",
            ),
            (
                "mixnode: {}\n",
                ":1: mixnode is not a setting, did you mean node? Here stand node, listen, announce, address, ",
            ),
            ("node:\n  id: a\n  id: b\n", ":3: duplicate mapping key `id` is not allowed here"),
            ("node:\n  id: [a]\n", ":2: node.id: expected string scalar; it is a node's id"),
            ("mix:\n  workers:\n    a: b\n", ":3: mix.workers: expected string scalar; it is a whole number from 0 to"),
            ("listen:\n  addresses: {a: b}\n", ":2: listen.addresses: expected sequence start; each item is an IP"),
            ("listen:\n  addresses:\n    - [a]\n", ":3: listen.addresses: expected string scalar; each item is an"),
            ("node: 1\n", ":1: expected mapping start"),
            ("- a\n", ":1: expected mapping start"),
            ("node:\n  id: \"a\n", ":2: node.id: unclosed quote; it is a node's id"),
            ("node:\n\tid: a\n", ":2: tabs disallowed"),
            ("node: {}\n---\nnode: {}\n", ":3: only single YAML document expected"),
        ] {
            let error = parse_text(text).unwrap_err();
            assert!(error.starts_with(&format!("config.yaml{expected}")), "{text:?}: {error}");
            assert!(!error.contains('\n'), "{error}");
        }
    }
}
