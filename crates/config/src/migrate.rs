//! Converts an older release's `config.toml` to today's settings.

mod table;

use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use nym_mixnode_base::file;
use nym_mixnode_document::{Entry, Older, OlderError, Release};
use thiserror::Error;

use super::settings::About;
use super::values::{Source, Values};
use super::{file as config_file, settings as s};
use table::{Fate, fate};

/// An older release's configuration as today's settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Migration {
    pub release: Release,
    pub values: Values,
    /// One line per value: its new setting, or why it is dropped.
    pub notes: Vec<String>,
}

/// The older configuration cannot be converted.
#[derive(Debug, Error)]
pub enum MigrateError {
    #[error("{} cannot be read: {source}{}", path.display(), file::remedy(source))]
    Read { path: PathBuf, source: io::Error },
    #[error("{}:{}: {problem}", path.display(), problem.line())]
    Older { path: PathBuf, problem: OlderError },
}

/// Reads the `config.toml` at `path` and determines its release.
///
/// # Errors
/// If it cannot be read, or was not written by a supported release.
pub fn read(path: &Path) -> Result<Older, MigrateError> {
    let text = file::read_text(path, config_file::BYTES_MAX);
    let text = text.map_err(|source| MigrateError::Read { path: path.to_owned(), source })?;
    Older::parse(&text).map_err(|problem| MigrateError::Older { path: path.to_owned(), problem })
}

/// Converts the `config.toml` at `path`, for the node in `node_dir`.
#[must_use]
pub fn translate(older: &Older, path: &Path, node_dir: &Path) -> Migration {
    let mut migration = Migration { release: older.release, values: Values::default(), notes: Vec::new() };
    let path: Arc<Path> = path.into();
    for entry in older.entries() {
        let source = Source::File { path: Arc::clone(&path), line: entry.line };
        match fate(&entry.key) {
            Fate::Mark => {}
            Fate::Dropped(why) => migration.notes.push(dropped(entry, why)),
            Fate::Text(_) | Fate::Duration(_) | Fate::KeyFile(_) if entry.is_unset() => {
                migration.notes.push(dropped(entry, "it was not set"));
            }
            Fate::Text(about) => migration.carry(entry, about, entry.text.clone(), &source),
            Fate::Duration(about) => migration.carry(entry, about, entry.duration(), &source),
            Fate::KeyFile(about) => {
                let text = key_path(Path::new(&entry.text), older, node_dir);
                migration.carry(entry, about, text, &source);
            }
        }
    }
    migration.fill_in();
    migration
}

impl Migration {
    fn carry(&mut self, entry: &Entry, about: &'static About, text: String, source: &Source) {
        self.notes.push(format!("{} is now {}: {text}", entry.key, about.key));
        self.values.set(about, text, source);
    }

    /// Sets the older release's defaults where today's would contradict the file.
    fn fill_in(&mut self) {
        let is_set = |values: &Values, about| !values.of(about).is_empty();
        let (initial, maximum) = (&s::FORWARD_BACKOFF_INITIAL.about, &s::FORWARD_BACKOFF_MAX.about);
        if is_set(&self.values, initial) != is_set(&self.values, maximum) {
            let (about, text) = if is_set(&self.values, initial) { (maximum, "300s") } else { (initial, "10s") };
            self.default(about, text);
        }
        if !is_set(&self.values, &s::DIRECTORY_URL.about) {
            self.default(&s::DIRECTORY_URL.about, s::DEFAULT_DIRECTORY);
            if !is_set(&self.values, &s::DIRECTORY_METRICS_URL.about) {
                self.default(&s::DIRECTORY_METRICS_URL.about, s::DEFAULT_METRICS);
            }
        }
    }

    fn default(&mut self, about: &'static About, text: &str) {
        self.notes.push(format!("{} was not set: {text}, the default of {}", about.key, self.release));
        self.values.set(about, text, &Source::Program);
    }
}

fn dropped(entry: &Entry, why: &str) -> String {
    format!("{} = {:?} is dropped: {why}", entry.key, entry.text)
}

/// The path of the key file, relative to the node's directory if the file is in it.
fn key_path(path: &Path, older: &Older, node_dir: &Path) -> String {
    let text = |path: &Path| path.to_str().map(str::to_owned);
    let inside = |path: &Path| path.components().all(|part| matches!(part, Component::Normal(_)));
    if let Some(relative) = path.strip_prefix(node_dir).ok().filter(|rest| inside(rest)).and_then(text) {
        return relative;
    }
    let kept = path.to_string_lossy().into_owned();
    if path.exists() && path.is_relative() {
        // The path was relative to the working directory of the node.
        return std::path::absolute(path).ok().as_deref().and_then(text).unwrap_or(kept);
    }
    // The directory has moved since, together with its keys.
    let moved = old_node_dir(older).and_then(|old| Some(path.strip_prefix(old).ok()?.to_owned()));
    let moved = moved.filter(|rest| !path.exists() && inside(rest) && node_dir.join(rest).exists());
    moved.as_deref().and_then(text).unwrap_or(kept)
}

