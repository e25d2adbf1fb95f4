//! Rendered objects, without a cluster.

use std::fs;
use std::process::Command;

use super::release::said;
use super::{chart, examples, template};
use crate::cluster::helm_program;

/// The required values.
const GOOD: &str = "directory.url=http://directory,image.repository=localhost/nym-mixnode,image.tag=kit";

/// The objects that the chart renders with these values.
fn objects(values: &str) -> Vec<String> {
    let rendered = template(&["--set", GOOD, "--set", values]).unwrap_or_else(|error| panic!("{values}: {error}"));
    split(&rendered)
}

fn split(rendered: &str) -> Vec<String> {
    rendered.split("\n---\n").map(str::to_owned).collect()
}

/// The pod templates of a `StatefulSet` or a `Deployment`. A difference restarts the pods.
fn pods(objects: &[String]) -> Vec<String> {
    let makers =
        objects.iter().filter(|object| object.contains("\nkind: StatefulSet") || object.contains("\nkind: Deployment"));
    let template = |object: &String| {
        let (_, template) = object.split_once("\n  template:\n").expect("a template of pods");
        template.split("\n  persistentVolumeClaim").next().unwrap_or_default().to_owned()
    };
    makers.map(template).collect()
}

/// The objects of this kind.
fn of_kind(objects: &[String], kind: &str) -> Vec<String> {
    let kind = format!("\nkind: {kind}\n");
    objects.iter().filter(|object| object.contains(&kind)).cloned().collect()
}

#[test]
fn pods_restart_only_when_their_configuration_changes() {
    const LAYERS: &str = "directory.url=,registry.enabled=true,network.mode=clusterOnly";
    for (before, after, is_new) in [
        ("network.mode=nodePort", "network.nodePort.first=31800", true),
        ("network.mode=clusterOnly", "network.nodePort.first=31800", false),
        ("network.mode=nodePort", "replicaCount=4", false),
        (LAYERS, "node.layers=4", true),
        (LAYERS, "replicaCount=4", false),
        ("network.mode=clusterOnly", "node.layers=4", false),
        ("network.mode=nodePort,gateway.enabled=true", "gateway.replicas=4", false),
        ("network.mode=nodePort,gateway.enabled=true", "gateway.nodePort.first=31950", true),
        ("network.mode=clusterOnly,gateway.enabled=true", "gateway.announceUrl=ws://a.example", true),
        ("network.mode=clusterOnly", "logLevel=debug", true),
    ] {
        let (before, after) = (pods(&objects(before)), pods(&objects(&format!("{before},{after}"))));
        assert!(!before.is_empty() && before.len() == after.len());
        assert_eq!(before != after, is_new, "{after:?}");
    }
}

#[test]
fn another_version_of_the_chart_restarts_no_pod() {
    let dir = tempfile::tempdir().expect("a directory");
    let next = dir.path().join("nym-mixnode");
    let copied = Command::new("cp").arg("-r").args([&chart().into(), &next]).output().expect("cp");
    assert!(copied.status.success(), "{}", said(&copied));
    let about = next.join("Chart.yaml");
    let text = fs::read_to_string(&about).expect("Chart.yaml");
    let lines = text.lines().map(|line| match line.split_once(": ") {
        Some((key @ ("version" | "appVersion"), _)) => format!("{key}: 9.9.9"),
        _ => line.to_owned(),
    });
    fs::write(&about, lines.collect::<Vec<_>>().join("\n")).expect("Chart.yaml");
    let values = "directory.url=,registry.enabled=true,collector.enabled=true,network.mode=clusterOnly";
    let flags = ["--set", GOOD, "--set", values];
    let rendered = super::template_of(&next.display().to_string(), &flags).expect("the next version");
    assert!(rendered.contains("helm.sh/chart: \"nym-mixnode-9.9.9\""), "{rendered}");
    let before = pods(&objects(values));
    assert_eq!(before.len(), 3, "nodes, registry and collector");
    assert_eq!(before, pods(&split(&rendered)));
}

