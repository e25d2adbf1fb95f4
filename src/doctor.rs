//! Checks a node, on its machine, for problems that keep it from mixing, and suggests fixes.
//!
//! The checks run from local to remote, in the order in which a start depends on them: a failure often
//! explains later ones.

mod local;
mod mixing;
mod network;
mod process;

use std::time::Duration;

use nym_mixnode_base::redact::redacted;
use nym_mixnode_config::{Config, NodeHome};
use nym_mixnode_directory::{Client, Directory, is_retired};
use nym_mixnode_keys::KeyFiles;
use serde::Serialize;

use process::{Process, Running};

/// Timeout of a test connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

const OWN_DIRECTORY: &str =
    "the public Nym 0.9 network is gone: start a directory with `nym-mixnode registry`, and set directory.url to it";

/// Severity of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// No problem.
    Ok,
    /// The node mixes with a limitation, or the check was not possible from here.
    Warning,
    /// The node cannot mix, or is unreachable.
    Failed,
}

/// Result of one check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Name of the check.
    pub check: &'static str,
    pub level: Level,
    pub message: String,
    /// Suggested fix.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}

/// Node to check.
pub struct Target<'a> {
    pub home: &'a NodeHome,
    /// Settings, including detected announce addresses.
    pub config: &'a Config,
    /// Flags that select the node, for commands quoted in fixes.
    pub naming: String,
    /// Finding for missing announce addresses.
    pub lacking: Option<Finding>,
}

impl Finding {
    /// Finding without a problem.
    pub fn ok(check: &'static str, message: impl Into<String>) -> Self {
        Self { check, level: Level::Ok, message: message.into(), fix: None }
    }

    /// Finding with a warning and its fix.
    pub fn warning(check: &'static str, message: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { check, level: Level::Warning, message: message.into(), fix: Some(fix.into()) }
    }

    /// Failed finding; errors of this program already contain the fix.
    pub fn failed(check: &'static str, message: impl Into<String>) -> Self {
        Self { check, level: Level::Failed, message: message.into(), fix: None }
    }

    /// Adds a fix.
    #[must_use]
    pub fn with_fix(self, fix: impl Into<String>) -> Self {
        Self { fix: Some(fix.into()), ..self }
    }
}

/// Runs all checks, and passes each finding to `report` immediately.
///
/// With `probe` it also sends packets through the node if it runs and is listed; the directory lists the prober
/// meanwhile.
pub async fn examine(target: &Target<'_>, probe: bool, mut report: impl FnMut(Finding)) {
    let Target { home, config, lacking, .. } = target;
    let (keys, identity) = local::keys(&KeyFiles::new(home.dir(), &config.keys).for_inspection());
    report(keys);
    let Process { running, files, finding } = process::examine(target, identity.as_deref()).await;
    report(finding);
    local::bind(config, running).into_iter().for_each(&mut report);
    for finding in network::announce(config, running, lacking.as_ref()).await {
        report(finding);
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
    report(match files {
        Some(files) => local::descriptors_of_node(&files, &config.limits, next_hops),
        None => local::descriptors(&local::files_here(), &config.limits, next_hops),
    });
    let targets = network::targets(config, topology.as_ref().ok()).await;
    for finding in network::egress(&targets).await {
        report(finding);
    }
    let topology = match topology {
        Ok(topology) => topology,
        Err(error) => {
            let finding = Finding::failed("directory", error.to_string());
            let is_retired = is_retired(&config.directory.url);
            report(if is_retired { finding.with_fix(OWN_DIRECTORY) } else { finding });
            return;
        }
    };
    report(Finding::ok(
        "directory",
        match topology.mix_nodes.len() {
            1 => format!("{} lists 1 mixnode", redacted(&config.directory.url)),
            count => format!("{} lists {count} mixnodes", redacted(&config.directory.url)),
        },
    ));
    report(network::clock(&config.directory.url).await);
    let Some(identity) = identity else { return };
    report(network::registration(target, &identity, &topology, running));
    if let (true, Running::Yes, Some(client), Some(entry)) = (probe, running, client, topology.mix(&identity)) {
        mixing::probe(client, &entry.registration, &targets).await.into_iter().for_each(report);
    }
}
