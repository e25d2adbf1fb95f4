//! Keys and stores that outlive their pods: copies by cron jobs, keys from External Secrets, and volumes without keys.

use std::fs;
use std::process::Command;

use super::private_network::{directory_inside, network};
use super::release::{Release, said, the_cluster};
use super::{chart, documentation, template};
use crate::cluster::{helm_program, succeeded};
use crate::part::part;
use crate::waiting::eventually;

const PASSPHRASE: &str = "correct horse battery staple";

#[test]
fn cron_jobs_copy_the_keys_and_the_store() {
    the_cluster().namespace("backup", "restricted");
    let release = Release::named("backup");
    let values = format!("{}/ci/backup-values.yaml", chart());
    let refused = release.helm("install", &chart(), &["-f", &values]);
    assert!(said(&refused).contains("backup.passphraseSecret: the Secret backup-passphrase does not exist"));
    create_backup_claim(&release);
    // No pod uses the claim yet, so its volume is not bound: the installation must not wait for it.
    succeeded("helm install", &["backup"], &release.helm("install", &chart(), &["-f", &values]));
    assert_eq!(release.kubectl(&["get", "pvc", "backups", "-o", "jsonpath={.status.phase}"]), "Pending");
    let identity = release.identity(0);
    let keys = copy(&release, "backup-0");
    let copied = format!("(identity key {identity}) to /backup/backup-nym-mixnode-backup-0-by-hand");
    assert!(keys.contains(&copied), "{keys}");
    let store = copy(&release, "backup-reg");
    assert!(store.contains(".sqlite is a copy of /data/registry.sqlite"), "{store}");
    assert_eq!(identity_in_the_copy(&release), identity);
}

/// The passphrase, and the claim that the documentation proposes, of the cluster's `StorageClass`.
pub(super) fn create_backup_claim(release: &Release) {
    let passphrase = format!("--from-literal=passphrase={PASSPHRASE}");
    release.kubectl(&["create", "secret", "generic", "backup-passphrase", &passphrase]);
    let text = documentation();
    let (_, rest) = text.split_once("kubectl apply -f - <<END\n").expect("a claim");
    let (claim, _) = rest.split_once("END\n").expect("its end");
    let path = the_cluster().dir().join("backups.yaml");
    fs::write(&path, format!("{claim}  storageClassName: local\n")).expect("a file");
    release.kubectl(&["apply", "-f", &path.display().to_string()]);
}

/// The identity that `keys restore` finds in the copy.
fn identity_in_the_copy(release: &Release) -> String {
    let volume = release.kubectl(&["get", "pvc", "backups", "-o", "jsonpath={.spec.volumeName}"]);
    let number = volume.strip_prefix("volume-").expect("a volume of the cluster");
    let files = fs::read_dir(the_cluster().dir().join("volumes").join(number)).expect("the volume").flatten();
    let mut copies = files.map(|file| file.path()).filter(|path| path.extension().is_some_and(|end| end == "age"));
    let copy = copies.next().expect("a copy");
    let home = tempfile::tempdir().expect("a directory");
    let passphrase = home.path().join("passphrase");
    fs::write(&passphrase, PASSPHRASE).expect("a file");
    let program = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_nym-mixnode"));
        command.args(arguments).args(["--id", "mix", "--home"]).arg(home.path());
        command
    };
    let restored = program(&["keys", "restore"]).arg(&copy).arg("--passphrase-file").arg(&passphrase).output();
    let restored = restored.expect("the program");
    assert!(restored.status.success(), "{}", said(&restored));
    let public = home.path().join("mixnodes/mix/data/public_identity.pem");
    let public = pem::parse(fs::read(public).expect("a key")).expect("PEM").into_contents();
    bs58::encode(public).into_string()
}

/// Runs a cron job at once. Returns the output of its pod.
pub(super) fn copy(release: &Release, name: &str) -> String {
    let from = format!("--from=cronjob/{}-nym-mixnode-{name}", release.name);
    let job = format!("{}-nym-mixnode-{name}-by-hand", release.name);
    release.kubectl(&["create", "job", &from, &job]);
    let done = release.try_kubectl(&["wait", "--for=condition=Complete", &format!("job/{job}"), "--timeout=120s"]);
    let log = said(&release.try_kubectl(&["logs", &format!("job/{job}")]));
    assert!(done.status.success(), "{} {log}", said(&done));
    log
}

