//! The command `localnet` with real processes and packets; checks that nothing is left behind.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::TcpListener;
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, Command};
use tokio::time::{sleep, timeout};

/// Deadline of each step, generous for a slow and busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_mins(3);

pub(crate) fn nym_mixnode(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nym-mixnode"));
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

/// Network in the background. Dropping it kills it and thereby its children.
pub(crate) struct Running {
    process: Child,
    notes: Lines<BufReader<ChildStderr>>,
}

impl Running {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        Self::start_in(&std::env::temp_dir(), arguments)
    }

    fn start_in(temporary: &Path, arguments: &[&str]) -> Self {
        Self::start_by(Command::new("env"), temporary, arguments)
    }

    /// Starts it by this command of the tool `env`, which may run it elsewhere.
    pub(crate) fn start_by(mut command: Command, temporary: &Path, arguments: &[&str]) -> Self {
        // The tool resets signals that the tests may inherit as ignored (`nohup`), then executes the program.
        command.args(["--default-signal=HUP", env!("CARGO_BIN_EXE_nym-mixnode"), "localnet"]).args(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut process = command.env("TMPDIR", temporary).spawn().unwrap();
        let notes = BufReader::new(process.stderr.take().unwrap()).lines();
        Self { process, notes }
    }

    /// Waits for the first line on standard error that contains this text.
    pub(crate) async fn note(&mut self, words: &str) -> String {
        let mut seen = Vec::new();
        let find = async {
            while let Some(line) = self.notes.next_line().await.unwrap() {
                if line.contains(words) {
                    return line;
                }
                seen.push(line);
            }
            unreachable!("localnet ended without saying '{words}'; it said {seen:#?}");
        };
        timeout(PATIENCE, find).await.unwrap()
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.process.id().unwrap().try_into().unwrap()).unwrap()
    }

    /// URL of the registry, from the first line.
    pub(crate) async fn registry(&mut self) -> String {
        self.note("explorer").await.rsplit(' ').next().unwrap().to_owned()
    }

    /// Kills one of its nodes.
    pub(crate) fn kill_node(&self, id: &str) {
        self.signal_node(id, Signal::KILL);
    }

    /// Sends a signal to one of its nodes.
    pub(crate) fn signal_node(&self, id: &str, signal: Signal) {
        let is_node = |pid: &u32| {
            let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap();
            command.split(|byte| *byte == 0).any(|argument| argument == id.as_bytes())
        };
        let node = children_of(self.process.id().unwrap()).into_iter().find(is_node).unwrap();
        kill_process(Pid::from_raw(node.try_into().unwrap()).unwrap(), signal).unwrap();
    }

    /// Sends a signal and collects the output until the end.
    pub(crate) async fn stop(self, signal: Signal) -> Output {
        kill_process(self.pid(), signal).unwrap();
        self.ended().await
    }

    /// Collects the output until the end.
    async fn ended(self) -> Output {
        let Self { process, mut notes } = self;
        let drain = async { while let Ok(Some(_)) = notes.next_line().await {} };
        let (output, ()) = timeout(PATIENCE, async { tokio::join!(process.wait_with_output(), drain) }).await.unwrap();
        output.unwrap()
    }
}

fn assert_nothing_lost(summary: &Value) {
    assert!(summary["sent"].as_u64().unwrap() > 0, "{summary:#}");
    assert_eq!(summary["lost"], 0, "{summary:#}");
    assert_eq!(summary["returned"], summary["sent"], "{summary:#}");
    assert_eq!(summary["problems"], serde_json::json!([]), "{summary:#}");
    for node in summary["nodes"].as_array().unwrap() {
        assert_eq!(node["conservation"], true, "{node:#}");
        assert_eq!(node["in_flight"], 0, "{node:#}");
        assert_eq!(node["received"], node["forwarded"], "{node:#}");
    }
}

#[tokio::test]
async fn a_whole_network_loses_nothing_over_either_family() {
    let run = nym_mixnode(&["localnet", "--duration", "5s", "--rate", "50", "--json"]).output();
    let output = timeout(PATIENCE, run).await.unwrap().unwrap();
    let notes = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{notes}");
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_nothing_lost(&summary);
    assert_eq!(summary["nodes"].as_array().unwrap().len(), 6);
    assert!(summary["latency_over_delay_ms"]["p50"].as_f64().unwrap() >= 0.0, "a packet came too early: {summary:#}");
    assert!(summary["ipv4"]["sent"].as_u64().unwrap() > 0);
    assert_eq!(summary["ipv6"]["sent"].as_u64().unwrap() > 0, summary["ipv6_tested"].as_bool().unwrap());
    assert!(notes.contains("all 6 nodes are active after"), "{notes}");
    // Every packet passes each layer once.
    for layer in 1..=3 {
        let in_layer = summary["nodes"].as_array().unwrap().iter().filter(|node| node["layer"] == layer);
        let received: u64 = in_layer.map(|node| node["received"].as_u64().unwrap()).sum();
        // The registry's monitor sends packets through the nodes too.
        assert!(received >= summary["sent"].as_u64().unwrap(), "layer {layer}: {summary:#}");
    }
}

