//! Source of the announce address in each mode, with the real API server and the permissions that the chart grants.

use std::net::{IpAddr, TcpStream};
use std::process::Command;
use std::time::Duration;

use super::private_network::{directory_inside, listed, probe};
use super::release::{Release, said, the_cluster};
use crate::cluster::{NODE_V4, NODE_V6, succeeded};
use crate::waiting::eventually;

/// Public addresses of the load balancers and of the machine of a cloud.
const BALANCER_V4: &str = "36.68.243.18";
const BALANCER_V6: &str = "2600:1f18::18";
const NAMED_BALANCER: &str = "36.68.243.19";
const OTHER_BALANCER: &str = "36.68.243.21";
const MACHINE_V4: &str = "36.68.243.20";
const MACHINE_V6: &str = "2600:1f18::20";

fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output().expect("a program");
    succeeded(program, arguments, &output);
}

/// Routes an address to the cluster's node, so that this process can reach it.
fn route(address: &str) {
    let via = if address.contains(':') { NODE_V6 } else { NODE_V4 };
    run("ip", &["route", "replace", address, "via", via]);
}

/// Installs an example without waiting for readiness.
fn install_without_wait(name: &str, example: &str) -> Release {
    the_cluster().namespace(name, "restricted");
    let release = Release::named(name);
    let here = super::here();
    let here: Vec<_> = here.iter().map(String::as_str).collect();
    let directory = format!("directory.url={}", directory_inside());
    let values = format!("{}/ci/{example}-values.yaml", super::chart());
    let flags = ["-f", &values, "--set", &directory];
    the_cluster().helm(&[&["install", name, &super::chart(), "-n", name], &here[..], &flags].concat());
    release
}

/// Simulates a cloud controller that has created a load balancer.
fn give_ingress(release: &Release, number: usize, ingress: &str) {
    let service = release.pod(number);
    let patch = format!("{{\"status\": {{\"loadBalancer\": {{\"ingress\": {ingress}}}}}}}");
    release.kubectl(&["patch", "service", &service, "--subresource=status", "--type=merge", "-p", &patch]);
}

fn hosts(identity: &str) -> Vec<String> {
    let listed = eventually("the node is listed", || listed().remove(identity));
    let mut hosts: Vec<_> =
        listed["mixHosts"].as_array().into_iter().flatten().filter_map(|host| host.as_str()).collect();
    hosts.extend(listed["mixHost"].as_str());
    hosts.sort_unstable();
    hosts.dedup();
    hosts.into_iter().map(str::to_owned).collect()
}

#[test]
fn nodes_announce_the_address_of_their_load_balancer() {
    let release = install_without_wait("balanced", "load-balancer");
    // Until the cloud assigns an address, the pods wait and log the reason.
    let waiting = eventually("a pod waits for its address", || waits(&release, 0, "the load balancer has no address"));
    eprintln!("{waiting}");
    let (v4, v6) = (BALANCER_V4, BALANCER_V6);
    give_ingress(&release, 0, &format!("[{{\"ip\": \"{v4}\"}}, {{\"ip\": \"{v6}\"}}]"));
    route(v4);
    route(v6);
    // Some clouds assign a name.
    named_balancer(&release);
    give_ingress(&release, 1, "[{\"hostname\": \"balancer.balanced.svc.cluster.local\"}]");
    release.await_ready(0);
    release.await_ready(1);
    assert_eq!(hosts(&release.identity(0)), ["36.68.243.18:1789", "[2600:1f18::18]:1789"]);
    assert_eq!(hosts(&release.identity(1)), ["36.68.243.19:1789"]);
    probe(Some(&release.identity(0)));
    probe(Some(&release.identity(1)));
    never_restarted(&release, 2);
    release.test();
    // The cloud has created another load balancer.
    give_ingress(&release, 0, &format!("[{{\"ip\": \"{OTHER_BALANCER}\"}}]"));
    route(OTHER_BALANCER);
    let identity = release.identity(0);
    eventually("the new address is registered", || {
        (hosts(&identity) == [format!("{OTHER_BALANCER}:1789")]).then_some(())
    });
    probe(Some(&identity));
    may_only(&release, &["services [] [balanced-nym-mixnode-0] [get]", "services [] [balanced-nym-mixnode-1] [get]"]);
}

/// The log of a node that waits for an address for this reason.
fn waits(release: &Release, number: usize, reason: &str) -> Option<String> {
    let log = said(&release.try_kubectl(&["logs", &release.pod(number)]));
    let mut lines = log.lines().filter(|line| line.starts_with("Waiting for an address to announce: "));
    lines.any(|line| line.contains(reason)).then_some(log)
}

/// Checks that waiting nodes were not restarted.
fn never_restarted(release: &Release, nodes: usize) {
    let path = "jsonpath={.status.containerStatuses[0].restartCount}";
    for number in 0..nodes {
        let restarts = release.kubectl(&["get", "pod", &release.pod(number), "-o", path]);
        assert_eq!(restarts, "0", "{}", release.pod(number));
    }
}

/// Simulates a load balancer with a host name that leads to the second node.
fn named_balancer(release: &Release) {
    let manifest = the_cluster().dir().join("balancer.yaml");
    let text = format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: balancer}}\nspec: {{clusterIP: None, ports: [{{port: 1789}}]}}\n\
         ---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {{name: balancer, labels: \
         {{kubernetes.io/service-name: balancer}}}}\naddressType: IPv4\nports: [{{port: 1789}}]\n\
         endpoints: [{{addresses: [{NAMED_BALANCER}]}}]\n"
    );
    std::fs::write(&manifest, text).expect("a file");
    release.kubectl(&["apply", "-f", &manifest.display().to_string()]);
    let patch = format!("{{\"spec\": {{\"externalIPs\": [\"{NAMED_BALANCER}\"]}}}}");
    release.kubectl(&["patch", "service", &release.pod(1), "-p", &patch]);
    route(NAMED_BALANCER);
}

