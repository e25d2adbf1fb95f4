//! Stopping pods under traffic: no accepted packet is lost, and no identity runs twice.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::private_network::{listed, network};
use super::release::said;
use super::traffic::Traffic;
use crate::cluster::cluster;
use crate::waiting::{eventually, pause};

/// The six nodes of the private network.
fn identities() -> Vec<String> {
    (0..6).map(|number| network().identity(number)).collect()
}

#[test]
fn a_deleted_pod_drains_and_comes_back_as_the_same_node() {
    let network = network();
    let identities = identities();
    let (before, uid) = (identities[1].clone(), network.uid(1));
    let traffic = Traffic::start(&identities);
    let watch = Watch::start();
    network.kubectl(&["delete", "pod", &network.pod(1)]);
    eventually("another pod", || {
        let output = network.try_kubectl(&["get", "pod", &network.pod(1), "-o", "jsonpath={.metadata.uid}"]);
        let now = String::from_utf8_lossy(&output.stdout).into_owned();
        (!now.is_empty() && now != uid).then_some(())
    });
    network.await_ready(1);
    assert_eq!(watch.end().most_processes, 1, "two processes with one identity");
    let counts = traffic.nothing_is_lost();
    assert!(identities.iter().all(|identity| counts[identity].0 > 10), "too little traffic: {counts:?}");
    assert_eq!(network.identity(1), before, "another identity");
}

#[test]
fn an_update_takes_the_nodes_one_by_one_and_loses_nothing() {
    let network = network();
    let identities = identities();
    let traffic = Traffic::start(&identities);
    let watch = Watch::start();
    network.upgrade(&["--reuse-values", "--set-string", "podAnnotations.again=1"]);
    let seen = watch.end();
    traffic.nothing_is_lost();
    assert!(seen.fewest_listed >= 5, "only {} of 6 nodes were listed at a time", seen.fewest_listed);
    assert_eq!(seen.most_processes, 1, "two processes with one identity");
    assert_eq!(self::identities(), identities, "other identities");
}

#[test]
fn a_drain_takes_one_node_and_no_more() {
    let network = network();
    let identities = identities();
    let traffic = Traffic::start(&identities);
    let before: Vec<_> = (0..6).map(|number| network.uid(number)).collect();
    let selector = "--pod-selector=app.kubernetes.io/instance=net,app.kubernetes.io/component=mixnode";
    let drained = cluster().try_kubectl(&["drain", "node1", selector, "--timeout=15s"]);
    cluster().kubectl(&["uncordon", "node1"]);
    let said = said(&drained);
    assert!(!drained.status.success() && said.contains("disruption budget"), "{said}");
    (0..6).for_each(|number| network.await_ready(number));
    traffic.nothing_is_lost();
    let gone = before.iter().enumerate().filter(|(number, uid)| network.uid(*number) != **uid).count();
    assert_eq!(gone, 1, "{said}");
    assert_eq!(self::identities(), identities, "other identities");
}

/// Observations of the nodes during a change.
struct Watch {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Seen>,
}

struct Seen {
    /// Listed nodes at a time.
    fewest_listed: usize,
    /// Processes that run one node at a time.
    most_processes: usize,
}

impl Watch {
    fn start() -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let ours = identities();
        let thread = thread::spawn(move || {
            let mut seen = Seen { fewest_listed: usize::MAX, most_processes: 0 };
            while !stopped.load(Ordering::Relaxed) {
                let listed = listed();
                let now = ours.iter().filter(|identity| listed.contains_key(*identity)).count();
                seen.fewest_listed = seen.fewest_listed.min(now);
                seen.most_processes = seen.most_processes.max(most_processes());
                pause(Duration::from_millis(200));
            }
            seen
        });
        Self { stop, thread }
    }

    fn end(self) -> Seen {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("the watch")
    }
}

/// The maximum number of processes that run the same node. The volume identifies the node.
fn most_processes() -> usize {
    let mut processes = BTreeMap::new();
    for entry in fs::read_dir("/proc").expect("/proc").flatten() {
        let command = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        if command.starts_with(b"/nym-mixnode\0run\0") {
            // A process may end during the inspection.
            let environment = fs::read(entry.path().join("environ")).unwrap_or_default();
            let mut variables = environment.split(|byte| *byte == 0);
            let pod = variables.find(|variable| variable.starts_with(b"POD_NAME=net-")).map(<[u8]>::to_vec);
            *processes.entry(pod).or_insert(0) += usize::from(environment.len() > 1);
        }
    }
    processes.remove(&None);
    processes.into_values().max().unwrap_or(0)
}
