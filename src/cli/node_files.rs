//! Which of a node's files are there, for whoever is about to make the others.

use std::path::PathBuf;

use nym_mixnode_base::staging;
use nym_mixnode_config::{NodeHome, NodeId, Values};
use nym_mixnode_keys::store::KeyFiles;
use nym_mixnode_keys::{KeysConfig, install};

use super::flags::naming;
use super::{Exit, Failure};

/// Completes what a command that was killed had begun to put in its place; whether there was such a thing.
pub(super) fn finish(home: &NodeHome, values: &Values) -> Result<bool, Failure> {
    let config = nym_mixnode_config::keys(values).unwrap_or_default();
    Ok(staging::finish(home.dir())? | install::finish(&KeyFiles::new(home.dir(), &config))?)
}

/// How much of a node's keys is there.
#[derive(Debug)]
pub(super) enum KeyState {
    /// Nothing; they can be made in this directory.
    None { dir: PathBuf },
    /// Nothing, and the files are to be in several places: whoever chose those puts them there.
    Elsewhere { missing: PathBuf },
    /// Some of the files, not all.
    Half { present: PathBuf, missing: PathBuf },
    /// Everything.
    All { files: KeyFiles },
}

impl KeyState {
    /// Whether all keys are there, in the node's own directory.
    pub(super) fn is_at_home(&self, home: &NodeHome) -> bool {
        matches!(self, Self::All { files } if files.private_identity.starts_with(home.dir()))
    }

    /// The state of the keys where `values` say that they are.
    pub(super) fn of(home: &NodeHome, values: &Values) -> Self {
        // What is wrong with the settings is told by whoever parses all of them.
        let config = nym_mixnode_config::keys(values).unwrap_or_default();
        let files = KeyFiles::new(home.dir(), &config);
        let paths = [&files.private_identity, &files.public_identity, &files.private_sphinx, &files.public_sphinx];
        let present = paths.iter().find(|path| path.symlink_metadata().is_ok());
        let missing = paths.iter().find(|path| path.symlink_metadata().is_err());
        match (present, missing) {
            (Some(present), Some(missing)) => Self::Half { present: (*present).clone(), missing: (*missing).clone() },
            (None, Some(missing)) => {
                let dir = files.private_identity.parent().unwrap_or(home.dir());
                if files.paths() == KeyFiles::new(dir, &KeysConfig::in_dir(dir)).paths() {
                    Self::None { dir: dir.to_owned() }
                } else {
                    Self::Elsewhere { missing: (*missing).clone() }
                }
            }
            (_, None) => Self::All { files },
        }
    }

    /// What is wrong with a node that has these keys and no configuration file, if anything is.
    pub(super) fn without_file(&self, home: &NodeHome, id: &NodeId) -> Option<Failure> {
        let problem = match self {
            Self::Half { present, missing } => format!(
                "{} exists, but {} does not: restore it from your backup, or move the rest away to make new keys",
                present.display(),
                missing.display()
            ),
            Self::All { files } if files.private_identity.starts_with(home.dir()) => format!(
                "{} exists, but {} does not: restore that file, make a new one for these keys with `nym-mixnode init \
                 {}`, or give its settings in the environment",
                files.private_identity.display(),
                home.config_file().display(),
                naming(home, id)
            ),
            _ => return None,
        };
        Some(Failure::new(Exit::CONFIG, problem))
    }
}
