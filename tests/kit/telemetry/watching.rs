//! Prometheus, the alert rules and the dashboards, with running nodes and one that is killed.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use super::checking::{assert_known, assert_sound};
use super::network::Network;
use super::process::{Process, Receiver, free_port};
use super::shipped::{self, Query};
use crate::http::get;
use crate::part::{part, root};
use crate::waiting::{eventually, pause};

/// A running Prometheus and Alertmanager with the files of the kit and short intervals.
struct Watch {
    prometheus: Process,
    url: String,
    told: Receiver,
    _alertmanager: Process,
}

impl Watch {
    fn start(folder: &Path, network: &Network) -> Self {
        let files = hurried_copy(folder);
        let told = Receiver::start();
        let alertmanager = start_alertmanager(folder, &files, &told.url);
        let nodes: Vec<&str> = network.nodes.iter().map(|node| without_scheme(&node.http)).collect();
        write_targets(&files, "mixnodes", &nodes);
        write_targets(&files, "registries", &[without_scheme(&network.directory)]);
        write_targets(&files, "alertmanagers", &[&alertmanager.1]);
        let address = format!("127.0.0.1:{}", free_port());
        let mut prometheus = Process::start("prometheus", &part("prometheus"), folder, |command| {
            command.arg(format!("--config.file={}", files.join("prometheus.yml").display()));
            command.arg(format!("--storage.tsdb.path={}", folder.join("series").display()));
            command.arg(format!("--web.listen-address={address}"));
        });
        let url = format!("http://{address}");
        prometheus.wait_for(&format!("{url}/-/ready"));
        Self { prometheus, url, told, _alertmanager: alertmanager.0 }
    }

    /// The current values of the query.
    fn query(&self, query: &Query) -> Vec<Value> {
        let mut url = url::Url::parse(&format!("{}/api/v1/query", self.url)).unwrap();
        url.query_pairs_mut().append_pair("query", &query.expr);
        let body = get(url.as_str()).unwrap_or_else(|| panic!("Prometheus refuses {query:?}"));
        let body: Value = serde_json::from_str(&body).unwrap();
        body["data"]["result"].as_array().expect("a vector").clone()
    }

    fn firing(&self) -> Vec<(String, String)> {
        let body: Value = serde_json::from_str(&get(&format!("{}/api/v1/alerts", self.url)).unwrap()).unwrap();
        let alerts = body["data"]["alerts"].as_array().unwrap().iter().filter(|alert| alert["state"] == "firing");
        let label = |alert: &Value, name: &str| alert["labels"][name].as_str().unwrap_or_default().to_owned();
        alerts.map(|alert| (label(alert, "alertname"), label(alert, "instance"))).collect()
    }
}

fn without_scheme(url: &str) -> &str {
    url.trim_start_matches("http://")
}

/// The files of the kit with intervals of one second; a node is down after five.
fn hurried_copy(folder: &Path) -> PathBuf {
    let copy = folder.join("prometheus");
    for part in ["", "rules", "targets"] {
        fs::create_dir_all(copy.join(part)).unwrap();
        for file in shipped::files(&shipped::folder("prometheus").join(part), "yml") {
            fs::copy(&file, copy.join(part).join(file.file_name().unwrap())).unwrap();
        }
    }
    change(&copy.join("prometheus.yml"), "interval: 15s", "interval: 1s");
    change(&copy.join("rules/mixnode.yml"), "for: 2m", "for: 5s");
    change(&copy.join("alertmanager.yml"), "group_wait: 30s", "group_wait: 1s");
    copy
}

fn change(file: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(file).unwrap();
    assert!(text.contains(from), "no {from} in {}", file.display());
    fs::write(file, text.replace(from, to)).unwrap();
}

fn write_targets(files: &Path, name: &str, targets: &[&str]) {
    let text = serde_json::json!([{ "targets": targets }]).to_string();
    let file = files.join("targets").join(format!("{name}.yml"));
    assert!(file.exists(), "the kit has no {}", file.display());
    fs::write(file, text).unwrap();
}

