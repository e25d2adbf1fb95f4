//! The files of a node's keys: their names, encodings and modes.

use std::collections::BTreeSet;
use std::ops::Index;
use std::path::{Path, PathBuf};

/// One of a node's key files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyFile {
    PrivateIdentity,
    PrivateSphinx,
    PublicIdentity,
    PublicSphinx,
}

/// How a key is stored.
pub(crate) struct Format {
    /// Name of the file in a new node and in a backup.
    pub(crate) name: &'static str,
    /// The label in the file's first line.
    pub(crate) label: &'static str,
    pub(crate) mode: u32,
}

impl KeyFile {
    /// All files, in the order in which they are listed and written.
    pub const ALL: [Self; 4] = [Self::PrivateIdentity, Self::PrivateSphinx, Self::PublicIdentity, Self::PublicSphinx];
    /// The files that only the node may read.
    pub const PRIVATE: [Self; 2] = [Self::PrivateIdentity, Self::PrivateSphinx];

    pub(crate) const fn format(self) -> Format {
        let (name, label, mode) = match self {
            Self::PrivateIdentity => ("private_identity.pem", "ED25519 PRIVATE KEY", 0o600),
            Self::PrivateSphinx => ("private_sphinx.pem", "X25519 PRIVATE KEY", 0o600),
            Self::PublicIdentity => ("public_identity.pem", "ED25519 PUBLIC KEY", 0o644),
            Self::PublicSphinx => ("public_sphinx.pem", "X25519 PUBLIC KEY", 0o644),
        };
        Format { name, label, mode }
    }
}

/// A path for each key file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyPaths([PathBuf; KeyFile::ALL.len()]);

impl KeyPaths {
    /// The files in `dir` with their usual names.
    #[must_use]
    pub fn in_dir(dir: &Path) -> Self {
        Self(KeyFile::ALL.map(|file| dir.join(file.format().name)))
    }

    /// The same paths, of which relative ones begin at `dir`.
    #[must_use]
    pub fn below(&self, dir: &Path) -> Self {
        Self(self.0.each_ref().map(|path| dir.join(path)))
    }

    pub fn set(&mut self, file: KeyFile, path: PathBuf) {
        self.0[file as usize] = path;
    }

    /// All paths, in the order of [`KeyFile::ALL`].
    pub fn iter(&self) -> impl Iterator<Item = &Path> {
        self.0.iter().map(PathBuf::as_path)
    }

    /// The directories of all files.
    pub(crate) fn dirs(&self) -> BTreeSet<&Path> {
        self.iter().filter_map(Path::parent).collect()
    }
}

impl Index<KeyFile> for KeyPaths {
    type Output = Path;

    fn index(&self, file: KeyFile) -> &Path {
        &self.0[file as usize]
    }
}