/// The example of the documentation creates the Secrets that the chart mounts.
#[test]
fn external_secrets_fill_the_secrets_of_the_nodes() {
    let kinds = part("external-secrets-crds").display().to_string();
    the_cluster().kubectl(&["apply", "--server-side", "-f", &kinds]);
    the_cluster().namespace("external", "restricted");
    let text = documentation();
    let blocks: Vec<_> = text.split("```yaml\n").skip(1).filter_map(|rest| Some(rest.split_once("```")?.0)).collect();
    let example = blocks.iter().find(|block| block.contains("kind: ExternalSecret")).expect("an example");
    let path = the_cluster().dir().join("external-secret.yaml");
    fs::write(&path, example).expect("a file");
    let path = path.display().to_string();
    let apply = ["-n", "external", "apply", "--dry-run=server", "--validate=strict", "-f", &path, "-o"];
    let get = |output: &str| the_cluster().kubectl(&[&apply[..], &[output]].concat());
    let target = get("jsonpath={.spec.target.name}");
    let keys = get("jsonpath={.spec.data[*].secretKey}");
    let mounted = template(&["-f", &format!("{}/ci/secrets-values.yaml", chart())]).expect("the example of the chart");
    assert!(mounted.contains(&format!("name: \"{target}\"")), "{target} is not mounted");
    for key in ["private_identity.pem", "public_identity.pem", "private_sphinx.pem", "public_sphinx.pem"] {
        assert!(keys.split(' ').any(|given| given == key), "{key}: {keys}");
    }
}

/// What `helm template` renders does not depend on the cluster, as Argo CD requires.
#[test]
fn the_chart_renders_the_same_with_and_without_a_cluster() {
    let (here, example) = (super::here(), format!("{}/ci/private-network-values.yaml", chart()));
    let here: Vec<_> = here.iter().map(String::as_str).collect();
    let name = &network().name;
    let same = |flags: &[&str]| {
        let chart = chart();
        let flags = [&["template", name, &chart, "-n", name, "-f", &example][..], &here, flags].concat();
        let with = the_cluster().helm(&[&flags[..], &["--dry-run=server"]].concat());
        let without = the_cluster().helm(&flags);
        assert!(with == without && with.contains("kind: StatefulSet"), "{flags:?}");
    };
    same(&[]);
    same(&["--set", "replicaCount=3"]);
    // While nodes are removed, their Services stay.
    the_cluster().namespace("declared", "restricted");
    let values = "directory.url=http://directory,network.mode=nodePort,network.nodePort.first=32200,image.repository=a";
    let render = |flags: &[&str]| {
        let chart = chart();
        let flags = [&["template", "declared", &chart, "-n", "declared", "--set", values][..], flags].concat();
        (the_cluster().helm(&[&flags[..], &["--dry-run=server"]].concat()), the_cluster().helm(&flags))
    };
    let two = ["-n", "declared", "--set", values, "--set", "replicaCount=2"];
    the_cluster().helm(&[&["install", "declared", &chart()], &two[..]].concat());
    let (with, without) = render(&["--set", "replicaCount=1,network.services=2"]);
    assert_eq!(with, without);
    assert!(with.contains("name: declared-nym-mixnode-1\n"), "{with}");
    let (with, without) = render(&["--set", "replicaCount=1"]);
    assert!(with != without, "helm upgrade keeps the Service by itself");
    the_cluster().helm(&["uninstall", "declared", "-n", "declared"]);
}

#[test]
fn the_api_server_rejects_another_source_of_keys() {
    let name = &network().name;
    let replace = |source: &str| {
        let path = the_cluster().dir().join("other-source.yaml");
        fs::write(&path, template_for(name, &format!("keys.existingSecret={source}"))).expect("a file");
        network().try_kubectl(&["replace", "--dry-run=server", "-f", &path.display().to_string()])
    };
    let same = replace("");
    assert!(same.status.success(), "{}", said(&same));
    let other = replace("elsewhere");
    assert!(!other.status.success() && said(&other).contains("spec.volumeClaimTemplates"), "{}", said(&other));
}

/// The `StatefulSet` of a release, rendered without a cluster.
fn template_for(name: &str, values: &str) -> String {
    let example = format!("{}/ci/private-network-values.yaml", chart());
    let output = Command::new(helm_program())
        .args(["template", name, &chart(), "-n", name, "-s", "templates/statefulset.yaml", "-f", &example])
        // A Secret contains the keys of one node.
        .args(["--set", "replicaCount=1", "--set", values])
        .output()
        .expect("helm");
    assert!(output.status.success(), "{}", said(&output));
    said(&output)
}

#[test]
fn a_node_creates_no_other_keys_where_that_is_forbidden() {
    let directory = format!("directory.url={},network.mode=clusterOnly,node.layer=1", directory_inside());
    the_cluster().namespace("keyless", "restricted");
    let release = Release::named("keyless");
    let (chart, here) = (chart(), super::here());
    let here: Vec<_> = here.iter().map(String::as_str).collect();
    let install = ["install", "keyless", &chart, "-n", "keyless", "--set", &directory, "--set", "keys.create=false"];
    the_cluster().helm(&[&install[..], &here].concat());
    let log = eventually("the node reports that it has no keys", || {
        let log = said(&release.try_kubectl(&["logs", &release.pod(0)]));
        log.contains("private_identity.pem does not exist").then_some(log)
    });
    assert!(!log.contains("Public key: "), "{log}");
    release.upgrade(&["--set", &directory]);
    let identity = release.identity(0);
    release.upgrade(&["--set", &directory, "--set", "keys.create=false"]);
    assert_eq!(release.identity(0), identity);
}
