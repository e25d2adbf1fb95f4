//! Policy `public` on a machine with public addresses: it forwards to other machines, and never to itself.

use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use super::netns::NetNs;
use super::program::{PROGRAM, Process, pause, sphinx_key};
use super::support::{ACK, PATIENCE, hop, packet_via};

const NODE: &str = "36.68.243.18:1789";
/// Address on no interface: NAT translates it to the machine's address.
const ANNOUNCED: &str = "36.68.250.1";

fn machine() -> (NetNs, NetNs) {
    let (world, machine) = (NetNs::new("world"), NetNs::new("machine"));
    world.cable("to-machine", &machine, "eth0");
    world.ip("address add 36.68.243.1/24 dev to-machine");
    world.ip("address add 2600:1f18::1/64 dev to-machine nodad");
    world.ip(&format!("address add {ANNOUNCED}/32 dev lo"));
    machine.ip("address add 36.68.243.18/24 dev eth0");
    machine.ip("address add 36.68.244.7/32 dev lo");
    machine.ip("address add 2600:1f18::7/64 dev eth0 nodad");
    machine.ip("route add default via 36.68.243.1");
    (world, machine)
}

fn node(machine: &NetNs, home: &Path) -> Process {
    let node = ["--home", home.to_str().unwrap(), "--id", "mix"];
    let addresses = ["--host", NODE, "--announce-host", ANNOUNCED];
    let init = ["init", "--layer", "1", "--validator", "http://127.0.0.1:9", "--forward-policy", "public"];
    let made = machine.command(PROGRAM).args([&init[..], &node, &addresses].concat()).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let node = Process::spawn(machine.command(PROGRAM).args(["run", "--supervised"]).args(node));
    node.wait_for("the node starts", |event| event["event"] == "status");
    node
}

fn send(machine: &NetNs, home: &Path, next_hop: SocketAddr) {
    let first: SocketAddr = NODE.parse().unwrap();
    let packet = packet_via(&hop(first, sphinx_key(home)), next_hop, Duration::ZERO, ACK);
    machine.inside(|| TcpStream::connect(first).unwrap().write_all(&packet).unwrap());
}

/// Whether a connection arrived since the last call.
fn was_called(trap: &TcpListener) -> bool {
    trap.set_nonblocking(true).unwrap();
    trap.accept().is_ok()
}

#[test]
#[ignore = "needs root and network namespaces: `make kit`"]
fn no_packet_goes_to_an_own_address_listening_announced_or_neither() {
    let (world, machine) = machine();
    let home = tempfile::tempdir().unwrap();
    let node = node(&machine, home.path());
    let own = ["36.68.243.18:22", "36.68.244.7:80", "[2600:1f18::7]:22", "[2600:1f18::7]:1789"];
    let traps: Vec<_> = own.iter().map(|at| machine.listen(at.parse().unwrap())).collect();
    let announced = world.listen(format!("{ANNOUNCED}:22").parse().unwrap());
    let refused = [&own[..], &[NODE, "36.68.250.1:22", "[::ffff:36.68.243.18]:22", "[2002:2444:f312::1]:22"]].concat();
    for next_hop in &refused {
        send(&machine, home.path(), next_hop.parse().unwrap());
    }
    let count = refused.len();
    node.wait_for("all are refused", |event| event["status"]["dropped"]["next_hop_refused"] == count);

    // Control: other addresses in the same networks are reached.
    let others =
        [world.listen("36.68.243.1:1789".parse().unwrap()), world.listen("[2600:1f18::1]:22".parse().unwrap())];
    for other in &others {
        send(&machine, home.path(), other.local_addr().unwrap());
    }
    node.wait_for("the others get theirs", |event| event["status"]["forwarded"] == others.len());
    assert!(others.iter().all(was_called));
    assert!(!traps.iter().chain([&announced]).any(was_called), "a packet came back to the machine");
}

#[test]
#[ignore = "needs root and network namespaces: `make kit`"]
fn an_address_that_the_machine_gets_while_the_node_runs_is_refused_too() {
    let (_world, machine) = machine();
    let home = tempfile::tempdir().unwrap();
    let node = node(&machine, home.path());
    machine.ip("address add 36.68.245.9/32 dev lo");
    let _trap = machine.listen("36.68.245.9:22".parse().unwrap());
    let deadline = Instant::now() + PATIENCE;
    while node.event()["status"]["dropped"]["next_hop_refused"].as_u64().is_none() {
        assert!(Instant::now() < deadline, "never refused: {}", node.event());
        send(&machine, home.path(), "36.68.245.9:22".parse().unwrap());
        pause(Duration::from_millis(500));
    }
}
