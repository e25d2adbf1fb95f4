//! A mix network of the chart alone, with a gateway: clients in pods send each other files through it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::thread;

use serde_json::{Value, json};

use super::kept::{copy, create_backup_claim};
use super::release::{Release, said, the_cluster};
use super::{chart, documentation};
use crate::cluster::succeeded;
use crate::http;
use crate::image;
use crate::waiting::{eventually, eventually_or};

/// Long enough for hundreds of packets.
const FILE_LEN: usize = 300_000;

/// Where a client's home is in its pod.
const HOME: &str = "/var/lib/nym-mixnode";

/// The network of this run, whose gateway is active. The first caller installs it.
fn network() -> &'static Release {
    static NETWORK: OnceLock<Release> = OnceLock::new();
    NETWORK.get_or_init(|| {
        the_cluster().namespace("messages", "restricted");
        let release = Release::named("messages");
        let values = format!("{}/ci/gateway-values.yaml", chart());
        create_backup_claim(&release);
        let more = "gateway.resources.requests.cpu=10m,backup.enabled=true,backup.passphraseSecret=backup-passphrase,\
                    backup.existingClaim=backups";
        let install = release.helm("install", &chart(), &["-f", &values, "--set", more]);
        succeeded("helm install", &["messages"], &install);
        await_active(&release);
        release
    })
}

/// Waits until the registry gives the gateway, and a mix of each layer, to clients.
fn await_active(release: &Release) {
    let path = "jsonpath={.spec.clusterIP}";
    let address = release.kubectl(&["get", "service", "messages-nym-mixnode-registry", "-o", path]);
    let url = format!("http://{address}:8081/api/mixmining/topology/active");
    let active = || -> Option<Value> { serde_json::from_str(&http::get(&url)?).ok() };
    let is_complete = |active: Value| {
        let mixes = active["mixNodes"].as_array()?.iter();
        let layers: BTreeSet<_> = mixes.filter_map(|mix| mix["layer"].as_u64()).collect();
        (layers.len() == 3 && active["gateways"].as_array()?.len() == 1).then_some(())
    };
    eventually_or("the network is active", || is_complete(active()?), || format!("{:?}", active()));
}

/// URL of the registry for pods.
fn registry() -> String {
    "http://messages-nym-mixnode-registry.messages.svc:8081".to_owned()
}

/// Runs a command of a client in a pod to its end. All clients have their files on one volume.
fn run_client(pod: &str, arguments: &[&str]) -> String {
    let manifest = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": pod},
        "spec": {
            "restartPolicy": "Never",
            "enableServiceLinks": false,
            // On each mount, the kubelet would let the group read the keys, which the client then refuses.
            "securityContext": {"runAsNonRoot": true, "runAsUser": 65532, "runAsGroup": 65532, "fsGroup": 65532,
                "fsGroupChangePolicy": "OnRootMismatch",
                "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{
                "name": "client",
                "image": image::tag(),
                "imagePullPolicy": "Never",
                "args": arguments,
                "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
                "volumeMounts": [{"name": "homes", "mountPath": HOME}],
            }],
            "volumes": [{"name": "homes", "persistentVolumeClaim": {"claimName": "homes"}}],
        },
    });
    apply(pod, &manifest.to_string());
    let phase = || network().kubectl(&["get", "pod", pod, "-o", "jsonpath={.status.phase}"]);
    let log = || said(&network().try_kubectl(&["logs", pod]));
    let ended = || ["Succeeded", "Failed"].contains(&phase().as_str()).then_some(());
    eventually_or(&format!("{pod} ends"), ended, log);
    assert_eq!(phase(), "Succeeded", "{pod}: {}", log());
    log()
}

fn apply(name: &str, manifest: &str) {
    let path = the_cluster().dir().join(format!("messages-{name}.yaml"));
    fs::write(&path, manifest).expect("a file");
    network().kubectl(&["apply", "-f", &path.display().to_string()]);
}

/// Creates a client, and returns its address.
fn create_client(id: &str) -> String {
    let init = ["client", "init", "--id", id, "--registry", &registry()];
    let log = run_client(&format!("{id}-init"), &init);
    log.lines().find(|line| line.contains('@')).expect("an address").to_owned()
}

/// The folder of the clients' volume on this machine, once a pod uses it.
fn homes() -> PathBuf {
    let volume = network().kubectl(&["get", "pvc", "homes", "-o", "jsonpath={.spec.volumeName}"]);
    the_cluster().dir().join("volumes").join(volume.strip_prefix("volume-").expect("a volume of the cluster"))
}

