//! Registries of a release that share a PostgreSQL database.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;

use super::chart;
use super::release::{Release, said, the_cluster};
use super::{installed, proxied};
use crate::cluster::{HOST_V4, succeeded};
use crate::http;
use crate::part::root;
use crate::postgres::Server;
use crate::waiting::eventually;

pub(super) const TOKEN: &str = "0123456789abcdef0123456789abcdef";

#[test]
fn registries_on_one_database_serve_one_network_with_one_monitor() {
    the_cluster().namespace("database", "restricted");
    let server = Server::at(HOST_V4.parse().expect("an address"));
    let release = Release::named("database");
    let values = ["database", "explorer"].map(|name| root().join(format!("helm/nym-mixnode/ci/{name}-values.yaml")));
    let values = values.map(|path| path.display().to_string());
    let flags = ["-f", &values[0], "-f", &values[1]];
    installed::add_operators_kinds();

    refused(&release, "install", &flags, "the Secret registry-database does not exist in the namespace database");
    make_secret(&release, "registry-database", "url", &server.remote_url());
    refused(&release, "install", &flags, "the Secret registry-database has no key uri");
    release.kubectl(&["delete", "secret", "registry-database"]);
    make_secret(&release, "registry-database", "uri", &server.remote_url());
    make_secret(&release, "registry-token", "monitor.token", TOKEN);
    succeeded("helm install", &flags, &release.helm("install", &chart(), &flags));

    let pods = registries(&release);
    assert_eq!(pods.len(), 2);
    let claims = release.kubectl(&["get", "pvc", "-o", "name"]);
    assert_eq!(claims.trim(), "persistentvolumeclaim/data-database-nym-mixnode-0", "only the node has a volume");
    let identity = release.identity(0);
    one_network_is_served(&pods, &identity);
    one_monitor_measures(&release, &pods, &identity);
    a_registry_is_replaced(&release, &pods, &identity);
    release.test();
    proxied::the_explorer_is_reached_through_proxies(&release);
    let log = release.kubectl(&["logs", "-l", "app.kubernetes.io/component=registry", "--tail=-1"]);
    assert!(!log.contains("kit-secret") && !log.contains(TOKEN), "{log}");
    refused(
        &release,
        "upgrade",
        &["--reuse-values", "--set", "registry.replicas=1,registry.database.existingSecret="],
        "the store of this release is a database, and would now be a file",
    );
}

/// An upgrade from the store on a volume would start with an empty one.
#[test]
fn a_registry_with_a_store_on_a_volume_keeps_it() {
    let release = super::private_network::network();
    make_secret(release, "other-store", "url", "postgres://nym@db.example/nym");
    let flags = ["--reuse-values", "--set", "registry.database.existingSecret=other-store"];
    refused(release, "upgrade", &flags, "the store of this release is a file, and would now be a database");
}

fn refused(release: &Release, verb: &str, flags: &[&str], reason: &str) {
    let output = release.helm(verb, &chart(), flags);
    assert!(!output.status.success() && said(&output).contains(reason), "{}", said(&output));
}

fn make_secret(release: &Release, name: &str, key: &str, text: &str) {
    release.kubectl(&["create", "secret", "generic", name, &format!("--from-literal={key}={text}")]);
}

/// Names and URLs of the registries that are ready.
fn registries(release: &Release) -> BTreeSet<(String, String)> {
    let path = "jsonpath={range .items[*]}{.metadata.name} {.status.podIP} {.metadata.deletionTimestamp} \
                {.status.containerStatuses[0].ready}{\"\\n\"}{end}";
    let pods = release.kubectl(&["get", "pods", "-l", "app.kubernetes.io/component=registry", "-o", path]);
    let pods = pods.lines().filter_map(|line| {
        let words: Vec<_> = line.split_whitespace().collect();
        let [name, ip, "true"] = words[..] else { return None };
        Some((name.to_owned(), format!("http://{ip}:8081")))
    });
    pods.collect()
}

fn topology(url: &str) -> Option<Value> {
    serde_json::from_str(&http::get(&format!("{url}/api/mixmining/topology"))?).ok()
}

fn lists(topology: &Value, identity: &str) -> bool {
    topology["mixNodes"].as_array().is_some_and(|nodes| nodes.iter().any(|node| node["identityKey"] == identity))
}

fn one_network_is_served(pods: &BTreeSet<(String, String)>, identity: &str) {
    let mut keys = BTreeSet::new();
    for (name, url) in pods {
        let topology = eventually(&format!("{name} lists the node"), || {
            topology(url).filter(|topology| lists(topology, identity))
        });
        let returns = topology["testAddresses"].as_array().expect("test addresses").len();
        assert!(returns >= pods.len(), "nodes forward the test packets of all registries: {topology}");
        keys.insert(topology["registryKey"].to_string());
        let counts = format!("{url}/api/metrics/mixes");
        assert!(http::get_with(&counts, TOKEN).is_some(), "{name} refuses the token of the Secret");
        assert!(http::get_with(&counts, &TOKEN.replace('0', "1")).is_none(), "{name} accepts another token");
    }
    assert_eq!(keys.len(), 1, "the registries have one key");
}

fn one_monitor_measures(release: &Release, pods: &BTreeSet<(String, String)>, identity: &str) {
    let monitors = processes("database-nym-mixnode-registry", &["monitor", "--with-monitor"]);
    assert_eq!(monitors, 1, "processes that measure");
    for (name, url) in pods {
        eventually(&format!("{name} publishes reputation"), || {
            let metrics = http::get(&format!("{url}/metrics"))?;
            let prefix = format!("mix_registry_node_reputation{{identity=\"{identity}\"");
            let line = metrics.lines().find(|line| line.starts_with(&prefix))?;
            line.rsplit(' ').next()?.parse::<f64>().ok().filter(|reputation| *reputation > 0.0)
        });
    }
    let arguments = "jsonpath={.items[*].spec.containers[0].args}";
    let pods = release.kubectl(&["get", "pods", "-l", "app.kubernetes.io/component=registry", "-o", arguments]);
    assert!(!pods.contains("kit-secret"), "{pods}");
}

/// Processes of the program that have this text in their command and one of the words as an argument.
fn processes(text: &str, words: &[&str]) -> usize {
    let all = fs::read_dir("/proc").expect("/proc").flatten();
    let command = |process: &Path| fs::read(process.join("cmdline")).unwrap_or_default();
    let commands = all.map(|entry| String::from_utf8_lossy(&command(&entry.path())).into_owned());
    let is_one = |command: &String| {
        let arguments: Vec<_> = command.split('\0').collect();
        arguments[0] == "/nym-mixnode" && command.contains(text) && words.iter().any(|word| arguments.contains(word))
    };
    commands.filter(is_one).count()
}

fn a_registry_is_replaced(release: &Release, pods: &BTreeSet<(String, String)>, identity: &str) {
    let (first, _) = pods.first().expect("a registry");
    let (other, url) = pods.last().expect("another one");
    release.kubectl(&["delete", "pod", first, "--wait=false"]);
    eventually("another registry in its place", || {
        let now = topology(url).unwrap_or_else(|| panic!("{other} does not answer"));
        assert!(lists(&now, identity), "{other} has lost the node");
        let pods = registries(release);
        (pods.len() == 2 && pods.iter().all(|(name, _)| name != first)).then_some(())
    });
    one_network_is_served(&registries(release), identity);
}
