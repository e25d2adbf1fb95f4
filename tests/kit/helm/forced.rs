//! Forced deletion of a pod: Kubernetes starts the next pod while the previous one still stops.

use std::fs;
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use super::private_network::{directory_inside, listed, probe};
use super::release::Release;
use crate::waiting::{eventually, eventually_or, pause};

#[test]
fn a_pod_that_replaces_a_forcibly_deleted_one_waits_for_its_end() {
    let values = format!("directory.url={},network.mode=clusterOnly,node.layer=1", directory_inside());
    // The last --set wins: the previous pod stops slowly.
    let release = Release::install("forced", "restricted", &["--set", &values, "--set", "shutdown.lingerSeconds=20"]);
    let (identity, uid) = (release.identity(0), release.uid(0));
    let (stop, stopped) = mpsc::channel::<()>();
    let watch = thread::spawn(move || {
        let mut most = 0;
        while stopped.try_recv() != Err(mpsc::TryRecvError::Disconnected) {
            most = most.max(listening("forced-nym-mixnode-0"));
            pause(Duration::from_millis(100));
        }
        most
    });
    release.kubectl(&["delete", "pod", &release.pod(0), "--force", "--grace-period=0"]);
    eventually("another pod", || {
        let output = release.try_kubectl(&["get", "pod", &release.pod(0), "-o", "jsonpath={.metadata.uid}"]);
        let now = String::from_utf8_lossy(&output.stdout).into_owned();
        (!now.is_empty() && now != uid).then_some(())
    });
    let log = || {
        let output = release.try_kubectl(&["logs", &release.pod(0), "-c", "mixnode"]);
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    eventually_or("it waits", || log().contains("waiting for its end").then_some(()), log);
    release.await_ready(0);
    drop(stop);
    assert_eq!(watch.join().expect("the watch"), 1, "processes that mix as one node at a time");
    assert_eq!(release.identity(0), identity, "another identity");
    eventually("it is listed", || listed().contains_key(&identity).then_some(()));
    probe(Some(&identity));
}

/// How many processes of a pod accept packets at the same time.
fn listening(pod: &str) -> usize {
    let pod = format!("POD_NAME={pod}");
    let processes = fs::read_dir("/proc").expect("/proc").flatten().map(|entry| entry.path());
    let mut processes: Vec<_> = processes.filter(|process| accepts_packets(process, &pod)).collect();
    // One that has ended since did not accept packets beside those that were found after it.
    processes.retain(|process| accepts_packets(process, &pod));
    processes.len()
}

/// Whether a process is the node of the pod and listens. Each pod has its own network.
fn accepts_packets(process: &Path, pod: &str) -> bool {
    let read = |file: &str| fs::read(process.join(file)).unwrap_or_default();
    read("cmdline").starts_with(b"/nym-mixnode\0run\0")
        && read("environ").split(|byte| *byte == 0).any(|variable| variable == pod.as_bytes())
        && ["net/tcp", "net/tcp6"]
            .iter()
            .any(|file| String::from_utf8_lossy(&read(file)).lines().any(is_listening_on_1789))
}

/// Whether this line of `/proc/net/tcp` is a socket that listens on the port of packets.
fn is_listening_on_1789(line: &str) -> bool {
    let fields: Vec<_> = line.split_whitespace().collect();
    fields.get(1).is_some_and(|local| local.ends_with(":06FD")) && fields.get(3) == Some(&"0A")
}