fn start_alertmanager(folder: &Path, files: &Path, tell: &str) -> (Process, String) {
    let config = files.join("alertmanager.yml");
    change(&config, "- name: operator", &format!("- name: operator\n    webhook_configs: [{{url: \"{tell}\"}}]"));
    let address = format!("127.0.0.1:{}", free_port());
    let mut process = Process::start("alertmanager", &part("alertmanager"), folder, |command| {
        command.arg(format!("--config.file={}", config.display()));
        command.arg(format!("--storage.path={}", folder.join("alerts").display()));
        command.arg(format!("--web.listen-address={address}")).arg("--cluster.listen-address=");
    });
    process.wait_for(&format!("http://{address}/-/ready"));
    (process, address)
}

/// Names of all series in an exposition.
fn exported(text: &str) -> BTreeSet<String> {
    let samples = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    samples.map(|line| line.split(['{', ' ']).next().unwrap_or_default().to_owned()).collect()
}

#[test]
fn prometheus_reads_all_that_rules_and_panels_ask_for_and_tells_of_a_node_that_dies() {
    let folder = tempfile::tempdir().unwrap();
    let mut network = Network::start(folder.path(), &[vec![], vec![], vec![]]);
    network.send_packets();
    for node in &network.nodes {
        network.tell_measurement(node, true);
    }
    let watch = Watch::start(folder.path(), &network);

    every_panel_shows_something(&watch);
    let of_node = get(&format!("{}/metrics", network.nodes[0].http)).expect("metrics of a node");
    let of_registry = get(&format!("{}/metrics", network.directory)).expect("metrics of the registry");
    for text in [&of_node, &of_registry] {
        assert_sound("promtool", &["check", "metrics"], text);
    }
    let mut names = exported(&of_node);
    names.extend(exported(&of_registry));
    assert_known(&names);
    let early = watch.firing();
    assert!(early.is_empty(), "alerts although all is well: {early:?}");

    let victim = without_scheme(&network.nodes[2].http).to_owned();
    network.nodes[2].process.kill();
    let down = ("MixnodeDown".to_owned(), victim.clone());
    eventually("the alert fires", || watch.firing().contains(&down).then_some(()));
    let told = |body: &String| body.contains("\"MixnodeDown\"") && body.contains(&victim) && body.contains("firing");
    eventually("the operator is told", || watch.told.bodies().iter().any(told).then_some(()));
    assert!(!watch.prometheus.log().contains("level=error"), "{}", watch.prometheus.log());
}

/// Seconds of traffic in the pictures of the dashboards.
const SHOWN: u64 = 120;

/// Draws every panel with the data of Prometheus, and fails if a panel has none. `DASHBOARD_PICTURES` is the directory
/// of the pictures; `make dashboard-pictures` sets it.
#[test]
#[ignore = "takes two minutes of traffic; run it with `make dashboard-pictures`"]
fn the_dashboards_are_drawn_from_live_data() {
    let folder = tempfile::tempdir().unwrap();
    let pictures = std::env::var_os("DASHBOARD_PICTURES").map_or_else(|| folder.path().to_owned(), PathBuf::from);
    let mut network = Network::start(folder.path(), &[vec![], vec![], vec![]]);
    network.send_packets();
    let watch = Watch::start(folder.path(), &network);
    for _ in 0..SHOWN / 2 {
        for node in &network.nodes {
            network.tell_measurement(node, true);
        }
        pause(Duration::from_secs(2));
    }
    every_panel_shows_something(&watch);
    let mut draw = Command::new("python3");
    draw.arg(root().join("tests/kit/telemetry/boards.py")).args([&watch.url, &SHOWN.to_string()]).arg(&pictures);
    let drawn = draw.args(shipped::dashboards().iter().map(|(path, _)| path)).output().unwrap();
    assert!(drawn.status.success(), "{}", String::from_utf8_lossy(&drawn.stderr));
    for (path, dashboard) in shipped::dashboards() {
        let name = format!("dashboard-{}.svg", path.file_stem().unwrap().to_str().unwrap());
        let picture = fs::read_to_string(pictures.join(&name)).unwrap();
        for panel in dashboard["panels"].as_array().unwrap() {
            let title = panel["title"].as_str().unwrap();
            assert!(picture.contains(&format!(">{title}</text>")), "{name} lacks {title}");
        }
    }
}

fn every_panel_shows_something(watch: &Watch) {
    for query in [shipped::panel_queries(), shipped::variable_queries()].concat() {
        eventually(&format!("{query:#?} has something to show"), || {
            watch.query(&query).iter().any(|value| value["value"][1] != "NaN").then_some(())
        });
    }
}
