//! Every example of `ci/` can be installed, becomes ready, passes `helm test`, and mixes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use super::private_network::{directory_inside, probe};
use super::release::{Release, said, the_cluster};
use super::{chart, examples};
use crate::cluster::succeeded;
use crate::part::part;
use crate::waiting::eventually;

/// Examples that other modules install, or need to simulate more: a cloud, a database, a proxy.
const ELSEWHERE: [&str; 10] = [
    "backup",
    "database",
    "explorer",
    "gateway",
    "host-network",
    "load-balancer",
    "node-port",
    "openshift",
    "private-network",
    "tls",
];

#[test]
fn the_api_server_takes_every_example() {
    let cluster = the_cluster();
    add_operators_kinds();
    cluster.namespace("examples", "privileged");
    for (name, values) in examples() {
        let values = values.display().to_string();
        // The ports of the example are in use by its release.
        let flags = ["-n", "examples", "-f", &values, "--set", "network.nodePort.first=32000"];
        let rendered = cluster.helm(&[&["template", "mix", &chart()], &flags[..]].concat());
        let path = cluster.dir().join(format!("{name}.yaml"));
        fs::write(&path, rendered).expect("a file");
        let path = path.display().to_string();
        cluster.kubectl(&["apply", "-n", "examples", "--dry-run=server", "--validate=strict", "-f", &path]);
    }
}

#[test]
fn every_example_becomes_ready_passes_its_tests_and_mixes() {
    add_operators_kinds();
    let directory = format!("directory.url={}", directory_inside());
    let install = |name: &str, values: &Path| {
        let security = if name.starts_with("host") { "privileged" } else { "restricted" };
        the_cluster().namespace(name, security);
        match name {
            "existing-secret" => make_secret(name, "node-keys", &KEY_FILES),
            "secrets" => ["node-keys-0", "node-keys-1"].iter().for_each(|secret| make_secret(name, secret, &KEY_FILES)),
            _ => {}
        }
        let release = Release::named(name);
        let values = values.display().to_string();
        let mut flags = vec!["-f", &values, "--set", &directory, "--set", "directory.metricsUrl="];
        if name == "collector" {
            flags.extend(["--set", "collector.image.repository=localhost/otelcol,collector.image.tag=kit"]);
        }
        succeeded("helm install", &[name], &release.helm("install", &chart(), &flags));
        release.test();
        probe(Some(&release.identity(0)));
    };
    thread::scope(|scope| {
        for (name, values) in examples().into_iter().filter(|(name, _)| !ELSEWHERE.contains(&name.as_str())) {
            scope.spawn(move || install(&name, &values));
        }
    });
    the_secrets_identity_runs("existing-secret", "node-keys", 0);
    the_secrets_identity_runs("secrets", "node-keys-0", 0);
    the_secrets_identity_runs("secrets", "node-keys-1", 1);
    a_container_sees_only_its_own_keys();
}

const KEY_FILES: [&str; 4] = ["private_identity.pem", "private_sphinx.pem", "public_identity.pem", "public_sphinx.pem"];

/// Where the new node of a Secret is.
fn home_of(namespace: &str, secret: &str) -> PathBuf {
    the_cluster().dir().join("homes").join(namespace).join(secret)
}

/// Creates a Secret with these files of a new node.
fn make_secret(namespace: &str, secret: &str, files: &[&str]) {
    let home = home_of(namespace, secret);
    let made = Command::new(env!("CARGO_BIN_EXE_nym-mixnode"))
        .args(["init", "--id", "mix", "--layer", "1", "--host", "10.0.0.1", "--allow-private", "--home"])
        .arg(&home)
        .output()
        .expect("the program");
    assert!(made.status.success(), "{}", said(&made));
    let file = |name: &&str| format!("--from-file={}", home.join("mixnodes/mix/data").join(name).display());
    let files: Vec<_> = files.iter().map(file).collect();
    let mut arguments = vec!["-n", namespace, "create", "secret", "generic", secret];
    arguments.extend(files.iter().map(String::as_str));
    the_cluster().kubectl(&arguments);
}