#[test]
fn pods_have_no_init_containers() {
    for (name, values) in examples() {
        let rendered = template(&["-f", &values.display().to_string()]).expect("an example");
        assert!(!rendered.contains("initContainers"), "{name}");
    }
}

#[test]
fn no_two_releases_have_one_cluster_role() {
    let roles = |namespace: &str, name: &str| {
        let values = format!("network.mode=nodePort,fullnameOverride={name}");
        let rendered = template(&["-n", namespace, "--set", GOOD, "--set", &values]).expect("a release");
        let roles = of_kind(&split(&rendered), "ClusterRole");
        let name = roles.first().and_then(|role| role.lines().find_map(|line| line.strip_prefix("  name: ")));
        name.expect("a ClusterRole with a name").to_owned()
    };
    assert_ne!(roles("a-b", "c"), roles("a", "b-c"));
}

#[test]
fn a_release_without_nodes_may_read_no_service() {
    assert_eq!(of_kind(&objects("replicaCount=1"), "Role").len(), 1);
    assert_eq!(of_kind(&objects("replicaCount=0"), "Role").len(), 0);
}

#[test]
fn a_specific_label_overrides_a_common_one() {
    let values = "network.mode=clusterOnly,commonLabels.team=all,podLabels.team=pods,metrics.serviceMonitor.enabled=true,\
                  metrics.serviceMonitor.labels.team=monitors";
    let objects = objects(values);
    let pods = pods(&objects);
    let monitors = of_kind(&objects, "ServiceMonitor");
    for (object, team) in [(&pods[0], "team: pods"), (&monitors[0], "team: monitors")] {
        assert!(object.contains(team) && object.matches("team: ").count() == 1, "{object}");
    }
}

#[test]
fn the_notes_of_a_network_with_a_registry_say_how_to_open_the_explorer() {
    const REGISTRY: &str = "directory.url=,network.mode=clusterOnly,registry.enabled=true";
    let notes = |values: &str| {
        let mut helm = Command::new(helm_program());
        helm.args(["install", "mix", &chart(), "-n", "net", "--dry-run=client", "--set", GOOD, "--set", values]);
        // Without a cluster.
        let output = helm.env("KUBECONFIG", "/dev/null").output().expect("helm");
        assert!(output.status.success(), "{}", said(&output));
        said(&output).split_once("NOTES:").expect("notes").1.to_owned()
    };
    let own = notes(&format!("{REGISTRY},registry.port=8090"));
    for words in ["http://localhost:8090", "kubectl -n net port-forward service/mix-nym-mixnode-registry 8090"] {
        assert!(own.contains(words), "no {words:?} in {own}");
    }
    assert!(!notes("network.mode=clusterOnly").contains("port-forward"));
    let behind = notes(&format!("{REGISTRY},registry.ingress.enabled=true,registry.ingress.host=a.example"));
    assert!(behind.contains("http://a.example") && !behind.contains("port-forward"), "{behind}");
}

/// Their own metrics are on the machine's loopback interface.
#[test]
fn on_the_hosts_network_the_metrics_of_nodes_come_from_the_collector() {
    let values = "network.mode=hostNetwork,collector.enabled=true,metrics.podMonitor.enabled=true";
    let monitors = of_kind(&objects(values), "PodMonitor");
    let monitor = monitors.first().expect("a PodMonitor");
    assert!(monitor.contains("values: [\"collector\"]"), "{monitor}");
    assert!(monitor.contains("{port: metrics, path: /metrics, interval: 30s, honorLabels: true}"), "{monitor}");
    let alone = of_kind(&objects("metrics.podMonitor.enabled=true,network.mode=clusterOnly"), "PodMonitor");
    assert!(alone[0].contains("values: [\"mixnode\"]") && !alone[0].contains("collector"), "{}", alone[0]);
}

