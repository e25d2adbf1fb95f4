//! The Helm chart: rejected values, rendered objects, and installations in a real Kubernetes in which nodes mix.
//!
//! The cluster validates and stores a `NetworkPolicy`, but does not enforce it.

mod addresses;
mod database;
mod documents;
mod failing;
mod forced;
mod gateways;
mod installed;
mod kept;
mod names;
mod nulls;
mod openshift;
mod private_network;
mod proxied;
mod refusals;
mod release;
mod rendered;
mod scraped;
mod spellings;
mod stops;
mod tls;
mod traffic;
mod upgrades;

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::cluster::helm_program;
use crate::image;
use crate::part::root;

/// Path of the chart.
fn chart() -> String {
    root().join("helm/nym-mixnode").display().to_string()
}

/// The page of the documentation about the chart.
fn documentation() -> String {
    fs::read_to_string(root().join("docs/kubernetes.md")).expect("the documentation")
}

/// Example values of the chart, one file per feature, by name.
fn examples() -> Vec<(String, PathBuf)> {
    let entries = fs::read_dir(root().join("helm/nym-mixnode/ci")).expect("the chart's ci");
    let named = entries.filter_map(|entry| {
        let path = entry.ok()?.path();
        let name = path.file_name()?.to_str()?.strip_suffix("-values.yaml")?.to_owned();
        Some((name, path))
    });
    let mut named: Vec<_> = named.collect();
    named.sort();
    assert!(named.len() >= 8, "the examples are not where they were: {named:?}");
    named
}

/// Renders the chart with these flags without a cluster.
fn template(flags: &[&str]) -> Result<String, String> {
    template_of(&chart(), flags)
}

/// Renders another chart.
fn template_of(chart: &str, flags: &[&str]) -> Result<String, String> {
    let output = Command::new(helm_program()).args(["template", "mix", chart]).args(flags).output().expect("helm");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

/// Flags for a small and busy machine: the local image, few resources, short waits.
fn here() -> Vec<String> {
    let image = image::tag();
    let (repository, tag) = image.split_once(':').expect("a tag");
    let values = [
        format!("image.repository={repository}"),
        format!("image.tag={tag}"),
        "resources.requests.cpu=10m".to_owned(),
        "resources.requests.memory=32Mi".to_owned(),
        "probes.periodSeconds=1".to_owned(),
        "tests.nofileMin=4096".to_owned(),
        "network.recheck=2s".to_owned(),
        // The test pods and probers of the private network have private addresses.
        "network.allowPrivate=true".to_owned(),
        "settings.directory\\.topology_refresh=1s".to_owned(),
    ];
    values.into_iter().flat_map(|value| ["--set".to_owned(), value]).collect()
}
