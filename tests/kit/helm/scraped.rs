//! Metrics of all parts of a release in a real Prometheus, which judges them by the rules of the release.
//!
//! No Prometheus with access to Kubernetes could be obtained. The tests therefore look up the targets in the cluster, by the
//! selectors, ports and labels of the `ServiceMonitor` or `PodMonitor`, as the Prometheus operator does.

use std::collections::BTreeMap;
use std::fs;

use serde_json::{Value, json};

use super::installed::add_operators_kinds;
use super::release::{Release, the_cluster};
use crate::http;
use crate::part::part;
use crate::telemetry::process::{Process, free_port};
use crate::waiting::eventually_or;

/// Alerts about the network, which only a registry or a collector has the data for.
const OF_THE_NETWORK: [&str; 5] =
    ["RegistryDown", "MixnodeProbeFailing", "MixnodeReputationFalling", "MonitorSilent", "CollectorDown"];

/// Addresses by job.
type Targets = BTreeMap<String, Vec<String>>;

#[test]
fn alerts_about_nodes_registry_and_collector_have_data() {
    add_operators_kinds();
    let values = "registry.enabled=true,registry.monitor.every=1s,network.mode=clusterOnly,node.layers=1,\
                  collector.enabled=true,collector.image.repository=localhost/otelcol,collector.image.tag=kit,\
                  metrics.serviceMonitor.enabled=true,metrics.prometheusRule.enabled=true";
    let release = Release::install("registry-test", "restricted", &["--set", values]);
    let targets = service_targets(&release);
    let by_services = counts(&targets);
    assert_eq!(by_services, [("collector", 1), ("mixnode", 1), ("registry", 1)]);
    all_alerts_have_data(&release, &targets);

    let other = "metrics.serviceMonitor.enabled=false,metrics.podMonitor.enabled=true";
    release.upgrade(&["--reuse-values", "--set", other]);
    assert_eq!(pod_targets(&release), targets, "the PodMonitor selects the same");
}

fn counts(targets: &Targets) -> Vec<(&str, usize)> {
    targets.iter().map(|(job, addresses)| (job.as_str(), addresses.len())).collect()
}

/// An object of the release as the API server has it.
fn object(release: &Release, kind: &str) -> Value {
    let name = format!("{}-nym-mixnode", release.name);
    serde_json::from_str(&release.kubectl(&["get", kind, &name, "-o", "json"])).expect("JSON")
}

/// The selected objects of this kind.
fn selected(release: &Release, kind: &str, selector: &Value) -> Vec<Value> {
    let labels = selector["matchLabels"].as_object().expect("labels").iter();
    let mut terms: Vec<_> = labels.map(|(key, value)| format!("{key}={}", text(value))).collect();
    for expression in selector["matchExpressions"].as_array().expect("expressions") {
        assert_eq!(expression["operator"], "In");
        let values: Vec<_> = expression["values"].as_array().expect("values").iter().map(text).collect();
        terms.push(format!("{} in ({})", text(&expression["key"]), values.join(",")));
    }
    let list = release.kubectl(&["get", kind, "-l", &terms.join(","), "-o", "json"]);
    let list: Value = serde_json::from_str(&list).expect("JSON");
    list["items"].as_array().expect("objects").clone()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text")).to_owned()
}

fn job(monitor: &Value, selected: &Value) -> String {
    text(&selected["metadata"]["labels"][text(&monitor["spec"]["jobLabel"])])
}

/// The names of the ports to scrape. All serve `/metrics`.
fn ports(endpoints: &Value) -> Vec<String> {
    let endpoints = endpoints.as_array().expect("endpoints").iter();
    endpoints
        .map(|endpoint| {
            assert_eq!(endpoint["path"], "/metrics");
            text(&endpoint["port"])
        })
        .collect()
}

fn service_targets(release: &Release) -> Targets {
    let monitor = object(release, "servicemonitor");
    let names = ports(&monitor["spec"]["endpoints"]);
    let mut targets = Targets::new();
    for service in selected(release, "services", &monitor["spec"]["selector"]) {
        let name = text(&service["metadata"]["name"]);
        let endpoints = release.kubectl(&["get", "endpoints", &name, "-o", "json"]);
        let endpoints: Value = serde_json::from_str(&endpoints).expect("JSON");
        let found = targets.entry(job(&monitor, &service)).or_default();
        for subset in endpoints["subsets"].as_array().expect("subsets") {
            let ports = subset["ports"].as_array().expect("ports").iter();
            for port in ports.filter(|port| names.contains(&text(&port["name"]))) {
                let addresses = subset["addresses"].as_array().expect("addresses").iter();
                found.extend(addresses.map(|address| format!("{}:{}", text(&address["ip"]), port["port"])));
            }
        }
    }
    targets
}

