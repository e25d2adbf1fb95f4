//! The log of a running node: its formats, its filter, and what it must never contain.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use nym_mixnode_config::{Config, Source, Values, settings};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use url::Url;

use super::process::{NodeFiles, NodeProcess, eventually, program};
use super::program::PROGRAM;
use super::support::{ACK, NOWHERE, Sink, hop, loopback_settings, packet_via, send};

async fn without_directory() -> NodeFiles {
    NodeFiles::init(&Url::parse(&NOWHERE).unwrap()).await
}

/// Log of a node that has ended.
fn log_of(files: &NodeFiles) -> String {
    fs::read_to_string(Path::new(files.root()).join("log")).unwrap()
}

fn hang_up(node: &NodeProcess) {
    let pid = node.child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw).unwrap();
    kill_process(pid, Signal::HUP).unwrap();
}

#[tokio::test]
async fn by_a_switch_every_line_is_json() {
    let files = without_directory().await;
    let mut node = files.run(&["--log-format", "json", "--log-filter", "debug"]);
    node.http().await;
    eventually("a warning", async || node.log().contains("\"WARN\"").then_some(())).await;
    assert!(node.stop().await.success());
    let log = log_of(&files);
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    assert!(lines.iter().all(|line| line["timestamp"].is_string() && line["target"].is_string()), "{log}");
    let start = lines.iter().find(|line| line["message"] == "Starting mixnode").unwrap();
    assert_eq!(start["fields"]["identity_key"], files.identity());
    assert!(lines.iter().any(|line| line["level"] == "DEBUG"), "{log}");
}

#[tokio::test]
async fn a_running_node_takes_another_filter_and_refuses_a_bad_one_in_one_line() {
    let files = without_directory().await;
    files.configure("log:\n  filter: warn");
    let file = files.dir().join("config/config.yaml");
    let change = |from: &str, to: &str| {
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.contains(from), "{text}");
        fs::write(&file, text.replace(from, to)).unwrap();
    };
    let mut node = files.run(&[]);
    node.http().await;
    eventually("a warning", async || node.log().contains(" WARN  nym_mixnode::").then_some(())).await;
    assert!(!node.log().contains(" INFO  nym_mixnode::"), "{}", node.log());

    change("filter: warn", "filter: nym_mixnode=debug");
    hang_up(&node);
    eventually("the new filter", async || {
        node.log().contains("SIGHUP: the log's filter is nym_mixnode=debug\n").then_some(())
    })
    .await;

    change("filter: nym_mixnode=debug", "filter: nym_mixnode=loud");
    hang_up(&node);
    let refusal = eventually("the refusal", async || {
        node.log().lines().find(|line| line.contains("the log stays as it was")).map(str::to_owned)
    })
    .await;
    for part in ["config.yaml:", "log.filter", "nym_mixnode=loud"] {
        assert!(refusal.contains(part), "{refusal}");
    }
    assert!(node.stop().await.success());
    assert!(log_of(&files).contains(" INFO  nym_mixnode::node > stopped\n"), "{}", log_of(&files));
}

#[tokio::test]
async fn a_node_that_can_be_stopped_in_order_is_not_ended_by_a_hang_up() {
    let files = without_directory().await;
    let mut node = files.run(&[]);
    let status = format!("/proc/{}/status", node.child.id().unwrap());
    let caught = |signal: Signal, status: &str| {
        let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
        u64::from_str_radix(mask.trim(), 16).unwrap() >> (signal.as_raw() - 1) & 1 == 1
    };
    let status = eventually("stop signals are caught", async || {
        fs::read_to_string(&status).ok().filter(|status| caught(Signal::TERM, status))
    })
    .await;
    assert!(caught(Signal::HUP, &status), "{status}");
    hang_up(&node);
    node.http().await;
    eventually("the hang-up is answered", async || node.log().contains("SIGHUP: the log's filter").then_some(())).await;
    assert!(node.stop().await.success());
}

#[tokio::test]
async fn bad_filters_are_refused_in_one_line_wherever_they_come_from() {
    let files = without_directory().await;
    let refused = [
        (Some("nym=loud"), &[][..], 78, "RUST_LOG"),
        (Some("debgu"), &[], 78, "\"debgu\" is not a level"),
        (Some("nym_mixnod=debug"), &[], 78, "\"nym_mixnod\" is not a level"),
        (None, &["--log-filter", "nym=loud"], 64, "does not end in a level"),
        (None, &["--set", "log.filter=nym_mixnod=debug"], 64, "\"nym_mixnod\" is not a level"),
        (None, &["--log-format", "xml"], 64, "log.format"),
    ];
    for (rust_log, flags, code, words) in refused {
        let node = [&["run", "--home", files.root(), "--id", "mix"], flags].concat();
        let output = program(&node).envs(rust_log.map(|filter| ("RUST_LOG", filter))).output().await.unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(said.contains(words) && said.lines().count() == 1, "{said}");
    }
}

