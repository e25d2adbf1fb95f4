//! A private network of six nodes with `registry.enabled` and `clusterOnly`. Other releases register with it too.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::OnceLock;
use std::time::Instant;

use serde_json::Value;

use super::release::Release;
use crate::cluster::{OUTSIDE, succeeded};
use crate::http;
use crate::part::root;
use crate::waiting::eventually;

static INSTALL_BEGAN: OnceLock<Instant> = OnceLock::new();

/// The private network of this run. The first caller installs it.
pub(super) fn network() -> &'static Release {
    static NETWORK: OnceLock<Release> = OnceLock::new();
    NETWORK.get_or_init(|| {
        let values = root().join("helm/nym-mixnode/ci/private-network-values.yaml").display().to_string();
        let began = *INSTALL_BEGAN.get_or_init(Instant::now);
        let release = Release::install("net", "restricted", &["-f", &values]);
        eprintln!("helm install to Ready, registry and six nodes: {:.1} s", began.elapsed().as_secs_f64());
        release
    })
}

/// URL of its registry for pods.
pub(super) fn directory_inside() -> String {
    format!("http://{0}-nym-mixnode-registry.{0}.svc:8081", network().name)
}

/// URL of its registry for this process.
pub(super) fn directory() -> String {
    let path = "jsonpath={.spec.clusterIP}";
    let ip = network().kubectl(&["get", "service", "net-nym-mixnode-registry", "-o", path]);
    format!("http://{ip}:8081")
}

/// The listed nodes by identity.
pub(super) fn listed() -> BTreeMap<String, Value> {
    let url = format!("{}/api/mixmining/topology", directory());
    let topology: Value = serde_json::from_str(&http::get(&url).expect("the registry answers")).expect("JSON");
    let nodes = topology["mixNodes"].as_array().cloned().unwrap_or_default();
    nodes.into_iter().map(|node| (node["identityKey"].as_str().unwrap_or_default().to_owned(), node)).collect()
}

/// Sends packets from outside of the cluster through a node, or all nodes, and back, over both address families.
pub(super) fn probe(identity: Option<&str>) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nym-mixnode"));
    command.args(["probe", "--directory", &directory(), "--packets", "5", "--host"]).args(OUTSIDE);
    match identity {
        Some(identity) => command.args(["--node", identity]),
        None => command.args(["--wait-active", "5m"]),
    };
    let output = command.output().expect("the program");
    succeeded("probe", &[identity.unwrap_or("all")], &output);
}

#[test]
fn six_nodes_in_three_layers_mix() {
    let network = network();
    let mut layers = BTreeMap::new();
    for number in 0..6 {
        let identity = network.identity(number);
        let node = listed().remove(&identity).unwrap_or_else(|| panic!("{identity} is not listed"));
        *layers.entry(node["layer"].as_u64()).or_insert(0) += 1;
    }
    assert_eq!(layers.into_iter().collect::<Vec<_>>(), [(Some(1), 2), (Some(2), 2), (Some(3), 2)]);
    network.test();
    probe(None);
    every_node_becomes_active(network);
}

/// With the shipped defaults, and without a call by hand. Nodes of other releases may be active, too.
fn every_node_becomes_active(network: &Release) {
    let nodes: Vec<_> = (0..6).map(|number| network.identity(number)).collect();
    eventually("all six nodes are in the active set", || {
        let active: Value =
            serde_json::from_str(&http::get(&format!("{}/api/mixmining/topology/active", directory()))?).ok()?;
        let active = active["mixNodes"].as_array()?;
        nodes.iter().all(|node| active.iter().any(|mix| mix["identityKey"] == node.as_str())).then_some(())
    });
    let began = INSTALL_BEGAN.get().expect("the network is installed");
    eprintln!("helm install to six active nodes: {:.0} s at most", began.elapsed().as_secs_f64());
    assert_eq!(http::get(&format!("{}/healthz?deep", directory())).as_deref(), Some("{\"ok\":true}"));
}

#[test]
fn scaling_registers_and_unregisters() {
    let network = network();
    let last = network.identity(5);
    network.upgrade(&["--reuse-values", "--set", "replicaCount=5"]);
    eventually("the sixth node is listed no more", || (!listed().contains_key(&last)).then_some(()));
    let others: Vec<_> = (0..5).map(|number| network.uid(number)).collect();
    network.upgrade(&["--reuse-values", "--set", "replicaCount=6"]);
    eventually("the sixth node is listed again", || listed().contains_key(&last).then_some(()));
    assert_eq!(network.identity(5), last, "its keys have stayed on their volume");
    let now: Vec<_> = (0..5).map(|number| network.uid(number)).collect();
    assert_eq!(others, now, "the other nodes were restarted");
}