#[test]
fn the_registrys_pod_has_its_own_claim_place_priority_and_resources() {
    const REGISTRY: &str = "directory.url=,registry.enabled=true,network.mode=clusterOnly";
    let registry = |values: &str| {
        let mut sets = of_kind(&objects(&format!("{REGISTRY}{values}")), "StatefulSet");
        let place = sets.iter().position(|set| set.contains("\n        - name: registry\n")).expect("a registry");
        sets.swap_remove(place)
    };
    let settings = [
        (",registry.persistence.existingClaim=store", "persistentVolumeClaim: {claimName: \"store\"}"),
        (",registry.priorityClassName=high", "priorityClassName: \"high\""),
        (",registry.nodeSelector.disk=ssd", "disk: ssd"),
        (",registry.tolerations[0].key=dedicated", "- key: dedicated"),
        (
            ",registry.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].\
          matchExpressions[0].key=zone",
            "- key: zone",
        ),
        (",registry.resources.limits.memory=300Mi", "memory: 300Mi"),
    ];
    let plain = registry("");
    assert!(plain.contains("volumeClaimTemplates"), "{plain}");
    for (values, expected) in settings {
        assert!(!plain.contains(expected), "{expected} is there without {values}");
        assert!(registry(values).contains(expected), "{values}: {}", registry(values));
    }
    assert!(!registry(settings[0].0).contains("volumeClaimTemplates"), "a claim beside the existing one");
}

/// The gateway with this number of a release with gateways: its `StatefulSet`, and the Services of its pod.
fn gateways(values: &str) -> (String, Vec<String>) {
    let objects = objects(&format!("gateway.enabled=true,gateway.replicas=2,{values}"));
    let names = ["-gateway-1\n", "-gateway\"\n", "-gateway-pods\n"];
    let is_of_gateways = |object: &&String| names.iter().any(|name| object.contains(name));
    let set = of_kind(&objects, "StatefulSet").iter().find(is_of_gateways).cloned().expect("a StatefulSet");
    let rest = objects.iter().filter(is_of_gateways).filter(|object| !object.contains("kind: StatefulSet"));
    (set, rest.cloned().collect())
}

fn contains_all(object: &str, texts: &[&str]) {
    for text in texts {
        assert!(object.contains(text), "no {text:?} in {object}");
    }
}

#[test]
fn gateways_announce_the_port_for_clients_in_every_mode() {
    let service = |rest: &[String]| of_kind(rest, "Service").into_iter().find(|one| one.contains("-gateway-1\n"));
    let (set, rest) = gateways("network.mode=nodePort,gateway.nodePort.first=31900");
    contains_all(
        &set,
        &["args: [gateway, run]", "GATEWAY_LISTEN_FILE, value: /etc/nym-mixnode/pods/$(POD_NAME).clients"],
    );
    contains_all(&service(&rest).expect("a Service"), &["nodePort: 31903", "targetPort: 31904\n      nodePort: 31904"]);
    contains_all(
        &rest.concat(),
        &["-gateway-1.port: \"31903\"", "-gateway-1.clients: \"[::]:31904\"", "endPort: 31905"],
    );

    let (set, rest) = gateways("network.mode=loadBalancer,gateway.clientsPort=9001");
    contains_all(&set, &["{name: clients, containerPort: 9001", "ANNOUNCE_SERVICE, value: $(POD_NAME)"]);
    contains_all(&service(&rest).expect("a Service"), &["type: LoadBalancer", "port: 9001\n      targetPort: clients"]);
    contains_all(&rest.concat(), &["NYM_MIXNODE_GATEWAY_LISTEN: \"[::]:9001\""]);

    let (set, rest) = gateways("network.mode=hostNetwork");
    contains_all(&set, &["hostNetwork: true", "{name: http, containerPort: 8001"]);
    assert!(service(&rest).is_none() && !rest.concat().contains("-gateway-1.clients-url"), "{rest:?}");

    let url = "-gateway-1.clients-url: \"ws://mix-nym-mixnode-gateway-1.mix-nym-mixnode-gateway.default.svc:9000\"";
    contains_all(&gateways("network.mode=clusterOnly").1.concat(), &[url]);
    let named = "network.mode=loadBalancer,gateway.announceUrl=ws://gateway-$(ordinal).example:80";
    contains_all(&gateways(named).1.concat(), &["-gateway-1.clients-url: \"ws://gateway-1.example:80\""]);
}

