//! Checks which files of a node exist before the others are created.

use std::path::{Path, PathBuf};

use nym_mixnode_base::staging;
use nym_mixnode_config::{NodeHome, NodeId, Values};
use nym_mixnode_keys::{KeyFile, KeyFiles, KeyPaths, KeysConfig, install};

use super::flags::naming;
use super::{Exit, Failure};

/// Moves files of an interrupted command into place; returns whether there were any.
pub(super) fn finish(home: &NodeHome, values: &Values) -> Result<bool, Failure> {
    Ok(staging::finish(home.dir())? | install::finish(&KeyFiles::new(home.dir(), &keys_config(values)))?)
}

/// The paths of the key files, from settings that may be incomplete or invalid.
pub(super) fn keys_config(values: &Values) -> KeysConfig {
    // Errors in the settings are reported when all of them are parsed.
    nym_mixnode_config::keys(values).unwrap_or_default()
}

/// Which of a node's key files exist.
#[derive(Debug)]
pub(super) enum KeyState {
    /// None; they can be created in this directory.
    None { dir: PathBuf },
    /// None, and the configured paths are in several directories: the operator must create the files.
    Elsewhere { missing: PathBuf },
    /// Some of the files.
    Half { present: PathBuf, missing: PathBuf },
    /// All files.
    All { files: KeyFiles },
}

impl KeyState {
    /// Whether all keys exist in the node's own directory.
    pub(super) fn is_at_home(&self, home: &NodeHome) -> bool {
        matches!(self, Self::All { files } if files.dir().starts_with(home.dir()))
    }

    /// Checks which of these key files exist.
    pub(super) fn of(home: &NodeHome, config: &KeysConfig) -> Self {
        let files = KeyFiles::new(home.dir(), config);
        let present = files.paths.iter().find(|path| path.symlink_metadata().is_ok()).map(Path::to_owned);
        let missing = files.paths.iter().find(|path| path.symlink_metadata().is_err()).map(Path::to_owned);
        match (present, missing) {
            (Some(present), Some(missing)) => Self::Half { present, missing },
            (None, Some(missing)) => {
                let dir = files.dir();
                if files.paths == KeyPaths::in_dir(dir) {
                    Self::None { dir: dir.to_owned() }
                } else {
                    Self::Elsewhere { missing }
                }
            }
            (_, None) => Self::All { files },
        }
    }

    /// Error for a node that has these keys and no configuration file, if that is an error.
    pub(super) fn without_file(&self, home: &NodeHome, id: &NodeId) -> Option<Failure> {
        let problem = match self {
            Self::Half { present, missing } => format!(
                "{} exists, but {} does not: restore it from your backup, or move the others away to create new keys",
                present.display(),
                missing.display()
            ),
            Self::All { files } if self.is_at_home(home) => format!(
                "{} exists, but {} does not: restore that file, create a new one for these keys with `{} init \
                 {}`, or give its settings in the environment",
                files.paths[KeyFile::PrivateIdentity].display(),
                home.config_file().display(),
                home.role().program(),
                naming(home, id)
            ),
            _ => return None,
        };
        Some(Failure::new(Exit::CONFIG, problem))
    }
}