fn pod_targets(release: &Release) -> Targets {
    let monitor = object(release, "podmonitor");
    let names = ports(&monitor["spec"]["podMetricsEndpoints"]);
    let mut targets = Targets::new();
    for pod in selected(release, "pods", &monitor["spec"]["selector"]) {
        let containers = pod["spec"]["containers"].as_array().expect("containers").iter();
        let ports = containers.flat_map(|container| container["ports"].as_array().expect("ports"));
        let ports = ports.filter(|port| names.contains(&text(&port["name"])));
        let address = |port: &Value| format!("{}:{}", text(&pod["status"]["podIP"]), port["containerPort"]);
        targets.entry(job(&monitor, &pod)).or_default().extend(ports.map(address));
    }
    targets
}

/// Whether the expressions that the alerts compare with a threshold have values, and exactly the targets are up.
fn all_alerts_have_data(release: &Release, targets: &Targets) {
    let folder = the_cluster().dir().join("prometheus");
    fs::create_dir(&folder).expect("a folder");
    let rules = object(release, "prometheusrule")["spec"].clone();
    let jobs: Vec<_> = targets.iter().map(|(job, addresses)| scrape(job, addresses)).collect();
    let config = json!({
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": ["rules.json"],
        "scrape_configs": jobs,
    });
    for (name, content) in [("config.json", &config), ("rules.json", &rules)] {
        fs::write(folder.join(name), content.to_string()).expect("a file");
    }
    let url = format!("http://127.0.0.1:{}", free_port());
    let mut prometheus = Process::start("prometheus", &part("prometheus"), &folder, |command| {
        command.args(["--config.file=config.json", "--storage.tsdb.path=series"]);
        command.arg(format!("--web.listen-address={}", url.trim_start_matches("http://")));
    });
    prometheus.wait_for(&format!("{url}/-/ready"));
    for name in OF_THE_NETWORK {
        let measured = measured(&rules, name);
        let values = eventually_or(
            &format!("{name} has data"),
            || Some(query(&url, &measured)).filter(|values| !values.is_empty()),
            || prometheus.log(),
        );
        eprintln!("{name}: {measured} = {values:?}");
    }
    for (job, addresses) in targets {
        let is_up = format!("up{{job=\"{job}\"}} == 1");
        let all = || (query(&url, &is_up).len() == addresses.len()).then_some(());
        eventually_or(&format!("all targets of {job} are up"), all, || prometheus.log());
    }
    let nodes = query(&url, &measured(&rules, "MixnodeDown"));
    assert_eq!(nodes.len(), targets["mixnode"].len(), "MixnodeDown is about nodes alone");
}

fn scrape(job: &str, addresses: &[String]) -> Value {
    json!({"job_name": job, "static_configs": [{"targets": addresses}]})
}

/// What the alert compares with its threshold.
fn measured(rules: &Value, alert: &str) -> String {
    let groups = rules["groups"].as_array().expect("groups").iter();
    let mut rules = groups.flat_map(|group| group["rules"].as_array().expect("rules"));
    let rule = rules.find(|rule| rule["alert"] == alert).unwrap_or_else(|| panic!("no alert {alert}"));
    let expression = text(&rule["expr"]);
    let mut words = expression.trim().rsplitn(3, ' ');
    let (threshold, operator) = (words.next().expect("a threshold"), words.next().expect("an operator"));
    assert!(threshold.parse::<f64>().is_ok() && ["==", "<", ">"].contains(&operator), "{expression}");
    words.next().expect("a left side").to_owned()
}

fn query(url: &str, expression: &str) -> Vec<Value> {
    let mut url = url::Url::parse(&format!("{url}/api/v1/query")).expect("a URL");
    url.query_pairs_mut().append_pair("query", expression);
    let body = http::get(url.as_str()).unwrap_or_else(|| panic!("Prometheus refuses {expression}"));
    let body: Value = serde_json::from_str(&body).expect("JSON");
    body["data"]["result"].as_array().expect("a vector").iter().map(|sample| sample["value"][1].clone()).collect()
}
