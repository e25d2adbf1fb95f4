//! Linters and documents of the chart, and the files that it copies.

use std::fs;
use std::process::Command;

use serde_json::Value;

use super::release::said;
use super::{chart, examples};
use crate::cluster::helm_program;
use crate::part::{part, root};

#[test]
fn helm_and_the_linter_of_yaml_find_nothing() {
    for (name, values) in examples() {
        let lint = Command::new(helm_program()).args(["lint", "--strict", &chart(), "-f"]).arg(values).output();
        let lint = lint.expect("helm");
        assert!(lint.status.success(), "{name}: {}", said(&lint));
    }
    let files = [format!("{}/values.yaml", chart()), format!("{}/Chart.yaml", chart()), format!("{}/ci", chart())];
    let rules =
        "{extends: default, rules: {document-start: disable, line-length: {max: 120}, braces: {max-spaces-inside: 1}}}";
    let lint = Command::new(part("yamllint")).args(["--strict", "-d", rules]).args(files).output().expect("yamllint");
    assert!(lint.status.success(), "{}", said(&lint));
}

#[test]
fn the_readme_is_generated_from_the_comments_of_the_values() {
    let made = Command::new(part("helm-docs"))
        .args(["--dry-run", "--sort-values-order", "file", "--chart-search-root", &chart()])
        .output()
        .expect("helm-docs");
    let made = String::from_utf8(made.stdout).expect("text");
    let path = root().join("helm/nym-mixnode/README.md");
    let is = fs::read_to_string(&path).unwrap_or_default();
    assert!(is.trim() == made.trim(), "{} is out of date: run make chart-docs", path.display());
}

#[test]
fn copied_files_equal_their_originals() {
    for (copy, original) in [
        ("defaults.yaml", "helm/nym-mixnode/values.yaml"),
        ("collector.yaml", "deploy/collector/config.yaml"),
        ("rules.yml", "deploy/prometheus/rules/mixnode.yml"),
        ("dashboards/mixnodes.json", "deploy/grafana/dashboards/mixnodes.json"),
        ("dashboards/mixnet.json", "deploy/grafana/dashboards/mixnet.json"),
    ] {
        let copy = root().join("helm/nym-mixnode/files").join(copy);
        let same = fs::read(&copy).unwrap() == fs::read(root().join(original)).unwrap();
        assert!(same, "{} differs from {original}: run make chart-docs", copy.display());
    }
}

/// Sections and keys for which the chart has separate values.
const MANAGED: [&str; 14] = [
    "node.",
    "listen.",
    "keys.",
    "http.",
    "shutdown.",
    "limits.",
    "announce.source",
    "announce.service",
    "announce.allow_private",
    "announce.recheck",
    "announce.port",
    "directory.url",
    "directory.metrics_url",
    "address.cloud",
];

/// As [`MANAGED`], for `gateway.settings`.
const MANAGED_OF_GATEWAYS: [&str; 6] = [
    "gateway.listen",
    "gateway.announce_url",
    "gateway.tls_listen",
    "gateway.tls_announce_url",
    "gateway.tls_certificate_file",
    "gateway.tls_key_file",
];

#[test]
fn the_schema_knows_every_other_setting() {
    let read = |path: &str| -> Value { serde_json::from_slice(&fs::read(root().join(path)).unwrap()).unwrap() };
    let configuration = read("docs/configuration.schema.json");
    let schema = read("helm/nym-mixnode/values.schema.json");
    let mut settings = Vec::new();
    for (section, content) in configuration["properties"].as_object().expect("sections") {
        let keys = content["properties"].as_object().expect("keys").keys();
        settings.extend(keys.map(|key| format!("{section}.{key}")));
    }
    settings.sort();
    settings.retain(|key| !MANAGED.iter().any(|managed| key.starts_with(managed)));
    let knows = |path: &str, expected: Vec<&String>| {
        let known = schema.pointer(path).and_then(Value::as_object).expect("settings");
        let mut known: Vec<_> = known.keys().collect();
        known.sort();
        assert_eq!(known, expected, "the schema of the chart is out of date: run make chart-docs");
    };
    let of_mixnodes = settings.iter().filter(|key| !key.starts_with("gateway."));
    knows("/properties/settings/properties", of_mixnodes.collect());
    let of_gateways = settings.iter().filter(|key| !MANAGED_OF_GATEWAYS.contains(&key.as_str()));
    knows("/properties/gateway/properties/settings/properties", of_gateways.collect());
}

#[test]
fn policy_scanners_find_nothing() {
    let chart = chart();
    let values = format!("{chart}/ci/private-network-values.yaml");
    let trivy = Command::new(part("trivy"))
        .args(["config", "--skip-check-update", "--exit-code", "1", "--helm-kube-version", "1.37.0"])
        .args(["--helm-values", &values, "--ignorefile", &format!("{chart}/.trivyignore"), &chart])
        .output()
        .expect("trivy");
    let told = said(&trivy);
    assert!(trivy.status.success() && told.contains("num=") && !told.contains("num=0"), "{told}");

    let rendered = tempfile::Builder::new().prefix("chart-").tempdir().expect("a directory");
    let render = Command::new(helm_program())
        .args(["template", "mix", &chart, "-n", "mix", "-f", &values, "--output-dir"])
        .arg(rendered.path())
        .output()
        .expect("helm");
    assert!(render.status.success(), "{}", said(&render));
    let checkov = Command::new(part("checkov"))
        .args(["--framework", "kubernetes", "--compact", "--quiet", "--skip-download", "-d"])
        .arg(rendered.path())
        .output()
        .expect("checkov");
    let told = said(&checkov);
    assert!(told.contains("Failed checks: 0") && !told.contains("Passed checks: 0"), "{told}");
}

/// The commands of a document that start with `start`, each on one line.
fn commands(text: &str, start: &str) -> Vec<String> {
    let whole = text.replace("\\\n", "");
    let commands = whole.lines().filter(|line| line.starts_with(start));
    commands.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

/// Documents install the image that they build.
#[test]
fn the_commands_of_the_documents_work() {
    let version = fs::read_to_string(root().join("helm/nym-mixnode/Chart.yaml")).expect("Chart.yaml");
    let version = version.lines().find_map(|line| line.strip_prefix("appVersion: ")).expect("a version").to_owned();
    for document in ["docs/kubernetes.md", "helm/nym-mixnode/README.md"] {
        let text = fs::read_to_string(root().join(document)).expect("a document");
        let installs = commands(&text, "helm install ");
        assert!(installs.len() >= 2, "{document}: {installs:?}");
        let builds = commands(&text, "docker build -t ");
        for install in installs {
            let words: Vec<_> = install.split(' ').skip(2).collect();
            let render = Command::new(helm_program()).arg("template").args(words).current_dir(root()).output();
            let render = render.expect("helm");
            assert!(render.status.success(), "{document}: {install}: {}", said(&render));
            let rendered = said(&render);
            let image = rendered.lines().find_map(|line| line.trim().strip_prefix("image: ")).expect("an image");
            let image = image.trim_matches('"');
            assert!(image.ends_with(&version), "{document}: {image}");
            let is_built = builds.iter().any(|build| build.split(' ').any(|word| word == image));
            assert!(is_built, "{document}: {image} is not built: {builds:?}");
        }
    }
}