#[test]
fn gateways_serve_clients_with_tls_unless_that_is_off() {
    let (set, rest) = gateways("network.mode=nodePort,gateway.nodePort.first=31900,gateway.tls.existingSecret=cert");
    contains_all(
        &set,
        &["TLS_LISTEN_FILE, value: /etc/nym-mixnode/pods/$(POD_NAME).clients-tls", "secretName: \"cert\""],
    );
    contains_all(&rest.concat(), &["-gateway-1.clients-tls: \"[::]:31905\"", "TLS_KEY_FILE: \"/gateway-tls/tls.key\""]);
    let (set, rest) = gateways("network.mode=loadBalancer,gateway.tls.port=443");
    contains_all(&set, &["{name: clients-tls, containerPort: 443"]);
    contains_all(&rest.concat(), &["port: 443\n      targetPort: clients-tls", "TLS_LISTEN: \"[::]:443\""]);
    let url =
        "-gateway-1.clients-tls-url: \"wss://mix-nym-mixnode-gateway-1.mix-nym-mixnode-gateway.default.svc:9443\"";
    contains_all(&gateways("network.mode=clusterOnly").1.concat(), &[url]);
    let (set, rest) = gateways("network.mode=clusterOnly,gateway.tls.enabled=false");
    assert!(!set.contains("tls") && rest.concat().contains("TLS_LISTEN: \"off\""), "{set}");
}

#[test]
fn gateways_have_their_own_values_and_inherit_the_place_of_the_nodes() {
    let values = "network.mode=clusterOnly,gateway.resources.limits.memory=2Gi,gateway.persistence.size=9Gi,\
                  gateway.keys.existingSecret=keys-$(ordinal),nodeSelector.disk=ssd,priorityClassName=high,\
                  settings.mix\\.workers=3,gateway.settings.gateway\\.clients_max=7,gateway.settings.log\\.format=json";
    let (set, rest) = gateways(values);
    contains_all(
        &set,
        &["memory: 2Gi", "storage: 9Gi", "disk: ssd", "priorityClassName: \"high\"", "name: \"keys-1\""],
    );
    contains_all(
        &set,
        &["mountPath: /keys", "path: mix-nym-mixnode-gateway-1/private_sphinx.pem", "volumeClaimTemplates"],
    );
    contains_all(&rest.concat(), &["MIX_WORKERS: \"3\"", "GATEWAY_CLIENTS_MAX: \"7\"", "LOG_FORMAT: \"json\""]);
    for kind in ["PodDisruptionBudget", "NetworkPolicy"] {
        assert_eq!(of_kind(&rest, kind).len(), 1, "{kind}: {rest:?}");
    }
    let mixnodes: Vec<_> =
        objects(&format!("gateway.enabled=true,{values}")).into_iter().filter(|one| !one.contains("gateway")).collect();
    assert!(!mixnodes.concat().contains("CLIENTS_MAX"), "{mixnodes:?}");
    let backup = "network.mode=clusterOnly,gateway.enabled=true,backup.enabled=true,backup.passphraseSecret=a,backup.existingClaim=b";
    let jobs = of_kind(&objects(backup), "CronJob");
    contains_all(
        &jobs.concat(),
        &[
            "name: \"mix-nym-mixnode-backup-gw-0\"",
            "[\"gateway\",\"keys\",\"backup\",",
            "claimName: \"data-mix-nym-mixnode-gateway-0\"",
            "name: \"mix-nym-mixnode-backup-in-0\"",
        ],
    );
    let monitors = of_kind(
        &objects("network.mode=clusterOnly,gateway.enabled=true,metrics.podMonitor.enabled=true"),
        "PodMonitor",
    );
    contains_all(&monitors[0], &["values: [\"mixnode\",\"gateway\"]"]);
}
