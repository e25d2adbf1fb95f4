//! Location of a node's files: `~/.nym/mixnodes/<id>/` or `~/.nym/gateways/<id>/`, as in 0.9.2.

use std::env;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use rustix::fs::Access;
use thiserror::Error;

/// A node's name on this machine, which is also the name of its directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeId(String);

/// The text is not a valid node id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "an id names a directory: 1 to 128 characters, no '/', '\\' or control character, \
     no '.' or '-' at the start, no space at either end"
)]
pub struct NodeIdError;

/// There is no directory for a node's files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "HOME is not set and /var/lib/nym-mixnode is not a writable directory, so there is no place to keep the node's \
     files in: give --home DIR, or NYM_MIXNODE_HOME"
)]
pub struct HomeError;

/// What a node is, which decides about its directory and its commands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Role {
    #[default]
    Mixnode,
    Gateway,
}

impl Role {
    /// What the commands of such a node begin with.
    #[must_use]
    pub const fn program(self) -> &'static str {
        match self {
            Self::Mixnode => "nym-mixnode",
            Self::Gateway => "nym-mixnode gateway",
        }
    }

    /// The role in texts.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mixnode => "mixnode",
            Self::Gateway => "gateway",
        }
    }

    /// The role at the beginning of a sentence.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Mixnode => "Mixnode",
            Self::Gateway => "Gateway",
        }
    }

    const fn dir(self) -> &'static str {
        match self {
            Self::Mixnode => "mixnodes",
            Self::Gateway => "gateways",
        }
    }
}

/// The directory of one node, and the paths in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeHome {
    role: Role,
    id: NodeId,
    dir: PathBuf,
    given_root: Option<PathBuf>,
}

impl NodeId {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for NodeId {
    type Err = NodeIdError;

    fn from_str(text: &str) -> Result<Self, NodeIdError> {
        let fits = (1..=128).contains(&text.len())
            && !text.starts_with(['.', '-'])
            && !text.contains(|c: char| matches!(c, '/' | '\\') || c.is_control())
            && text.trim() == text;
        if fits { Ok(Self(text.to_owned())) } else { Err(NodeIdError) }
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl NodeHome {
    /// The node `id` under `root`; by default under `~/.nym`, or under `/var/lib/nym-mixnode` in a container without a
    /// home directory.
    ///
    /// # Errors
    /// If no root is given and neither of the two is available.
    pub fn new(root: Option<&Path>, id: &NodeId) -> Result<Self, HomeError> {
        Self::of_role(Role::Mixnode, root, id)
    }

    /// As [`new`](Self::new), for a node of this role.
    ///
    /// # Errors
    /// If no root is given and neither of the two is available.
    pub fn of_role(role: Role, root: Option<&Path>, id: &NodeId) -> Result<Self, HomeError> {
        let given_root = root.map(Path::to_owned);
        let root = match &given_root {
            // Made absolute: the path appears in messages, in the configuration and in arguments of child processes
            // with another working directory. An empty path stays unchanged and will not be found either.
            Some(root) => std::path::absolute(root).unwrap_or_else(|_| root.clone()),
            None => default_root()?,
        };
        Ok(Self { role, id: id.clone(), dir: root.join(role.dir()).join(id.as_str()), given_root })
    }

    /// What the node is.
    #[must_use]
    pub fn role(&self) -> Role {
        self.role
    }

    /// The node's name.
    #[must_use]
    pub fn id(&self) -> &NodeId {
        &self.id
    }

    /// The given root, unless it is `~/.nym`.
    pub fn given_root(&self) -> Option<&Path> {
        self.given_root.as_deref()
    }

    /// The node's own directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The configuration file.
    #[must_use]
    pub fn config_file(&self) -> PathBuf {
        self.dir.join(CONFIG_FILE)
    }

    /// The last known topology, for a start while the directory is unreachable.
    #[must_use]
    pub fn topology_file(&self) -> PathBuf {
        self.dir.join("data/topology.json")
    }

    /// The clients and inboxes of a gateway.
    #[must_use]
    pub fn store_file(&self) -> PathBuf {
        self.dir.join("data/gateway.sqlite")
    }

    /// The configuration file of the 0.8 and 0.9 releases, if there is one.
    #[must_use]
    pub fn older_config_file(&self) -> Option<PathBuf> {
        // The keys of an older gateway are taken over by `init`; its settings are not.
        if self.role == Role::Gateway {
            return None;
        }
        let path = self.dir.join("config/config.toml");
        path.exists().then_some(path)
    }
}

/// The path of the configuration file in the node's directory.
pub const CONFIG_FILE: &str = "config/config.yaml";

/// The node's directory, of the path of its configuration file.
pub(super) fn dir_of(config_file: &Path) -> &Path {
    config_file.ancestors().nth(Path::new(CONFIG_FILE).components().count()).unwrap_or(Path::new(""))
}

/// The volume of a container image.
const VOLUME: &str = "/var/lib/nym-mixnode";

/// `~/.nym`, or the volume of a container without a home directory.
///
/// # Errors
/// If neither of the two is available.
pub fn default_root() -> Result<PathBuf, HomeError> {
    match env::var_os("HOME") {
        // Containers set `/` for a user that does not exist in the image.
        Some(home) if !home.is_empty() && home != "/" => Ok(Path::new(&home).join(".nym")),
        _ if rustix::fs::access(VOLUME, Access::WRITE_OK).is_ok() => Ok(VOLUME.into()),
        _ => Err(HomeError),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_a_safe_file_name() {
        for good in ["mix090", "winston-smithnode", "my node", "Zürich_1", "a.b"] {
            assert_eq!(good.parse::<NodeId>().unwrap().as_str(), good);
        }
        let long = "x".repeat(129);
        for bad in ["", ".", "..", "../etc", "a/b", "a\\b", "-x", ".hidden", " a", "a ", "a\nb", "a\0b", &long] {
            assert_eq!(bad.parse::<NodeId>(), Err(NodeIdError), "{bad:?}");
        }
    }

    #[test]
    fn files_lie_where_0_9_2_has_them() {
        let home = NodeHome::new(Some(Path::new("/srv/nym")), &"mix090".parse().unwrap()).unwrap();
        assert_eq!(home.dir(), Path::new("/srv/nym/mixnodes/mix090"));
        assert_eq!(home.config_file(), Path::new("/srv/nym/mixnodes/mix090/config/config.yaml"));
    }

    #[test]
    fn a_relative_root_is_that_of_where_the_program_was_started() {
        let home = NodeHome::new(Some(Path::new("nym")), &"mix090".parse().unwrap()).unwrap();
        assert_eq!(home.dir(), env::current_dir().unwrap().join("nym/mixnodes/mix090"));
        assert_eq!(home.given_root(), Some(Path::new("nym")));
    }
}
