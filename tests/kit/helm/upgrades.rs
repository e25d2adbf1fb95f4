//! From earlier versions of the chart to this one, back, and what an upgrade must not change.

use std::fs;
use std::path::PathBuf;

use super::chart;
use super::private_network::{directory_inside, probe};
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
        refuses_other_keys(&release, &directory);
    }
}

/// Other keys would be another node.
fn refuses_other_keys(release: &Release, directory: &str) {
    release.kubectl(&["create", "secret", "generic", "other", "--from-literal=private_identity.pem=x"]);
    for (change, reason) in [
        ("keys.existingSecret=elsewhere", "the keys of this release come from volume"),
        ("persistence.size=1Gi", "persistence.size: the volumes of this release have 64Mi"),
    ] {
        let refused = release.helm("upgrade", &chart(), &["--set", directory, "--set", change]);
        assert!(!refused.status.success() && said(&refused).contains(reason), "{change}: {}", said(&refused));
    }
}
