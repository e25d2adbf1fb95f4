//! Every example of `ci/` can be installed, becomes ready, passes `helm test`, and mixes.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;

use super::private_network::{directory_inside, probe};
use super::release::{Release, said, the_cluster};
use super::{chart, examples};
use crate::cluster::succeeded;
use crate::part::part;
use crate::waiting::eventually;

/// Examples that other modules install, or need to simulate more: a cloud, a database, a proxy.
const ELSEWHERE: [&str; 8] =
    ["database", "explorer", "host-network", "load-balancer", "node-port", "openshift", "private-network", "tls"];

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
        if name == "existing-secret" {
            make_secret(name, &KEY_FILES);
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
    the_secrets_identity_runs();
}

const KEY_FILES: [&str; 4] = ["private_identity.pem", "public_identity.pem", "private_sphinx.pem", "public_sphinx.pem"];

/// Creates a Secret with these files of a new node.
fn make_secret(namespace: &str, files: &[&str]) {
    let home = the_cluster().dir().join("homes").join(namespace);
    let made = Command::new(env!("CARGO_BIN_EXE_nym-mixnode"))
        .args(["init", "--id", "mix", "--layer", "1", "--host", "10.0.0.1", "--allow-private", "--home"])
        .arg(&home)
        .output()
        .expect("the program");
    assert!(made.status.success(), "{}", said(&made));
    let file = |name: &&str| format!("--from-file={}", home.join("mixnodes/mix/data").join(name).display());
    let files: Vec<_> = files.iter().map(file).collect();
    let mut arguments = vec!["-n", namespace, "create", "secret", "generic", "node-keys"];
    arguments.extend(files.iter().map(String::as_str));
    the_cluster().kubectl(&arguments);
}

fn the_secrets_identity_runs() {
    let public = the_cluster().dir().join("homes/existing-secret/mixnodes/mix/data/public_identity.pem");
    assert!(public.exists());
    let shown = Command::new(env!("CARGO_BIN_EXE_nym-mixnode"))
        .args(["keys", "show", "--id", "mix", "--home"])
        .arg(the_cluster().dir().join("homes/existing-secret"))
        .output()
        .expect("the program");
    let identity = Release::named("existing-secret").identity(0);
    assert!(said(&shown).contains(&identity), "{identity} is not in {}", said(&shown));
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
    make_secret("half", &KEY_FILES[..3]);
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
