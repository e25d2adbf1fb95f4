//! Examining a node from the machine it runs on: what would keep it from mixing, and what to do about it.
//!
//! The checks go from the inside to the outside, in the order in which a start needs what they check: a failure often
//! explains the ones behind it.

mod local;
mod mixing;
mod network;
mod process;

use std::time::Duration;

use nym_mixnode_base::redact::redacted;
use nym_mixnode_config::{Config, NodeHome};
use nym_mixnode_directory::{Client, Directory, is_retired};
use nym_mixnode_keys::store::KeyFiles;
use serde::Serialize;

use process::{Process, Running};

/// How long a connection may take that is made to see whether it can be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

const OWN_DIRECTORY: &str =
    "the public Nym 0.9 network is gone: start a directory with `nym-mixnode registry`, and set directory.url to it";

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// As it should be.
    Ok,
    /// The node mixes, though not as well as it could, or something could not be told from here.
    Warning,
    /// The node cannot mix, or nobody can use it.
    Failed,
}

/// What one check has found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at.
    pub check: &'static str,
    /// How it is.
    pub level: Level,
    /// What was found.
    pub message: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}

/// What is examined.
pub struct Target<'a> {
    /// Its files.
    pub home: &'a NodeHome,
    /// Its settings, with the announce addresses that were found for it.
    pub config: &'a Config,
    /// The flags that name it, for commands that somebody is told to run.
    pub naming: String,
    /// Why there are none, if there are none.
    pub lacking: Option<Finding>,
}

impl Finding {
    /// All is well.
    pub fn ok(check: &'static str, message: impl Into<String>) -> Self {
        Self { check, level: Level::Ok, message: message.into(), fix: None }
    }

    /// Something could be better.
    pub fn warning(check: &'static str, message: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { check, level: Level::Warning, message: message.into(), fix: Some(fix.into()) }
    }

    /// Something must be better; an error of this program says in its own words what to do.
    pub fn failed(check: &'static str, message: impl Into<String>) -> Self {
        Self { check, level: Level::Failed, message: message.into(), fix: None }
    }

    /// The same with what to do.
    #[must_use]
    pub fn with_fix(self, fix: impl Into<String>) -> Self {
        Self { fix: Some(fix.into()), ..self }
    }
}

/// Makes all checks, and tells each finding at once.
///
/// `probe` sends packets through the node, too, if it runs and is listed; for that the directory lists the prober for
/// a while.
pub async fn examine(target: &Target<'_>, probe: bool, mut tell: impl FnMut(Finding)) {
    let Target { home, config, lacking, .. } = target;
    let (keys, identity) = local::keys(&KeyFiles::new(home.dir(), &config.keys).for_inspection());
    tell(keys);
    let Process { running, files, finding } = process::examine(target, identity.as_deref()).await;
    tell(finding);
    local::bind(config, running).into_iter().for_each(&mut tell);
    for finding in network::announce(config, running, lacking.as_ref()).await {
        tell(finding);
    }
    let (client, topology) = match Client::new(&config.directory.url, &config.directory.metrics_url)
        .and_then(|client| client.with_join_token(config.directory.join_token_file.as_deref()))
    {
        Ok(client) => {
            let topology = client.topology().await;
            (Some(client), topology)
        }
        Err(error) => (None, Err(error)),
    };
    let next_hops = topology.as_ref().ok().map(|topology| topology.announced_addresses().count());
    tell(match files {
        Some(files) => local::descriptors_of_node(&files, &config.limits, next_hops),
        None => local::descriptors(&local::files_here(), &config.limits, next_hops),
    });
    let targets = network::targets(config, topology.as_ref().ok()).await;
    for finding in network::egress(&targets).await {
        tell(finding);
    }
    let topology = match topology {
        Ok(topology) => topology,
        Err(error) => {
            let finding = Finding::failed("directory", error.to_string());
            let is_retired = is_retired(&config.directory.url);
            tell(if is_retired { finding.with_fix(OWN_DIRECTORY) } else { finding });
            return;
        }
    };
    tell(Finding::ok(
        "directory",
        match topology.mix_nodes.len() {
            1 => format!("{} lists 1 mixnode", redacted(&config.directory.url)),
            count => format!("{} lists {count} mixnodes", redacted(&config.directory.url)),
        },
    ));
    tell(network::clock(&config.directory.url).await);
    let Some(identity) = identity else { return };
    tell(network::registration(target, &identity, &topology, running));
    if let (true, Running::Yes, Some(client), Some(entry)) = (probe, running, client, topology.mix(&identity)) {
        mixing::probe(client, &entry.registration, &targets).await.into_iter().for_each(tell);
    }
}
