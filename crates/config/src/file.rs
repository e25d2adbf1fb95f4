//! The configuration file: YAML sections of settings, parsed strictly.

use std::io;
use std::path::Path;
use std::sync::Arc;

use nym_mixnode_base::file::read_text;
use nym_mixnode_document::{Broken, Document, KnownSettings, Text};

use super::error::ConfigError;
use super::settings::{self, About, WhenUnset};
use super::values::{Source, Value, Values};

/// Size limit in bytes; a configuration takes a few kilobytes.
pub(super) const BYTES_MAX: u64 = 1 << 20;

/// Reads the settings' texts from a file, and the errors in its keys.
pub(super) fn read(path: &Path) -> Result<(Values, Vec<ConfigError>), ConfigError> {
    let text = read_text(path, BYTES_MAX).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => ConfigError::NotFound(path.to_owned()),
        _ => ConfigError::Read { path: path.to_owned(), source },
    })?;
    Ok(parse(&text, path))
}

/// The settings up to the first syntax error, and all errors in the text.
pub(super) fn parse(text: &str, path: &Path) -> (Values, Vec<ConfigError>) {
    let document = Document::<Table>::read(text);
    let broken = document.broken.map(|broken| syntax_error(path, broken));
    let unknown = document.unknown.into_iter().map(|(key, line)| unknown(path, line, key));
    let problems = unknown.chain(broken).collect();
    let path: Arc<Path> = path.into();
    let mut values = Values::default();
    for (about, texts) in document.settings {
        let value = |Text { text, line }| Value { text, source: Source::File { path: Arc::clone(&path), line } };
        values.set_values(about, texts.into_iter().map(value).collect());
    }
    (values, problems)
}

fn unknown(path: &Path, line: u64, key: String) -> ConfigError {
    let path = path.to_owned();
    if let Some(about) = settings::find(&key) {
        // The key was written as in a flag, `section.name`.
        let (section, name) = about.section_and_name();
        let problem = format!("{key} must be written as `{name}:` below a line `{section}:`");
        return ConfigError::Syntax { path, line, problem };
    }
    ConfigError::UnknownKey { path, line, nearest: nearest(&key), known: known_beside(&key), key }
}

/// The closest known setting or section to an unknown key.
fn nearest(key: &str) -> Option<&'static str> {
    if key.contains('.') { settings::nearest(key) } else { super::nearest::to(key, settings::sections().into_iter()) }
}

/// The valid keys at the place of an unknown `key`.
fn known_beside(key: &str) -> String {
    let section = key.split_once('.').map(|(section, _)| section);
    let known: Vec<_> = match section {
        Some(section) => settings::in_section(section).map(|about| about.section_and_name().1).collect(),
        None => settings::sections(),
    };
    known.join(", ")
}

/// All settings, as the keys that a document may have.
struct Table;

impl KnownSettings for Table {
    type Key = &'static About;

    fn is_section(name: &str) -> bool {
        settings::in_section(name).next().is_some()
    }

    fn find(key: &str) -> Option<&'static About> {
        settings::find(key)
    }

    fn is_list(about: &'static About) -> bool {
        about.is_list()
    }
}

fn syntax_error(path: &Path, broken: Broken<&'static About>) -> ConfigError {
    let Broken { line, problem, reading } = broken;
    let problem = match reading {
        Some(about) if about.is_list() => format!("{}: {problem}; each item is {}", about.key, about.allowed),
        Some(about) => format!("{}: {problem}; it is {}", about.key, about.allowed),
        None => problem,
    };
    ConfigError::Syntax { path: path.to_owned(), line, problem }
}

const HEAD: &str = "\
# Configuration of a nym-mixnode. `nym-mixnode run` reads it at the start.
#
# Lines that begin with `#` show the defaults: remove the `#` to change a setting.
# Durations (500ms, 10s, 5m) and sizes (256MiB) need a unit. Unknown keys are errors.
";

/// The file's text: the settings in `values` as given, all others as comments with their defaults.
pub(super) fn render(values: &Values) -> String {
    let mut lines: Vec<String> = HEAD.lines().map(str::to_owned).collect();
    let mut section_before = "";
    // Mixes ignore the settings of gateways.
    let is_gateway = settings::in_section(GATEWAY).any(|about| !values.of(about).is_empty());
    for about in settings::ALL {
        let (section, name) = about.section_and_name();
        if section == GATEWAY && !is_gateway {
            continue;
        }
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
    // A value from a `_FILE` variable is a secret and is not written to this file.
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

/// The section that only the file of a gateway has.
const GATEWAY: &str = "gateway";

/// A text as a YAML scalar that parses to the same text.
fn scalar(text: &str) -> String {
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if plain && !text.eq_ignore_ascii_case("null") {
        text.to_owned()
    } else {
        // YAML's double-quoted style accepts every JSON string.
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
        for (text, place, value) in [
            ("node:\n  layr: 1\n", ":2: node.layr ", "node.layer? Valid keys here: id, layer, "),
            ("mixnode: {}\n", ":1: mixnode ", "node? Valid keys here: node, listen, "),
            ("mix.workers: 2\n", ":1: mix.workers ", "`workers:` below a line `mix:`"),
            ("colours: {}\n", ":1: colours ", "valid keys here: node, listen, "),
            ("node:\n  id: a\n  id: b\n", ":3: duplicate ", "`id`"),
            ("node:\n  id: [a]\n", ":2: node.id: ", "a node's id"),
            ("mix:\n  workers:\n    a: b\n", ":3: mix.workers: ", "number from 0 to"),
            ("listen:\n  addresses: {a: b}\n", ":2: listen.addresses: ", "each item is an IP"),
            ("listen:\n  addresses:\n    - [a]\n", ":3: listen.addresses: ", "each item is an IP"),
            ("node: 1\n", ":1: ", "mapping"),
            ("- a\n", ":1: ", "mapping"),
            ("node:\n  id: \"a\n", ":2: node.id: ", "quote"),
            ("node:\n\tid: a\n", ":2: ", "tabs"),
            ("node: {}\n---\nnode: {}\n", ":3: ", "single YAML document"),
        ] {
            let error = parse_text(text).unwrap_err();
            assert!(error.starts_with(&format!("config.yaml{place}")) && error.contains(value), "{text:?}: {error}");
            assert!(!error.contains('\n'), "{error}");
        }
    }
}
