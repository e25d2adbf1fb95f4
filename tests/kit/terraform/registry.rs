//! The registry of a rendered configuration, behind a translated IPv4 address and a firewall as in a cloud: it proves the
//! addresses of a node over both families.

use std::process::{Child, Command, Stdio};

use nym_mixnode_api::Topology;

use super::boot::rendered;
use crate::http;
use crate::netns::NetNs;
use crate::waiting::eventually;

const REGISTRY_V4: &str = "36.68.243.18";
const REGISTRY_V6: &str = "2a05:d014::18";
/// The address of the registry's interface.
const PRIVATE_V4: &str = "10.89.0.5";
const NODE_V4: &str = "36.68.243.19";
const NODE_V6: &str = "2a05:d014:1::19";

struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn start(command: &mut Command) -> Process {
    Process(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
}

/// Arguments of the program, and the ports that the machine opens.
fn registry_of_the_configuration() -> (String, String) {
    let hosts = format!("[\"{REGISTRY_V4}\", \"{REGISTRY_V6}\"]");
    let user_data = rendered(&[
        ("role", "\"registry\""),
        ("image", "\"registry.example/nym-mixnode:0.1.0\""),
        ("key_disks", "[\"/dev/sdf\"]"),
        ("test_hosts", &hosts),
        ("monitor_every", "\"1s\""),
    ]);
    let after = |text: &str| user_data.split_once(text).expect(text).1.lines().next().unwrap().trim().to_owned();
    (after("${IMAGE} "), after("bin/host-firewall "))
}

/// The networks of the registry's machine and of the node's machine.
fn networks(open_ports: &str) -> (NetNs, NetNs) {
    let (registry, node) = (NetNs::new("registry"), NetNs::new("node"));
    registry.cable("eth0", &node, "eth0");
    for address in [format!("{PRIVATE_V4}/32"), format!("{REGISTRY_V6}/128")] {
        registry.ip(&format!("addr add {address} dev eth0"));
    }
    for address in [format!("{NODE_V4}/32"), format!("{NODE_V6}/128")] {
        node.ip(&format!("addr add {address} dev eth0"));
    }
    registry.ip(&format!("route add {NODE_V4} dev eth0 src {PRIVATE_V4}"));
    registry.ip(&format!("-6 route add {NODE_V6} dev eth0"));
    node.ip(&format!("route add {PRIVATE_V4} dev eth0"));
    node.ip(&format!("route add {REGISTRY_V4} via {PRIVATE_V4} src {NODE_V4}"));
    node.ip(&format!("-6 route add {REGISTRY_V6} dev eth0"));
    let ports = open_ports.replace(' ', ", ");
    registry.sh(&format!(
        "nft -f - <<'END'\n\
         table ip translation {{ chain incoming {{ type nat hook prerouting priority dstnat\n\
         ip daddr {REGISTRY_V4} dnat to {PRIVATE_V4}\n}}\n}}\n\
         table inet firewall {{ chain incoming {{ type filter hook input priority filter; policy drop\n\
         iif lo accept\n ct state established,related accept\n meta l4proto {{ icmp, ipv6-icmp }} accept\n\
         tcp dport {{ {ports} }} accept\n}}\n}}\nEND"
    ));
    (registry, node)
}

/// The addresses that the registry lists for its only node.
fn listed_addresses() -> Option<Vec<String>> {
    let topology = http::get(&format!("http://{REGISTRY_V4}:8081/api/mixmining/topology"))?;
    let mut topology: Topology = serde_json::from_str(&topology).unwrap();
    let node = topology.mix_nodes.pop()?.registration;
    Some(node.announced_addresses().iter().map(ToString::to_string).collect())
}

/// Whether the registry lists one node to clients.
fn active_node() -> Option<()> {
    let topology = http::get(&format!("http://{REGISTRY_V4}:8081/api/mixmining/topology/active"))?;
    let topology: Topology = serde_json::from_str(&topology).unwrap();
    (topology.mix_nodes.len() == 1).then_some(())
}

#[test]
fn a_registry_proves_addresses_over_both_families_and_activates_the_node() {
    let (arguments, open_ports) = registry_of_the_configuration();
    let (registry, node) = networks(&open_ports);
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let arguments = arguments.replace("/var/lib/nym-mixnode", folder.path().to_str().unwrap());
    let program = env!("CARGO_BIN_EXE_nym-mixnode");
    let _registry = start(registry.command(program).args(arguments.split(' ')));
    eventually("the registry answers", || node.inside(|| http::get(&format!("http://{REGISTRY_V4}:8081/healthz"))));
    // The URL has an IPv4 address, so no call proves the IPv6 address.
    let _node = start(
        node.command(program)
            .args(["run", "--id", "mix", "--home", folder.path().to_str().unwrap(), "--init-if-missing"])
            .env("NYM_MIXNODE_DIRECTORY_URL", format!("http://{REGISTRY_V4}:8081"))
            .env("NYM_MIXNODE_DIRECTORY_TOPOLOGY_REFRESH", "1s")
            .env("NYM_MIXNODE_NODE_LAYER", "1")
            .env("NYM_MIXNODE_ADDRESS_CLOUD", "none")
            .env("NYM_MIXNODE_ANNOUNCE_ADDRESSES", format!("{NODE_V4}:1789,[{NODE_V6}]:1789")),
    );
    let both = [format!("{NODE_V4}:1789"), format!("[{NODE_V6}]:1789")];
    eventually("both addresses are listed", || node.inside(listed_addresses).filter(|listed| *listed == both));
    eventually("the node is in the active set", || node.inside(active_node));
    let explorer = node.inside(|| http::get(&format!("http://{REGISTRY_V4}:8081/"))).unwrap();
    assert!(explorer.contains("<html"), "no explorer: {explorer}");
}