/// The node's directory as configured in the file.
fn old_node_dir(older: &Older) -> Option<PathBuf> {
    let root = older.get("mixnode.nym_root_directory")?;
    Some(Path::new(&root.text).join(&older.get("mixnode.id")?.text))
}

#[cfg(test)]
mod tests {
    use super::super::{Config, Reader};
    use super::*;
    use nym_mixnode_net::BindAddr;
    use std::fs;

    fn translated(text: &str) -> Migration {
        let dir = Path::new("/srv/nym/mixnodes/mix");
        translate(&Older::parse(text).unwrap(), &dir.join("config/config.toml"), dir)
    }

    fn text(migration: &Migration, about: &About) -> Option<String> {
        migration.values.of(about).first().map(|value| value.text.clone())
    }

    const MINIMAL: &str = "[mixnode]\nversion = \"0.9.2\"\nid = \"mix\"\nlayer = 2\nlistening_address = \"[::1]:7\"\n";

    #[test]
    fn what_is_not_said_has_the_older_default_or_todays() {
        let migration = translated(MINIMAL);
        let config = Config::from_values(&migration.values).unwrap();
        assert_eq!(config.listen.bind_addresses(), [BindAddr::new("[::1]:7".parse().unwrap())]);
        assert!(config.announce.addresses.is_empty(), "detected, for others cannot reach that");
        assert_eq!(config.node.incentives_address, "");
        assert_eq!(config.directory.metrics_url.as_str(), "http://testnet-metrics.nymtech.net:8080/");
        let defaults = Values::default();
        let forward = Reader::read(&defaults, |reader| super::super::forward(reader, config.mix.memory_bytes));
        assert_eq!(config.forward, forward.unwrap());
        let migration = translated(&format!("{MINIMAL}[debug]\npacket_forwarding_initial_backoff = 120000\n"));
        let config = Config::from_values(&migration.values).unwrap();
        assert_eq!(config.forward.limits.backoff_max.as_secs(), 300);
        let migration = translated(&format!("{MINIMAL}validator_rest_url = \"http://192.0.2.9:8081\"\n"));
        let config = Config::from_values(&migration.values).unwrap();
        assert_eq!(config.directory.metrics_url, config.directory.url, "the testnet is not told");
    }

    #[test]
    fn every_value_leaves_a_note() {
        let more = "incentives_address = \"unset\"\nnym_root_directory = \"/srv/nym\"\ncolour = \"red\"\n\
                    [debug]\ncache_entry_ttl = \"30s\"\n";
        let notes = translated(&format!("{MINIMAL}{more}")).notes;
        for (old, new) in [
            ("mixnode.layer ", "node.layer: 2"),
            ("mixnode.incentives_address = \"unset\" ", "dropped"),
            ("mixnode.colour = \"red\" ", "dropped"),
        ] {
            assert!(
                notes.iter().any(|note| note.starts_with(old) && note.contains(new)),
                "{old:?} is not in {notes:#?}"
            );
        }
        assert_eq!(notes.iter().filter(|note| note.contains(" is dropped: ")).count(), 4, "{notes:#?}");
    }

    #[test]
    fn key_files_inside_the_directory_become_relative_and_others_stay() {
        let path_of = |path: &str| {
            let migration = translated(&format!("{MINIMAL}private_sphinx_key_file = \"{path}\"\n"));
            text(&migration, &s::KEYS_PRIVATE_SPHINX.about).unwrap()
        };
        assert_eq!(path_of("/srv/nym/mixnodes/mix/data/private_sphinx.pem"), "data/private_sphinx.pem");
        assert_eq!(path_of("/etc/keys/sphinx.pem"), "/etc/keys/sphinx.pem");
        assert_eq!(path_of("/srv/nym/mixnodes/mix/../other/k.pem"), "/srv/nym/mixnodes/mix/../other/k.pem");
        assert_eq!(path_of("keys/sphinx.pem"), "keys/sphinx.pem");
        let here = std::path::absolute("Cargo.toml").unwrap();
        assert_eq!(path_of("Cargo.toml"), here.to_str().unwrap());
    }

    #[test]
    fn key_files_of_a_directory_that_has_moved_are_found() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("data")).unwrap();
        fs::write(dir.path().join("data/k.pem"), "").unwrap();
        let root = "nym_root_directory = \"/gone/mixnodes\"\n";
        let key = "private_sphinx_key_file = \"/gone/mixnodes/mix/data/k.pem\"\n";
        let older = Older::parse(&format!("{MINIMAL}{root}{key}")).unwrap();
        let migration = translate(&older, Path::new("config.toml"), dir.path());
        assert_eq!(text(&migration, &s::KEYS_PRIVATE_SPHINX.about).unwrap(), "data/k.pem");
    }
}