#[test]
fn the_machines_external_address_is_announced() {
    let ports = install_without_wait("ports", "node-port");
    eventually("a pod waits for its address", || waits(&ports, 0, "the Node has no such address"));
    give_external_address();
    the_cluster().namespace("host", "privileged");
    let values = format!("{}/ci/host-network-values.yaml", super::chart());
    let directory = format!("directory.url={}", directory_inside());
    let host = Release::named("host");
    let installed = host.helm("install", &super::chart(), &["-f", &values, "--set", &directory]);
    succeeded("helm install", &["host"], &installed);
    ports.await_ready(0);
    ports.await_ready(1);
    assert_eq!(hosts(&ports.identity(0)), ["36.68.243.20:31789", "[2600:1f18::20]:31789"]);
    assert_eq!(hosts(&ports.identity(1)), ["36.68.243.20:31790", "[2600:1f18::20]:31790"]);
    assert_eq!(hosts(&host.identity(0)), ["36.68.243.20:11789", "[2600:1f18::20]:11789"]);
    for identity in [ports.identity(0), ports.identity(1), host.identity(0)] {
        probe(Some(&identity));
    }
    ports.test();
    host.test();
    may_only(&ports, &["nodes [] [] [get]"]);
    may_only(&host, &["nodes [] [] [get]"]);
    never_restarted(&ports, 2);
    other_ports_are_announced(&ports);
    a_node_that_goes_is_reached_until_it_is_gone(&ports);
}

/// Flags of an upgrade that changes only these values.
fn reuse(values: &str) -> [&str; 3] {
    ["--reuse-values", "--set", values]
}

/// Changes the ports, and sets a long linger time for the next step.
fn other_ports_are_announced(ports: &Release) {
    let overlapping = ports.helm("upgrade", &super::chart(), &reuse("network.nodePort.first=31790"));
    let reason = "network.nodePort.first: the ports from 31790 overlap with the current ports from 31789";
    assert!(!overlapping.status.success() && said(&overlapping).contains(reason), "{}", said(&overlapping));
    ports.upgrade(&reuse("network.nodePort.first=31800,shutdown.lingerSeconds=60"));
    assert_eq!(hosts(&ports.identity(0)), ["36.68.243.20:31800", "[2600:1f18::20]:31800"]);
    assert_eq!(hosts(&ports.identity(1)), ["36.68.243.20:31801", "[2600:1f18::20]:31801"]);
    probe(Some(&ports.identity(1)));
}

fn a_node_that_goes_is_reached_until_it_is_gone(ports: &Release) {
    let (chart, last) = (super::chart(), ports.identity(1));
    let upgrade =
        |values: &str| the_cluster().helm(&[&["upgrade", "ports", &chart, "-n", "ports"], &reuse(values)[..]].concat());
    let notes = upgrade("replicaCount=1");
    assert!(notes.contains("removes ports-nym-mixnode-1."), "{notes}");
    eventually("the second node is listed no more", || (!listed().contains_key(&last)).then_some(()));
    // The node continues to mix for a minute: senders with the old topology can connect.
    for ip in [MACHINE_V4, MACHINE_V6] {
        let address = (ip.parse::<IpAddr>().expect("an address"), 31801).into();
        TcpStream::connect_timeout(&address, Duration::from_secs(20)).unwrap_or_else(|error| panic!("{ip}: {error}"));
    }
    let goes = ports.kubectl(&["get", "pod", &ports.pod(1), "-o", "jsonpath={.metadata.deletionTimestamp}"]);
    assert!(!goes.is_empty(), "the pod is not to go");
    upgrade("replicaCount=1");
    let gone = ports.try_kubectl(&["get", "service", &ports.pod(1)]);
    assert!(said(&gone).contains("NotFound"), "{}", said(&gone));
}

/// Simulates a cloud controller that sets public addresses of the machine, and adds them to the machine.
fn give_external_address() {
    let address = |ip: &str, kind: &str| format!("{{\"type\": \"{kind}\", \"address\": \"{ip}\"}}");
    let addresses = [
        address(NODE_V4, "InternalIP"),
        address(NODE_V6, "InternalIP"),
        address(MACHINE_V4, "ExternalIP"),
        address(MACHINE_V6, "ExternalIP"),
        address("node1", "Hostname"),
    ];
    let patch = format!("{{\"status\": {{\"addresses\": [{}]}}}}", addresses.join(", "));
    the_cluster().kubectl(&["patch", "node", "node1", "--subresource=status", "--type=merge", "-p", &patch]);
    for address in [MACHINE_V4, MACHINE_V6] {
        run("ip", &["-n", the_cluster().netns(), "addr", "replace", address, "dev", "lo"]);
        route(address);
    }
}

/// Checks the permissions of the release's service account in addition to those of all accounts.
fn may_only(release: &Release, expected: &[&str]) {
    let account = format!("--as=system:serviceaccount:{0}:{0}-nym-mixnode", release.name);
    let groups = ["--as-group=system:serviceaccounts", "--as-group=system:authenticated"];
    let nobody = format!("--as=system:serviceaccount:{}:nobody", release.name);
    let list = |who: &str| release.kubectl(&["auth", "can-i", "--list", "--no-headers", who, groups[0], groups[1]]);
    let (everybody, ours) = (list(&nobody), list(&account));
    let squeezed = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let everybody: Vec<_> = everybody.lines().map(squeezed).collect();
    let more: Vec<_> = ours.lines().map(squeezed).filter(|line| !everybody.contains(line)).collect();
    assert_eq!(more, expected);
}