#[tokio::test]
async fn the_registrys_file_and_the_keys_stay_in_the_directory_that_was_given() {
    let home = tempfile::tempdir().unwrap();
    let kept = home.path().join("kept");
    let run = |keep: &Path| {
        let small =
            ["localnet", "--layers", "1", "--nodes", "1", "--rate", "5", "--duration", "1s", "--json", "--keep"];
        nym_mixnode(&[&small[..], &[keep.to_str().unwrap()]].concat()).env("TMPDIR", home.path()).output()
    };
    let output = timeout(PATIENCE, run(&kept)).await.unwrap().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(kept.join("registry/registry.sqlite").exists());
    assert_eq!((private_keys_below(&kept), std::fs::read_dir(home.path()).unwrap().count()), (2, 1));

    let again = timeout(PATIENCE, run(&kept)).await.unwrap().unwrap();
    let words = String::from_utf8_lossy(&again.stderr);
    assert!(again.status.code() == Some(73) && words.contains("kept") && words.contains("--keep"), "{words}");
}

#[tokio::test]
async fn ctrl_c_lets_every_packet_come_home() {
    let mut network = Running::start(&["--layers", "2", "--nodes", "1", "--mean-delay", "500ms", "--json"]);
    network.note("packets per second").await;
    network.note(" sent, ").await;
    let output = network.stop(Signal::INT).await;
    assert_eq!(output.status.code(), Some(0));
    assert_nothing_lost(&serde_json::from_slice(&output.stdout).unwrap());
}

#[tokio::test]
async fn no_more_is_offered_than_the_machine_takes_and_nothing_is_lost() {
    let arguments = ["localnet", "--layers", "2", "--nodes", "1", "--rate", "100000", "--duration", "4s", "--json"];
    let output = timeout(PATIENCE, nym_mixnode(&arguments).output()).await.unwrap().unwrap();
    let notes = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{notes}");
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_nothing_lost(&summary);
    let load = &summary["load"];
    assert_eq!(load["asked_per_s"], 100_000, "{summary:#}");
    assert!(load["offered_per_s"].as_f64().unwrap() < 100_000.0, "{summary:#}");
    assert!(load["not_sent"].as_u64().unwrap() > 0 && load["limited_by"].is_string(), "{summary:#}");
    assert!(notes.contains("requested 100000 packets/s, offering "), "{notes}");
}

#[tokio::test]
async fn the_death_of_a_node_is_reported_at_once_and_ends_the_experiment() {
    let mut network = Running::start(&["--layers", "2", "--nodes", "2", "--rate", "20", "--json"]);
    network.note(" sent, ").await;
    network.kill_node("mix2-1");
    let told = network.note("mix2-1 died").await;
    assert!(told.contains("signal 9 (SIGKILL)"), "{told}");
    assert!(told.contains("; last log lines: "), "{told}");
    let output = network.ended().await;
    assert_eq!(output.status.code(), Some(69));
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_only_died(&summary, "mix2-1");
}

#[tokio::test]
async fn an_experiment_that_keeps_going_sends_around_a_dead_node() {
    let mut network = Running::start(&["--layers", "2", "--nodes", "2", "--rate", "20", "--keep-going", "--json"]);
    network.note(" sent, ").await;
    network.kill_node("mix1-2");
    let told = network.note("mix1-2 died").await;
    assert!(told.contains("packets go around it"), "{told}");
    let sent_before = sent(&network.note(" sent, ").await);
    while sent(&network.note(" sent, ").await) <= sent_before {}
    let output = network.stop(Signal::INT).await;
    assert_eq!(output.status.code(), Some(69), "a node died, and the exit code tells of it");
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_only_died(&summary, "mix1-2");
}

#[tokio::test]
async fn an_experiment_ends_when_a_layer_has_no_node_left() {
    let mut network = Running::start(&["--layers", "2", "--nodes", "1", "--rate", "20", "--keep-going", "--json"]);
    network.note(" sent, ").await;
    network.kill_node("mix1-1");
    let told = network.note("mix1-1 died").await;
    assert!(told.contains("layer"), "{told}");
    assert_eq!(network.ended().await.status.code(), Some(69));
}

/// The number before ` sent, ` in a line of the plain output.
fn sent(line: &str) -> u64 {
    line.split(" sent, ").next().unwrap().rsplit(' ').next().unwrap().parse().unwrap()
}

/// Checks that each lost packet had the dead node on its route, and that the other nodes account for their packets.
fn assert_only_died(summary: &Value, id: &str) {
    let problems = summary["problems"].as_array().unwrap();
    assert!(problems.len() == 1 && problems[0].as_str().unwrap().contains(id), "{summary:#}");
    assert_eq!(summary["lost"], summary["lost_with_dead_nodes"], "{summary:#}");
    for node in summary["nodes"].as_array().unwrap() {
        if node["id"] == id {
            assert_eq!(node["died"], "killed by signal 9 (SIGKILL)", "{node:#}");
        } else {
            assert_eq!((&node["died"], &node["conservation"]), (&Value::Null, &true.into()), "{node:#}");
        }
    }
}

