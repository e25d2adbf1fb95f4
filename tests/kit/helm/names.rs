//! Names that YAML takes for numbers or truth values, names that Services cannot have, and long names.

use std::fs;
use std::process::Command;

use super::installed::add_operators_kinds;
use super::release::{said, the_cluster};
use super::{chart, template};
use crate::cluster::helm_program;

const NAMES_OF_YAML: [&str; 4] = ["no", "on", "null", "true"];

/// Values whose names are all numbers, for all objects of the chart.
const NUMBERS: &str = r#"
image: {repository: "1.5", tag: "1e3"}
imagePullSecrets: [{name: "123"}]
nameOverride: "123"
network: {mode: loadBalancer, loadBalancer: {class: example.net/1}}
keys: {existingSecret: "1e3"}
priorityClassName: "0123"
serviceAccount: {name: "77"}
persistence: {storageClass: "1"}
commonLabels: {team: "1"}
collector: {enabled: true, image: {repository: "1.5", tag: "1e3"}}
metrics: {serviceMonitor: {enabled: true, labels: {release: "on"}}}
registry:
  enabled: true
  replicas: 2
  database: {existingSecret: "1e3", key: "1"}
  token: {existingSecret: "5"}
  tls: {existingSecret: "6"}
  priorityClassName: "0x1"
  ingress: {enabled: true, className: "1", host: "1.2", tlsSecret: "7"}
  httpRoute: {enabled: true, host: "1.3", parentRefs: [{name: "1", namespace: "2"}]}
"#;

#[test]
fn the_api_server_takes_names_that_look_like_numbers_and_truth_values() {
    let cluster = the_cluster();
    add_operators_kinds();
    cluster.namespace("9991103", "privileged");
    let values = cluster.dir().join("numbers.yaml");
    fs::write(&values, NUMBERS).expect("a file");
    let values = values.display().to_string();
    let mut all = String::new();
    let on_volumes = "keys.existingSecret=,registry.replicas=1,registry.database.existingSecret=,network.mode=nodePort";
    for (name, flags) in NAMES_OF_YAML.into_iter().flat_map(|name| [(name, ""), (name, on_volumes)]) {
        let fullname = format!("fullnameOverride={name}");
        let flags = format!("network.nodePort.first=32100,{flags}");
        let flags = ["-n", "9991103", "-f", &values, "--set-string", &fullname, "--set", &flags];
        // Only names differ, so each kind of object is looked at once.
        all.push_str(&cluster.helm(&[&["template", name, &chart()], &flags[..]].concat()));
    }
    let path = cluster.dir().join("numbers-rendered.yaml");
    fs::write(&path, all).expect("a file");
    cluster.kubectl(&["apply", "--dry-run=server", "--validate=strict", "-f", &path.display().to_string()]);
}

/// Renders the chart for a release of this name.
fn release(name: &str, flags: &[&str]) -> Result<String, String> {
    let good = "directory.url=http://directory,image.repository=localhost/nym-mixnode";
    let output = Command::new(helm_program())
        .args(["template", name, &chart(), "--set", good])
        .args(flags)
        .output()
        .expect("helm");
    if output.status.success() { Ok(said(&output)) } else { Err(said(&output)) }
}

#[test]
fn releases_whose_services_could_not_be_named_are_rejected() {
    for name in ["1mix", "123", "my.mix"] {
        let error = release(name, &[]).expect_err("a name that Services cannot have");
        assert!(error.contains(&format!("release name {name}: its Services")), "{error}");
        release(name, &["--set", "fullnameOverride=mix"]).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

#[test]
fn no_name_or_label_is_too_long() {
    let (name, over) = ("r".repeat(53), "n".repeat(40));
    let values = format!(
        "nameOverride={over},replicaCount=100,registry.enabled=true,directory.url=,collector.enabled=true,\
         metrics.serviceMonitor.enabled=true,metrics.dashboard.enabled=true"
    );
    let rendered = release(&name, &["--set", &values]).expect("long names");
    let mut seen = 0;
    for line in rendered.lines() {
        let Some((key, value)) = line.trim().trim_start_matches("- ").split_once(": ") else { continue };
        if ["name", "serviceName"].contains(&key)
            || key.starts_with("app.kubernetes.io/")
            || key.starts_with("helm.sh/chart")
        {
            let value = value.trim_matches('"');
            assert!(value.len() <= 63 && !value.ends_with('-'), "{line}");
            seen += 1;
        }
    }
    assert!(seen > 100, "{seen}");
}

#[test]
fn quantities_may_be_numbers_and_can_be_removed() {
    let values = "resources.requests.cpu=0.5,resources.limits.memory=402653184";
    let rendered =
        template(&["--set", "directory.url=http://directory,image.repository=a", "--set", values]).expect("numbers");
    assert!(rendered.contains("cpu: \"0.5\"") && rendered.contains("memory: \"402653184\""), "{rendered}");
    let removed = "resources.limits.memory=,resources.requests.cpu=";
    let set = release("mix", &["--set", removed, "-s", "templates/statefulset.yaml"]).expect("no limits");
    assert!(!set.contains("limits:") && !set.contains("cpu:") && set.contains("memory: 384Mi"), "{set}");
}