fn the_secrets_identity_runs(release: &str, secret: &str, number: usize) {
    let shown = Command::new(env!("CARGO_BIN_EXE_nym-mixnode"))
        .args(["keys", "show", "--id", "mix", "--home"])
        .arg(home_of(release, secret))
        .output()
        .expect("the program");
    let identity = Release::named(release).identity(number);
    assert!(said(&shown).contains(&identity), "{identity} is not in {}", said(&shown));
}

/// The volume of a pod contains the keys of all nodes.
fn a_container_sees_only_its_own_keys() {
    let is_node = |folder: &Path| {
        let environment = fs::read(folder.join("environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|variable| variable == b"POD_NAME=secrets-nym-mixnode-1")
    };
    let processes = fs::read_dir("/proc").expect("/proc").flatten().map(|entry| entry.path());
    let node = processes.into_iter().find(|folder| is_node(folder)).expect("the process of a node");
    let files = fs::read_dir(node.join("root/keys")).expect("its keys").flatten();
    let mut files: Vec<_> = files.map(|file| file.file_name().to_string_lossy().into_owned()).collect();
    files.sort();
    assert_eq!(files, KEY_FILES);
}

/// Installs the CRDs of the Prometheus operator and of the Gateway API without their controllers.
pub(super) fn add_operators_kinds() {
    let kinds = ["prometheus-operator-crds", "gateway-api-crds"].map(|name| part(name).display().to_string());
    the_cluster().kubectl(&["apply", "--server-side", "-f", &kinds[0], "-f", &kinds[1]]);
    // The API server serves a kind a moment after it stored its definition.
    the_cluster().kubectl(&["wait", "--for=condition=Established", "crd", "--all", "--timeout=120s"]);
}

#[test]
fn a_secret_that_is_not_there_or_lacks_a_key_is_refused() {
    the_cluster().namespace("half", "restricted");
    let refused = |reason: &str| {
        let flags = ["--set", "directory.url=http://directory,keys.existingSecret=node-keys,network.mode=clusterOnly"];
        let refused = Release::named("half").helm("install", &chart(), &flags);
        assert!(!refused.status.success() && said(&refused).contains(reason), "{}", said(&refused));
    };
    refused("the Secret node-keys does not exist in the namespace half: create it");
    make_secret("half", "node-keys", &KEY_FILES[..3]);
    refused("the Secret node-keys has no key public_sphinx.pem");
}

#[test]
fn a_node_that_may_open_too_few_files_fails_the_test_and_strictly_does_not_start() {
    let directory = format!("directory.url={},network.mode=clusterOnly,node.layer=1", directory_inside());
    let few = Release::install("few", "restricted", &["--set", &directory, "--set", "tests.nofileMin=1048576"]);
    let failed = the_cluster().try_helm(&["test", "few", "-n", "few", "--timeout", "300s"]);
    assert!(!failed.status.success(), "{}", said(&failed));
    let log = few.kubectl(&["logs", "few-nym-mixnode-test-open-files-0"]);
    assert!(log.contains("fewer than 1048576: raise LimitNOFILE of the node's container runtime"), "{log}");

    let strict = ["--reuse-values", "--set", "nofile.target=1048576,nofile.strict=true"];
    let upgrade = the_cluster().try_helm(&[&["upgrade", "few", &chart(), "-n", "few"], &strict[..]].concat());
    assert!(upgrade.status.success(), "{}", said(&upgrade));
    let log = eventually("the node says why it does not start", || {
        let log = said(&few.try_kubectl(&["logs", &few.pod(0)]));
        log.contains("limits.nofile_strict").then_some(log)
    });
    eprintln!("{log}");
    the_cluster().helm(&["uninstall", "few", "-n", "few"]);
}