#[tokio::test]
async fn a_taken_port_is_reported_in_one_line() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let run = nym_mixnode(&["localnet", "--json", "--duration", "1s", "--base-port", &port]).output();
    let output = timeout(PATIENCE, run).await.unwrap().unwrap();
    assert_eq!(output.status.code(), Some(69));
    let words = String::from_utf8_lossy(&output.stderr);
    let errors: Vec<&str> = words.lines().filter(|line| line.contains(&port)).collect();
    assert_eq!(errors.len(), 1, "{words}");
    assert!(errors[0].contains("--base-port"), "{words}");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn no_child_outlives_a_killed_parent() {
    let home = tempfile::tempdir().unwrap();
    let mut network = Running::start_in(home.path(), &["--layers", "2", "--nodes", "1", "--json"]);
    network.note("packets per second").await;
    let children = children_of(network.process.id().unwrap());
    assert_eq!(children.len(), 4, "a registry, two nodes, and the process that removes the files");
    assert_eq!(private_keys_below(home.path()), 4);
    network.process.kill().await.unwrap();
    until(|| !children.iter().any(|child| is_running(*child))).await;
    assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 0, "private keys are left");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_next_network_removes_what_one_left_that_was_killed_with_all_its_processes() {
    let home = tempfile::tempdir().unwrap();
    let small = ["--layers", "1", "--nodes", "1", "--rate", "10", "--json"];
    let mut network = Running::start_in(home.path(), &small);
    network.note("packets per second").await;
    for pid in children_of(network.process.id().unwrap()) {
        kill_process(Pid::from_raw(pid.try_into().unwrap()).unwrap(), Signal::KILL).unwrap();
    }
    network.process.kill().await.unwrap();
    assert_eq!(private_keys_below(home.path()), 2);
    let kept = home.path().join("nym-localnet-kept00");
    std::fs::create_dir(&kept).unwrap();

    let run =
        nym_mixnode(&[&["localnet", "--duration", "1s"], &small[..]].concat()).env("TMPDIR", home.path()).output();
    let output = timeout(PATIENCE, run).await.unwrap().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let left: Vec<_> = std::fs::read_dir(home.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(left, [kept]);
}

#[tokio::test]
async fn the_end_of_its_terminal_stops_a_network_in_order() {
    let home = tempfile::tempdir().unwrap();
    let small = ["--layers", "1", "--nodes", "1", "--mean-delay", "500ms", "--json"];
    let mut network = Running::start_in(home.path(), &small);
    network.note(" sent, ").await;
    // Both the kernel and the shell send it.
    kill_process(network.pid(), Signal::HUP).unwrap();
    let output = network.stop(Signal::HUP).await;
    assert_eq!(output.status.code(), Some(0));
    assert_nothing_lost(&serde_json::from_slice(&output.stdout).unwrap());
    assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 0);
}

async fn until(mut reached: impl FnMut() -> bool) {
    let poll = async {
        while !reached() {
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(Duration::from_secs(60), poll).await.unwrap();
}

fn private_keys_below(dir: &Path) -> usize {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let is_key = |path: &Path| path.file_name().unwrap().to_str().unwrap().starts_with("private_");
    entries.map(|path| if path.is_dir() { private_keys_below(&path) } else { usize::from(is_key(&path)) }).sum()
}

/// State and parent of a process from `/proc`: the fields after the name, which may contain spaces.
fn state_and_parent(pid: u32) -> Option<(String, u32)> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    Some((fields.next()?.to_owned(), fields.next()?.parse().ok()?))
}

fn children_of(parent: u32) -> Vec<u32> {
    let pids = std::fs::read_dir("/proc").unwrap().flatten();
    pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| state_and_parent(*pid).is_some_and(|(_, of)| of == parent))
        .collect()
}

/// Whether a process has ended; a zombie has.
fn is_running(pid: u32) -> bool {
    state_and_parent(pid).is_some_and(|(state, _)| state != "Z")
}

#[tokio::test]
async fn a_file_crosses_the_network_from_client_to_client() {
    let home = tempfile::tempdir().unwrap();
    let kept = home.path().join("kept");
    let flags = ["localnet", "--nodes", "1", "--rate", "10", "--mean-delay", "1ms", "--gateways", "1", "--send", "1MB"];
    let run = nym_mixnode(&[&flags[..], &["--json", "--keep", kept.to_str().unwrap()]].concat()).output();
    let output = timeout(PATIENCE, run).await.unwrap().unwrap();
    let notes = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{notes}");
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_nothing_lost(&summary);
    assert_eq!((&summary["file"]["bytes"], &summary["file"]["intact"]), (&1_000_000.into(), &true.into()));
    let sent = std::fs::read(kept.join("clients/file")).unwrap();
    assert_eq!(sent.len(), 1_000_000);
    assert!(std::fs::read(kept.join("clients/received/file")).unwrap() == sent);
}

#[tokio::test]
async fn a_file_needs_three_layers() {
    let run = nym_mixnode(&["localnet", "--layers", "2", "--send", "1MB"]).output();
    let output = timeout(PATIENCE, run).await.unwrap().unwrap();
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(64) && words.contains("--layers"), "{words}");
}