fn random_file(path: &Path) -> Vec<u8> {
    let mut content = vec![0; FILE_LEN];
    rand::fill(&mut content[..]);
    fs::write(path, &content).expect("a file");
    content
}

#[test]
fn clients_send_files_through_the_gateway_and_its_restart_loses_no_stored_message() {
    let network = network();
    let claim = json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "homes"},
        "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "local",
            "resources": {"requests": {"storage": "64Mi"}}},
    });
    apply("homes", &claim.to_string());
    create_client("alice");
    let bob = create_client("bob");
    let send = |pod: &str, file: &str| {
        run_client(pod, &["client", "send", "--id", "alice", "--to", &bob, &format!("{HOME}/{file}")])
    };
    let receive = |pod: &str| {
        let out = format!("{HOME}/received");
        run_client(pod, &["client", "receive", "--id", "bob", "--out", &out, "--count", "1"])
    };
    let live = random_file(&homes().join("live"));
    thread::scope(|scope| {
        scope.spawn(|| receive("bob-live"));
        send("alice-live", "live");
    });
    assert!(fs::read(homes().join("received/live")).expect("the file") == live, "another file");

    // The recipient is away: the gateway keeps the file, over a restart.
    let stored = random_file(&homes().join("stored"));
    send("alice-stored", "stored");
    let gateway = |number: usize| format!("messages-nym-mixnode-gateway-{number}");
    let uid = || said(&network.try_kubectl(&["get", "pod", &gateway(0), "-o", "jsonpath={.metadata.uid}"]));
    let (before, identity) = (uid(), identity());
    network.kubectl(&["delete", "pod", &gateway(0)]);
    eventually("another pod", || {
        let ready = network.try_kubectl(&["wait", "--for=condition=Ready", "pod", &gateway(0), "--timeout=10s"]);
        (ready.status.success() && uid() != before).then_some(())
    });
    assert_eq!(self::identity(), identity, "its keys have stayed on their volume");
    receive("bob-stored");
    assert!(fs::read(homes().join("received/stored")).expect("the file") == stored, "another file");
}

/// The identity of the gateway.
fn identity() -> String {
    let log = network().kubectl(&["logs", "messages-nym-mixnode-gateway-0"]);
    log.lines().find_map(|line| line.trim().strip_prefix("Public key: ")).expect("a public key").to_owned()
}

/// The pods of the documentation, with its commands.
#[test]
fn the_clients_of_the_documentation_send_each_other_a_file() {
    let network = network();
    let text = documentation();
    let example = text.split("```yaml\n").find(|block| block.contains("name: alice")).expect("an example");
    let (example, _) = example.split_once("```").expect("its end");
    let example = example
        .replace("your.registry/nym-mixnode:0.1.0", &image::tag())
        .replace("http://net-nym-mixnode-registry.default.svc:8081", &registry());
    for name in ["alice", "bob"] {
        apply(name, &example.replace("alice", name));
    }
    for name in ["alice", "bob"] {
        let wait = ["wait", "--for=condition=Ready", "pod", name, "--timeout=10s"];
        let ready = || network.try_kubectl(&wait).status.success().then_some(());
        let story = || said(&network.try_kubectl(&["logs", name, "--all-containers"]));
        eventually_or(&format!("{name} is ready"), ready, story);
    }
    let exec = |name: &str, arguments: &[&str]| {
        network.kubectl(&[&["exec", name, "--", "/nym-mixnode", "client"], arguments].concat())
    };
    let bob = exec("bob", &["address", "--id", "bob"]);
    exec("alice", &["send", "--id", "alice", "--to", bob.trim(), "/etc/hostname"]);
    let received = exec("bob", &["receive", "--id", "bob", "--out", "/var/lib/nym-mixnode/received", "--count", "1"]);
    assert!(received.contains("hostname"), "{received}");
}

#[test]
fn a_release_with_a_gateway_passes_its_tests_and_its_keys_and_store_are_copied() {
    let network = network();
    network.test();
    let log = copy(network, "backup-gw-0");
    assert!(log.contains(&format!("gateway mixnode (identity key {})", identity())), "{log}");
    let log = copy(network, "backup-in-0");
    assert!(log.contains(".sqlite is a copy of /data/gateways/mixnode/data/gateway.sqlite"), "{log}");
}
