//! A registry, a node in each layer, and packets through them, as processes of the program.

use std::path::{Path, PathBuf};

use super::process::{Process, free_port};
use crate::http::{get, post};

const PROGRAM: &str = env!("CARGO_BIN_EXE_nym-mixnode");

const LAYERS: usize = 3;

/// A network in `folder`, and its traffic.
pub(super) struct Network {
    /// The nodes, in layers 1, 2, 3, 1 and so on.
    pub(super) nodes: Vec<Node>,
    /// URL of the registry.
    pub(super) directory: String,
    traffic: Option<Process>,
    _registry: Process,
    folder: PathBuf,
}

/// A node of the network.
pub(super) struct Node {
    pub(super) process: Process,
    /// Address of its HTTP server.
    pub(super) http: String,
    /// The public identity key.
    pub(super) identity: String,
}

impl Network {
    /// Starts the registry, and a node for each element of `environments` with these additional variables.
    pub(super) fn start(folder: &Path, environments: &[Vec<(&str, String)>]) -> Self {
        let address = format!("127.0.0.1:{}", free_port());
        let directory = format!("http://{address}");
        let mut registry = Process::start("registry", Path::new(PROGRAM), folder, |command| {
            command
                .args(["registry", "--listen", &address, "--allow-private", "--data"])
                .arg(folder.join("registry.sqlite"));
        });
        registry.wait_for(&format!("{directory}/healthz"));
        let nodes = environments.iter().enumerate();
        let nodes = nodes.map(|(index, variables)| Node::start(folder, index, &directory, variables)).collect();
        let mut network = Self { nodes, directory, traffic: None, _registry: registry, folder: folder.to_owned() };
        for node in &mut network.nodes {
            node.process.wait_for(&format!("{}/readyz", node.http));
        }
        network
    }

    /// Sends about 40 packets/s through each node, over IPv4 and IPv6, until it is stopped.
    pub(super) fn send_packets(&mut self) {
        let directory = self.directory.clone();
        self.traffic = Some(Process::start("traffic", Path::new(PROGRAM), &self.folder, |command| {
            command.args(["probe", "--directory", &directory, "--packets", "100000"]);
            command.args(["--host", "127.0.0.1", "::1", "--announce-host", "127.0.0.1", "::1"]);
        }));
    }

    /// Reports to the registry whether test packets returned over both families, as a monitor does.
    pub(super) fn tell_measurement(&self, node: &Node, up: bool) {
        let token = std::fs::read_to_string(self.folder.join("monitor.token")).unwrap();
        for ip_version in ["4", "6"] {
            let status = serde_json::json!({"pubKey": node.identity, "ipVersion": ip_version, "up": up});
            let url = format!("{}/api/mixmining", self.directory);
            post(&url, &status, token.trim()).expect("the registry takes measurements");
        }
    }
}

impl Node {
    fn start(folder: &Path, index: usize, directory: &str, variables: &[(&str, String)]) -> Self {
        let http = format!("127.0.0.1:{}", free_port());
        let port = free_port();
        let (name, layer) = (format!("node{index}"), index % LAYERS + 1);
        let home = folder.join(&name);
        let mut process = Process::start(&name, Path::new(PROGRAM), folder, |command| {
            command.args(["run", "--init-if-missing", "--allow-private", "--topology-refresh", "1s"]);
            command.args(["--host", "127.0.0.1", "--host", "::1", "--port", &port.to_string()]);
            command.args(["--layer", &layer.to_string(), "--validator", directory, "--http-listen", &http]);
            command.args(["--telemetry-window", "10s", "--shutdown-linger", "0s"]);
            command.env("NYM_MIXNODE_HOME", home).envs(variables.iter().map(|(name, value)| (name, value)));
        });
        let http = format!("http://{http}");
        process.wait_for(&format!("{http}/livez"));
        let status = get(&format!("{http}/status")).expect("a status");
        let status: serde_json::Value = serde_json::from_str(&status).unwrap();
        Self { process, http, identity: status["identity_key"].as_str().unwrap().to_owned() }
    }
}
