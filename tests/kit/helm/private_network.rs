//! A private network of six nodes with `registry.enabled` and `clusterOnly`. Other releases register with it too.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::failing::shown;
use super::release::Release;
use crate::cluster::{OUTSIDE, succeeded};
use crate::http;
use crate::part::root;
use crate::waiting::{eventually, pause};

/// Time from `helm install` until all six nodes are active.
static ACTIVE_AFTER: OnceLock<Duration> = OnceLock::new();

/// What the chart promises; a busy machine needs less than half of it.
const ACTIVE_WITHIN: Duration = Duration::from_mins(5);

/// The private network of this run. The first caller installs it.
pub(super) fn network() -> &'static Release {
    static NETWORK: OnceLock<Release> = OnceLock::new();
    NETWORK.get_or_init(|| {
        let values = root().join("helm/nym-mixnode/ci/private-network-values.yaml").display().to_string();
        let began = Instant::now();
        let release = Release::install("net", "restricted", &["-f", &values]);
        eprintln!("helm install to Ready, registry and six nodes: {:.1} s", began.elapsed().as_secs_f64());
        // Other tests run meanwhile.
        let (directory, nodes) = (directory_of(&release), (0..6).map(|number| release.identity(number)).collect());
        thread::spawn(move || measure_activation(began, &directory, nodes));
        release
    })
}

/// With the shipped defaults, and without a call by hand.
fn measure_activation(began: Instant, directory: &str, mut joining: Vec<String>) {
    while !joining.is_empty() {
        let active = http::get(&format!("{directory}/api/mixmining/topology/active")).unwrap_or_default();
        joining.retain(|identity| !active.contains(identity));
        pause(Duration::from_millis(500));
    }
    ACTIVE_AFTER.set(began.elapsed()).expect("one measurement");
}

/// URL of its registry for pods.
pub(super) fn directory_inside() -> String {
    format!("http://{0}-nym-mixnode-registry.{0}.svc:8081", network().name)
}

/// URL of its registry for this process.
pub(super) fn directory() -> String {
    directory_of(network())
}

fn directory_of(network: &Release) -> String {
    let path = "jsonpath={.spec.clusterIP}";
    let ip = network.kubectl(&["get", "service", "net-nym-mixnode-registry", "-o", path]);
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

/// Nodes of other releases may be active, too.
fn every_node_becomes_active(network: &Release) {
    let took = eventually("all six nodes have been in the active set", || ACTIVE_AFTER.get().copied());
    eprintln!("helm install to six active nodes: {:.0} s", took.as_secs_f64());
    assert!(took < ACTIVE_WITHIN, "{took:?}");
    let shown = shown();
    eventually("all six nodes are in the active set", || {
        (0..6).all(|number| shown.is_active(&network.identity(number)) == Some(true)).then_some(())
    });
    assert_eq!(http::get(&format!("{}/healthz?deep", directory())).as_deref(), Some("{\"ok\":true}"));
}

#[test]
fn scaling_registers_and_unregisters_and_reputation_is_kept_meanwhile() {
    let (network, shown) = (network(), shown());
    let (other, last) = (network.identity(0), network.identity(5));
    let standing = |identity: &str| eventually("a standing", || shown.standing(identity));
    let mut before = standing(&last);
    thread::scope(|scope| {
        scope.spawn(|| network.upgrade(&["--reuse-values", "--set", "replicaCount=5"]));
        eventually("the sixth node is listed no more", || {
            before = shown.standing(&last).unwrap_or_else(|| before.clone());
            (!listed().contains_key(&last)).then_some(())
        });
    });
    let then = standing(&other);
    eventually("the rounds go on", || (shown.standing(&other)?.rounds_since(&then) >= 4).then_some(()));
    let others: Vec<_> = (0..5).map(|number| network.uid(number)).collect();
    network.upgrade(&["--reuse-values", "--set", "replicaCount=6"]);
    eventually("the sixth node is listed again", || listed().contains_key(&last).then_some(()));
    let after = standing(&last);
    assert!(after.reputation >= before.reputation, "{before:?} then {after:?}");
    // Its last two results may have come while it unregistered.
    assert!(after.rounds_missed(&before, &then, &standing(&other)) >= 2, "it was measured while unregistered");
    assert_eq!(network.identity(5), last, "its keys have stayed on their volume");
    let now: Vec<_> = (0..5).map(|number| network.uid(number)).collect();
    assert_eq!(others, now, "the other nodes were restarted");
}
