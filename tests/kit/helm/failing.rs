//! What the registry of the private network shows of nodes that die, lose IPv6 or unregister, and their reputation.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nym_mixnode_api::IpVersion;

use super::private_network::{directory, network};
use super::release::said;
use crate::http;
use crate::shown::{ROUNDS_UNTIL_DOWN_MAX, Shown};
use crate::waiting::{eventually, pause};

/// What the registry of the private network shows.
pub(super) fn shown() -> Shown<impl Fn(&str) -> Option<String>> {
    let directory = directory();
    Shown::new(move |path: &str| http::get(&format!("{directory}{path}")))
}

#[test]
fn a_killed_node_and_one_without_ipv6_are_shown_as_such_and_recover() {
    let (network, shown) = (network(), shown());
    let identities: Vec<_> = (0..6).map(|number| network.identity(number)).collect();
    let is = |identity: &str, state: &str| eventually(state, || (shown.state(identity)? == state).then_some(()));
    let standing = |identity: &str| eventually("a standing", || shown.standing(identity));
    for identity in &identities {
        is(identity, "Active");
    }
    let [_, _, killed, alive, cut_off, _] = &identities[..] else { panic!("six nodes") };

    let before = standing(killed);
    let began = Instant::now();
    let port = mix_port(&shown, cut_off);
    let in_pod = processes(&network.pod(4)).into_iter().next().expect("the node's process");
    nft(in_pod, &["add", "table", "ip6", "kit"]);
    nft(in_pod, &["add chain ip6 kit input { type filter hook input priority 0; }"]);
    nft(in_pod, &[&format!("add rule ip6 kit input tcp dport {port} drop")]);
    let deaths = Killer::start(network.pod(2));
    let death = standing(alive);
    is(killed, "Down");
    eprintln!("chart: a killed node is shown as down after {:.1} s", began.elapsed().as_secs_f64());
    let rounds = standing(killed).rounds_until_down(&death, &standing(alive));
    assert!(rounds.is_some_and(|rounds| rounds <= ROUNDS_UNTIL_DOWN_MAX), "{rounds:?} rounds");
    is(cut_off, "IPv6 fails");
    let results = standing(cut_off);
    assert_eq!([IpVersion::V4, IpVersion::V6].map(|version| results.passes(version)), [Some(true), Some(false)]);
    // Down: each failed test has taken reputation away.
    let fallen = standing(killed);
    assert_eq!(fallen.reputation, fallen.by_the_rule(&before), "{before:?} then {fallen:?}");
    deaths.stop();
    assert_eq!(shown.state(alive).as_deref(), Some("Active"));

    nft(in_pod, &["delete", "table", "ip6", "kit"]);
    network.await_ready(2);
    for identity in &identities {
        is(identity, "Active");
    }
}

/// Port at which a node receives packets over IPv6.
fn mix_port(shown: &Shown<impl Fn(&str) -> Option<String>>, identity: &str) -> u16 {
    let listed = shown.listed().expect("a topology");
    let addresses = listed.mix(identity).expect("a listed node").announced_addresses();
    addresses.iter().find(|address| address.is_ipv6()).expect("an IPv6 address").port()
}

fn nft(process: u32, command: &[&str]) {
    let mut nft = Command::new("nsenter");
    nft.args(["--target", &process.to_string(), "--net", "--", "nft"]).args(command);
    let output = nft.output().expect("nsenter");
    assert!(output.status.success(), "{}", said(&output));
}

/// Processes of the node in this pod.
fn processes(pod: &str) -> BTreeSet<u32> {
    let variable = format!("POD_NAME={pod}").into_bytes();
    let all = fs::read_dir("/proc").expect("/proc").flatten();
    let of_pod = all.filter(|entry| {
        let command = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        // A process may end during the inspection.
        let environment = fs::read(entry.path().join("environ")).unwrap_or_default();
        command.starts_with(b"/nym-mixnode\0run\0") && environment.split(|byte| *byte == 0).any(|of| of == variable)
    });
    of_pod.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// Kills the node of a pod, and again whenever the kubelet has started it.
struct Killer {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Killer {
    /// Returns once the node is dead.
    fn start(pod: String) -> Self {
        assert!(kill(&pod) > 0, "{pod} has no process");
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                kill(&pod);
                pause(Duration::from_millis(50));
            }
        });
        Self { stop, thread }
    }

    fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("the killer");
    }
}

/// Kills the processes of the node in this pod; returns their number.
fn kill(pod: &str) -> usize {
    let processes = processes(pod);
    for process in &processes {
        // It may have ended.
        Command::new("kill").args(["-9", &process.to_string()]).output().expect("kill");
    }
    processes.len()
}
