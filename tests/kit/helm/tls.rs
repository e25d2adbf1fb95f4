//! A registry that serves HTTPS with a certificate from a Secret, and nodes that verify it.

use std::fs;
use std::path::PathBuf;

use super::chart;
use super::release::{Release, said, the_cluster};
use crate::cluster::succeeded;
use crate::http;
use crate::part::root;
use crate::telemetry::certificates::Certificates;

#[test]
fn nodes_register_over_https_with_the_authority_of_the_secret() {
    the_cluster().namespace("tls", "restricted");
    let release = Release::named("tls");
    let folder = the_cluster().dir().join("tls");
    fs::create_dir(&folder).expect("a folder");
    let files = Certificates::make_for(&folder, "registry", "DNS:tls-nym-mixnode-registry.tls.svc");
    let values = root().join("helm/nym-mixnode/ci/tls-values.yaml").display().to_string();
    let flags = ["-f", &values];

    make_secret(&release, &[("tls.crt", &files.certificate), ("tls.key", &files.key)]);
    let refused = release.helm("install", &chart(), &flags);
    assert!(
        !refused.status.success() && said(&refused).contains("registry-tls has no key ca.crt"),
        "{}",
        said(&refused)
    );
    release.kubectl(&["delete", "secret", "registry-tls"]);
    let all = [("tls.crt", &files.certificate), ("tls.key", &files.key), ("ca.crt", &files.authority)];
    make_secret(&release, &all);
    succeeded("helm install", &flags, &release.helm("install", &chart(), &flags));
    release.test();

    let path = "jsonpath={.spec.clusterIP}:{.spec.ports[0].port}";
    let address = release.kubectl(&["get", "service", "tls-nym-mixnode-registry", "-o", path]);
    let plain = http::exchange(&format!("http://{address}/api/mixmining/topology"), &[], None);
    assert_eq!(plain.map(|(status, _)| status), Some(421), "no plain HTTP");
}

fn make_secret(release: &Release, files: &[(&str, &PathBuf)]) {
    let file = |(name, path): &(&str, &PathBuf)| format!("--from-file={name}={}", path.display());
    let files: Vec<_> = files.iter().map(file).collect();
    let mut arguments = vec!["create", "secret", "generic", "registry-tls"];
    arguments.extend(files.iter().map(String::as_str));
    release.kubectl(&arguments);
}
