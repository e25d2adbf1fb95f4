//! `--directory-ca-file` of commands that ask a directory by its URL.

use std::path::{Path, PathBuf};

use clap::Args;

// Without a comment for users: it would become the description of the commands.
#[derive(Debug, Clone, Default, Args)]
pub struct CaFileFlag {
    /// File with the certificates of the authorities (in PEM) that are trusted for an https:// URL of the directory,
    /// instead of those of the system.
    #[arg(long, value_name = "FILE", env = "NYM_MIXNODE_DIRECTORY_CA_FILE")]
    directory_ca_file: Option<PathBuf>,
}

impl CaFileFlag {
    /// The file; an empty variable is as good as none.
    pub(super) fn path(&self) -> Option<&Path> {
        self.directory_ca_file.as_deref().filter(|path| !path.as_os_str().is_empty())
    }
}
