//! Alerts about missing parts fire for every name of a release: the monitors of the chart set `job`, and nothing derives
//! from names of releases, objects or namespaces.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use super::chart;
use super::release::said;
use crate::cluster::helm_program;
use crate::http;
use crate::part::part;
use crate::telemetry::process::{Process, free_port};
use crate::waiting::eventually_or;

/// Names of releases, their namespaces, and further values.
const SPELLINGS: [(&str, &str, &str); 3] = [
    ("mix", "default", "metrics.serviceMonitor.enabled=true"),
    ("registry", "collector", "metrics.podMonitor.enabled=true,nameOverride=nodes"),
    ("1", "9991103", "metrics.serviceMonitor.enabled=true,fullnameOverride=on,commonLabels.job=mine"),
];

const EXPECTED: [(&str, &str); 3] =
    [("CollectorDown", "collector"), ("MixnodeDown", "mixnode"), ("RegistryDown", "registry")];

/// The objects of a release, with all of its parts.
fn objects(release: &str, namespace: &str, values: &str) -> Vec<Value> {
    let parts = "image.repository=localhost/nym-mixnode,network.mode=clusterOnly,registry.enabled=true,collector.enabled=true,\
                 metrics.prometheusRule.enabled=true";
    let output = Command::new(helm_program())
        .args(["template", release, &chart(), "-n", namespace, "--set", parts, "--set", values])
        .output()
        .expect("helm");
    assert!(output.status.success(), "{}", said(&output));
    let text = String::from_utf8(output.stdout).expect("text");
    let documents = text.split("\n---\n").filter(|document| document.contains("\nkind: "));
    documents
        .map(|document| serde_saphyr::from_str(document).unwrap_or_else(|error| panic!("{error}: {document}")))
        .collect()
}

/// The labels of what the monitor looks at: Services, or templates of pods.
fn labels(objects: &[Value], monitor: &Value) -> Vec<Value> {
    let at = if monitor["kind"] == "PodMonitor" { "/spec/template/metadata/labels" } else { "/metadata/labels" };
    let kinds: &[&str] = if monitor["kind"] == "PodMonitor" { &["StatefulSet", "Deployment"] } else { &["Service"] };
    let looked_at = objects.iter().filter(|object| kinds.iter().any(|kind| object["kind"] == *kind));
    looked_at
        .filter_map(|object| object.pointer(at).cloned())
        .filter(|labels| selects(&monitor["spec"]["selector"], labels))
        .collect()
}

fn selects(selector: &Value, labels: &Value) -> bool {
    let equal = selector["matchLabels"].as_object().expect("labels").iter().all(|(key, value)| labels[key] == *value);
    let is_one_of = |expression: &Value| {
        let key = expression["key"].as_str().expect("a key");
        expression["operator"] == "In" && expression["values"].as_array().expect("values").contains(&labels[key])
    };
    equal && selector["matchExpressions"].as_array().expect("expressions").iter().all(is_one_of)
}

/// The jobs of a release, as the Prometheus operator names them.
fn jobs(objects: &[Value]) -> BTreeSet<String> {
    let is_monitor = |object: &&Value| object["kind"] == "ServiceMonitor" || object["kind"] == "PodMonitor";
    let monitor = objects.iter().find(is_monitor).expect("a monitor");
    let label = monitor["spec"]["jobLabel"].as_str().expect("a label");
    labels(objects, monitor).iter().map(|labels| labels[label].as_str().expect("a job").to_owned()).collect()
}

#[test]
fn alerts_about_missing_parts_fire_for_every_name_of_a_release() {
    let folder = tempfile::tempdir().expect("a directory");
    let mut scrapes = Vec::new();
    let mut rules = Value::Null;
    for (release, namespace, values) in SPELLINGS {
        let objects = objects(release, namespace, values);
        // Nothing listens there.
        let config = |job: String| {
            let targets =
                json!([{"targets": [format!("127.0.0.1:{}", free_port())], "labels": {"namespace": namespace}}]);
            json!({"job_name": format!("{namespace}/{job}"), "static_configs": targets,
                "relabel_configs": [{"target_label": "job", "replacement": job}]})
        };
        scrapes.extend(jobs(&objects).into_iter().map(config));
        rules = objects.iter().find(|object| object["kind"] == "PrometheusRule").expect("rules")["spec"].clone();
    }
    for rule in rules["groups"]
        .as_array_mut()
        .expect("groups")
        .iter_mut()
        .flat_map(|group| group["rules"].as_array_mut().expect("rules"))
    {
        rule["for"] = json!("1s");
    }
    let config = json!({"global": {"scrape_interval": "1s", "evaluation_interval": "1s"}, "rule_files": ["rules.json"], "scrape_configs": scrapes});
    for (name, content) in [("config.json", &config), ("rules.json", &rules)] {
        fs::write(folder.path().join(name), content.to_string()).expect("a file");
    }
    let url = format!("http://127.0.0.1:{}", free_port());
    let mut prometheus = Process::start("prometheus", &part("prometheus"), folder.path(), |command| {
        command.args(["--config.file=config.json", "--storage.tsdb.path=series"]);
        command.arg(format!("--web.listen-address={}", url.trim_start_matches("http://")));
    });
    prometheus.wait_for(&format!("{url}/-/ready"));
    let expected: BTreeSet<_> = SPELLINGS
        .iter()
        .flat_map(|(_, namespace, _)| EXPECTED.map(|(alert, job)| [*namespace, alert, job].map(str::to_owned)))
        .collect();
    let all = || (firing(&url)? == expected).then_some(());
    eventually_or("the alerts fire", all, || format!("{:?} {}", firing(&url), prometheus.log()));
}

/// Namespace, name and job of each firing alert.
fn firing(url: &str) -> Option<BTreeSet<[String; 3]>> {
    let alerts: Value = serde_json::from_str(&http::get(&format!("{url}/api/v1/alerts"))?).ok()?;
    let alerts = alerts["data"]["alerts"].as_array()?.iter().filter(|alert| alert["state"] == "firing");
    let label = |alert: &Value, name: &str| alert["labels"][name].as_str().unwrap_or_default().to_owned();
    Some(alerts.map(|alert| ["namespace", "alertname", "job"].map(|name| label(alert, name))).collect())
}
