//! Checks a mixnode or gateway, on its machine, for problems that keep it from its work, and suggests fixes.
//!
//! The checks run from local to remote, in the order in which a start depends on them: a failure often
//! explains later ones.

mod local;
mod mixing;
mod network;
mod process;

use std::cell::Cell;
use std::time::Duration;

use nym_mixnode_api::{GatewayRegistration, Topology};
use nym_mixnode_base::redact::redacted;
use nym_mixnode_config::{Config, NodeHome, Role};
use nym_mixnode_directory::{Announcement, Client, ClientLimits, Directory, DirectoryError, is_retired};
use nym_mixnode_keys::KeyFiles;
use serde::Serialize;
use url::Url;

use network::Targets;
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

/// Runs all checks, and passes each finding to `report` immediately, in the order of the checks; `doing` has what it
/// waits for.
///
/// With `probe` it also sends packets through the node if it is a mixnode that runs and is listed; the directory lists the
/// prober meanwhile. A gateway forwards no packets of probers.
pub async fn examine(target: &Target<'_>, probe: bool, doing: &Cell<&'static str>, mut report: impl FnMut(Finding)) {
    let Target { home, config, .. } = target;
    let (keys, identity) = local::keys(&KeyFiles::new(home.dir(), &config.keys).for_inspection());
    report(keys);
    report(local::engine(config));
    local::certificate(home.role(), config).into_iter().for_each(&mut report);
    doing.set("asking the node and its directory");
    let (process, (client, topology)) =
        tokio::join!(process::examine(target, identity.as_deref()), ask_directory(config));
    let running = process.running;
    report(process.finding.clone());
    local::bind(home.role(), config, running).into_iter().for_each(&mut report);

    doing.set("connecting to the directory and to nodes");
    let targets = network::targets(config, topology.as_ref().ok()).await;
    let entry = identity.as_ref().zip(topology.as_ref().ok()).and_then(|(identity, topology)| topology.mix(identity));
    let packets = client.clone().zip(entry).filter(|_| probe && running == Running::Yes);
    // At the same time as the other checks: a node learns of the prober only when it reads the list again.
    let mixing = async {
        match packets {
            Some((client, entry)) => mixing::probe(client, &entry.registration, &targets).await,
            None => Vec::new(),
        }
    };
    let others = async {
        let asked = client.as_ref().zip(topology.as_ref().ok()).map(|(client, _)| client);
        let findings = network_checks(target, identity.as_deref(), (&process, &topology), &targets, asked).await;
        findings.into_iter().for_each(&mut report);
        if let (Some(identity), Ok(topology)) = (&identity, &topology) {
            let problem = process.problem.as_deref();
            report(network::registration(target, identity, topology, (running, problem)));
        }
        doing.set("waiting for test packets, at most 40 s: first the node must read the list again");
    };
    let (mixing, ()) = tokio::join!(mixing, others);
    mixing.into_iter().for_each(report);
}

async fn ask_directory(config: &Config) -> (Option<Client>, Result<Topology, DirectoryError>) {
    match Client::of(&config.directory, ClientLimits::default())
        .and_then(|client| client.with_join_token(config.directory.join_token_file.as_deref()))
    {
        Ok(client) => {
            let topology = client.topology().await;
            (Some(client), topology)
        }
        Err(error) => (None, Err(error)),
    }
}

/// Checks connections, open files, the directory and the clock, if it answers; the connections at the same time.
async fn network_checks(
    target: &Target<'_>,
    identity: Option<&str>,
    (process, topology): (&Process, &Result<Topology, DirectoryError>),
    targets: &Targets,
    answering: Option<&Client>,
) -> Vec<Finding> {
    let Target { config, lacking, .. } = target;
    let url = &config.directory.url;
    let clock = async {
        match answering {
            Some(directory) => Some(network::clock(directory).await),
            None => None,
        }
    };
    let clients = async {
        match target.home.role() {
            Role::Gateway => {
                let known = topology.as_ref().ok().zip(identity);
                let listed = known.and_then(|(topology, identity)| GatewayRegistration::listed(topology, identity));
                network::clients(config, process.running, listed).await
            }
            Role::Mixnode => Vec::new(),
        }
    };
    let (mut findings, clients, egress, clock) = tokio::join!(
        network::announce(config, process.running, lacking.as_ref()),
        clients,
        network::egress(targets),
        clock
    );
    findings.extend(clients);
    let next_hops = topology.as_ref().ok().map(|topology| topology.announced_addresses().count());
    findings.push(match &process.files {
        Some(files) => local::descriptors_of_node(files, &config.limits, next_hops),
        None => local::descriptors(&local::files_here(), &config.limits, next_hops),
    });
    findings.extend(egress);
    findings.push(directory(url, topology));
    findings.extend(network::next_hops(config, targets));
    findings.extend(clock);
    findings
}

fn directory(url: &Url, topology: &Result<Topology, DirectoryError>) -> Finding {
    match topology.as_ref().map(|topology| topology.mix_nodes.len()) {
        Ok(1) => Finding::ok("directory", format!("{} lists 1 mixnode", redacted(url))),
        Ok(count) => Finding::ok("directory", format!("{} lists {count} mixnodes", redacted(url))),
        Err(error) if is_retired(url) => Finding::failed("directory", error.to_string()).with_fix(OWN_DIRECTORY),
        Err(error) => Finding::failed("directory", error.to_string()),
    }
}