#[tokio::test]
async fn a_word_of_another_log_chooses_the_nearest_level() {
    let files = without_directory().await;
    for (word, is_info) in [("WARNING", false), ("information", true)] {
        let mut node = NodeProcess::spawn(&files, &[], |command| _ = command.env("RUST_LOG", word));
        node.http().await;
        eventually("a warning", async || node.log().contains(" WARN  nym_mixnode::").then_some(())).await;
        assert_eq!(node.log().contains(" INFO  nym_mixnode::"), is_info, "{word}: {}", node.log());
        assert!(!node.log().contains(" DEBUG "), "{word}: {}", node.log());
        assert!(node.stop().await.success());
    }
}

#[test]
fn a_flag_or_variable_beats_rust_log_and_rust_log_the_file() {
    let chosen = |filter: Option<(&str, Source)>, rust_log: Option<&str>| {
        let mut values: Values = loopback_settings(([127, 0, 0, 1], 1789).into());
        if let Some((filter, source)) = filter {
            values.set(&settings::LOG_FILTER.about, filter, &source);
        }
        let config = Config::from_values(&values).unwrap();
        config.log.filter(rust_log.map(|filter| filter.parse().unwrap())).to_string()
    };
    let file = || Source::File { path: Path::new("config.yaml").into(), line: 1 };
    let variable = || Source::Variable("NYM_MIXNODE_LOG_FILTER");
    assert_eq!(chosen(None, None), "info");
    assert_eq!(chosen(None, Some("debug")), "debug");
    assert_eq!(chosen(Some(("warn", file())), None), "warn");
    assert_eq!(chosen(Some(("warn", file())), Some("debug")), "debug");
    assert_eq!(chosen(Some(("warn", variable())), Some("debug")), "warn");
    assert_eq!(chosen(Some(("warn", Source::Flag("--log-filter"))), Some("debug")), "warn");
}

#[tokio::test]
async fn a_terminal_gets_colours_unless_it_asks_for_none() {
    let files = without_directory().await;
    // A node that logs some lines and then ends, for its address is taken.
    let _taken = std::net::TcpListener::bind(files.address).unwrap();
    let node = format!("{PROGRAM} run --home {} --id mix --http-listen off", files.root());
    for (no_color, coloured) in [("", true), ("1", false)] {
        // `script` runs it on a terminal of its own, and shows what is written there.
        let mut command = tokio::process::Command::new("script");
        command.args(["-qefc", &node, "/dev/null"]).env("NO_COLOR", no_color).env("TERM", "xterm");
        let output = command.env_remove("RUST_LOG").stdin(Stdio::null()).output().await.unwrap();
        let shown = String::from_utf8(output.stdout).unwrap();
        assert!(shown.contains("Starting nym mixnode"), "{shown}");
        assert_eq!(shown.contains("\u{1b}[32mINFO \u{1b}[0m"), coloured, "{shown}");
        assert_eq!(shown.contains('\u{1b}'), coloured, "{shown}");
    }
}

#[tokio::test]
async fn an_unread_log_blocks_neither_packets_nor_the_stop() {
    let files = without_directory().await;
    let mut sink = Sink::start().await;
    let mut node = NodeProcess::spawn(&files, &["--forward-policy", "any", "--log-filter", "trace"], |command| {
        command.stderr(Stdio::piped());
    });
    node.http().await;
    let unread = node.child.stderr.take().unwrap();
    let noise = vec![vec![0xff; 64]];
    let first_hop = hop(files.address, *files.keys().sphinx.public());
    let mut before = 0;
    eventually("a full pipe", async || {
        // Each of these is worth some lines.
        for _ in 0..50 {
            drop(send(files.address, &noise).await);
        }
        let waiting = rustix::io::ioctl_fionread(&unread).unwrap();
        let is_full = waiting > 0 && waiting == before;
        before = waiting;
        is_full.then_some(())
    })
    .await;
    let frames: Vec<_> =
        (0..100).map(|_| packet_via(&first_hop, sink.address, Duration::from_millis(20), ACK)).collect();
    let _connection = send(files.address, &frames).await;
    sink.take(100).await;
    assert!(node.stop().await.success());
    drop(unread);
}
