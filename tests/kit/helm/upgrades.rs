//! Upgrades from earlier versions of the chart, rollbacks, and rejected upgrades.

use std::fs;
use std::path::PathBuf;

use super::chart;
use super::private_network::{directory_inside, network, probe};
use super::release::{Release, said, the_cluster};
use crate::cluster::succeeded;
use crate::part::root;

/// Earlier versions of the chart, packaged.
fn earlier() -> Vec<PathBuf> {
    let entries = fs::read_dir(root().join("helm/testdata")).expect("helm/testdata");
    let charts = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let mut charts: Vec<_> =
        charts.filter(|path| path.extension().is_some_and(|extension| extension == "tgz")).collect();
    charts.sort();
    assert!(!charts.is_empty(), "no earlier chart");
    charts
}

#[test]
fn every_earlier_version_is_upgraded_and_rolled_back_with_its_identity() {
    for (number, earlier) in earlier().iter().enumerate() {
        let name = format!("old-{number}");
        the_cluster().namespace(&name, "restricted");
        let release = Release::named(&name);
        let directory = format!("directory.url={},network.mode=clusterOnly,node.layer=1", directory_inside());
        // Values that later versions do not need are still accepted.
        let directory = format!("{directory},network.waitForAddress=5m");
        let flags = ["--set", &directory];
        let earlier = earlier.display().to_string();
        succeeded("helm install", &[&earlier], &release.helm("install", &earlier, &flags));
        let identity = release.identity(0);
        release.upgrade(&flags);
        assert_eq!(release.identity(0), identity, "{earlier}");
        the_cluster().helm(&["rollback", &name, "1", "-n", &name, "--wait", "--timeout", "300s"]);
        release.await_ready(0);
        assert_eq!(release.identity(0), identity, "{earlier}");
        probe(Some(&identity));
        refuses(&release, &flags, OTHER_NODES);
        refuses(&release, &flags, OTHER_VOLUMES);
    }
}

/// Upgrades that would change identities.
const OTHER_NODES: &[(&str, &str)] = &[
    ("keys.existingSecret=elsewhere", "the keys of this release come from volume"),
    ("nameOverride=other", "-nym-mixnode, and would now be named old-"),
    ("fullnameOverride=other", "-nym-mixnode, and would now be named other: they would create new keys"),
];

/// Upgrades that the API server would reject.
const OTHER_VOLUMES: &[(&str, &str)] = &[
    ("persistence.size=1Gi", "persistence.size: the volumes of this release have 64Mi"),
    ("persistence.storageClass=other", "persistence.storageClass: the volumes of this release have none"),
    (
        "persistence.accessMode=ReadWriteOncePod",
        "persistence.accessMode: the volumes of this release have ReadWriteOnce.",
    ),
    ("persistence.annotations.a=b", "persistence.annotations: the volumes of this release have {}."),
];

fn refuses(release: &Release, flags: &[&str], changes: &[(&str, &str)]) {
    for (change, reason) in changes {
        let refused = release.helm("upgrade", &chart(), &[flags, &["--set", change]].concat());
        assert!(!refused.status.success() && said(&refused).contains(reason), "{change}: {}", said(&refused));
    }
}

#[test]
fn the_volume_of_a_registry_cannot_change() {
    let changes = [
        ("registry.persistence.enabled=false", "registry.persistence.enabled is false, but the release was"),
        ("registry.persistence.size=1Gi", "registry.persistence.size: the volumes of this release have 256Mi"),
    ];
    refuses(network(), &["--reuse-values"], &changes);
}

/// The API server normalizes sizes, and the error explains how to change a volume.
#[test]
fn equal_sizes_are_accepted_and_the_remedy_changes_volumes() {
    let directory = format!("directory.url={},network.mode=clusterOnly,node.layer=1", directory_inside());
    let set = ["--set", &directory, "--set", "persistence.size=0.0625Gi,fullnameOverride=volumes-nym-mixnode"];
    let release = Release::install("volumes", "restricted", &set);
    let identity = release.identity(0);
    release.upgrade(&set);
    release.upgrade(&[&set[..], &["--set", "persistence.size=65536Ki"]].concat());
    refuses(
        &release,
        &set,
        &[("nameOverride=other", "nameOverride: the pods of this release have the name nym-mixnode")],
    );
    let other = [&set[..], &["--set", "persistence.annotations.a=b"]].concat();
    let refused = said(&release.helm("upgrade", &chart(), &other));
    let (_, rest) = refused.split_once("(kubectl ").expect("a remedy");
    let (remedy, _) = rest.split_once(')').expect("its end");
    the_cluster().kubectl(&remedy.split(' ').collect::<Vec<_>>());
    release.upgrade(&other);
    assert_eq!(release.identity(0), identity, "another node");
    let path = "jsonpath={.spec.volumeClaimTemplates[0].metadata.annotations.a}";
    assert_eq!(release.kubectl(&["get", "statefulset", "volumes-nym-mixnode", "-o", path]), "b");
}
