//! The files of `deploy/`, checked by the programs that use them.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::shipped::{self, metrics_of};
use crate::part::{part, root};

/// Runs a checker in the directory of Prometheus' files, and returns its complaints.
fn complaints(program: &str, arguments: &[&str], input: &str) -> Result<(), String> {
    let mut command = Command::new(part(program));
    command.args(arguments).current_dir(shipped::folder("prometheus"));
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&said).into_owned()) }
}

#[track_caller]
pub(super) fn assert_sound(program: &str, arguments: &[&str], input: &str) {
    if let Err(complaint) = complaints(program, arguments, input) {
        panic!("{program} {}: {complaint}", arguments.join(" "));
    }
}

const YAML_RULES: &str = "{extends: default, rules: {line-length: {max: 120}, document-start: disable}}";

#[test]
fn the_configurations_are_sound_and_each_alert_fires_in_a_test_of_its_own() {
    assert_sound("yamllint", &["--strict", "-d", YAML_RULES, ".", "../collector", "../grafana"], "");
    assert_sound("promtool", &["check", "config", "prometheus.yml"], "");
    assert_sound("otelcol", &["validate", "--config", "../collector/config.yaml"], "");
    assert_sound("amtool", &["check-config", "alertmanager.yml"], "");
    for file in shipped::files(&shipped::folder("prometheus/tests"), "yml") {
        assert_sound("promtool", &["test", "rules", file.to_str().unwrap()], "");
    }
    let names: BTreeSet<String> = shipped::alerts().into_iter().map(|alert| alert.name).collect();
    assert_eq!(names, shipped::alerts_that_fire_in_their_tests());
}

#[test]
fn each_alert_links_to_what_to_do() {
    for alert in shipped::alerts() {
        let (file, anchor) = alert.runbook.split_once('#').expect("a section");
        assert_eq!(anchor, alert.name.to_lowercase());
        let text = fs::read_to_string(root().join(file)).unwrap();
        let heading = format!("### {}\n", alert.name);
        let section = text.split_once(&heading).unwrap_or_else(|| panic!("{file} has no section {}", alert.name)).1;
        let section = section.split("\n### ").next().unwrap_or_default();
        assert!(section.trim().len() > 100, "the section {} of {file} says too little", alert.name);
    }
}

/// Asserts that the names in rules and dashboards are metrics.
#[track_caller]
pub(super) fn assert_known(names: &BTreeSet<String>) {
    let alerts = shipped::alerts().into_iter().map(|alert| alert.query);
    for query in alerts.chain(shipped::panel_queries()).chain(shipped::variable_queries()) {
        let unknown: Vec<String> =
            metrics_of(&query.expr).into_iter().filter(|name| name != "up" && !names.contains(name)).collect();
        assert!(unknown.is_empty(), "nothing exports {unknown:?}, which {} asks for", query.of);
    }
}

#[test]
fn each_panel_has_its_place_and_a_query_that_prometheus_understands() {
    let queries = [shipped::panel_queries(), shipped::variable_queries()].concat();
    let rules: Vec<Value> = queries
        .iter()
        .enumerate()
        .map(|(index, query)| serde_json::json!({"record": format!("panel:{index}"), "expr": query.expr}))
        .collect();
    // JSON is a subset of YAML.
    let rules = serde_json::json!({"groups": [{"name": "panels", "rules": rules}]}).to_string();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("panels.yml");
    fs::write(&file, rules).unwrap();
    assert_sound("promtool", &["check", "rules", file.to_str().unwrap()], "");
    for (path, dashboard) in shipped::dashboards() {
        assert_sound_layout(&path, &dashboard);
    }
}

/// Panels have unique ids and do not overlap.
fn assert_sound_layout(path: &Path, dashboard: &Value) {
    let panels = dashboard["panels"].as_array().expect("panels");
    let ids: BTreeSet<u64> = panels.iter().map(|panel| panel["id"].as_u64().expect("an id")).collect();
    assert_eq!(ids.len(), panels.len(), "{}: ids are not distinct", path.display());
    let mut taken = BTreeSet::new();
    for panel in panels {
        let place = |key: &str| panel["gridPos"][key].as_u64().expect("a place");
        assert!(place("x") + place("w") <= 24, "{}: {} is too wide", path.display(), panel["title"]);
        for x in place("x")..place("x") + place("w") {
            for y in place("y")..place("y") + place("h") {
                assert!(taken.insert((x, y)), "{}: {} lies on another", path.display(), panel["title"]);
            }
        }
    }
}
