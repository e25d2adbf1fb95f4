//! The command `monitor` and the registry's own monitor, with real nodes: they bring nodes to the active set, and take
//! reputation from nodes that do not mix.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use nym_mixnode_api::{BatchMixStatus, GatewayRegistration, IpVersion, MixStatus, Topology};
use nym_mixnode_directory::Directory;
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::Child;
use tokio::time::timeout;

use crate::process::{NodeFiles, RegistryProcess, eventually, own_address, program};
use crate::support::PATIENCE;

/// Flags of a registry of one layer. Two rounds over one IP version bring a node to the active set.
const SMALL: [&str; 4] = ["--layers", "1", "--reputation-active", "6"];

struct World {
    folder: tempfile::TempDir,
    registry: RegistryProcess,
}

impl World {
    async fn new(flags: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join("registry.sqlite");
        let registry = RegistryProcess::start_with(own_address(), &store, &[&SMALL[..], flags].concat()).await;
        Self { folder, registry }
    }

    fn store(&self) -> PathBuf {
        self.folder.path().join("registry.sqlite")
    }

    fn monitor(&self) -> Child {
        self.monitor_with(&self.folder.path().join("monitor.token"))
    }

    fn monitor_with(&self, token: &Path) -> Child {
        let url = self.registry.url();
        let arguments = ["monitor", "--directory", url.as_str(), "--monitor-token-file", token.to_str().unwrap()];
        let rounds = ["--every", "1s", "--settle", "5s"];
        program(&[&arguments[..], &rounds].concat()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    async fn active(&self) -> Topology {
        self.registry.client().active_topology().await.unwrap()
    }

    async fn wait_active(&self, identities: &[String]) {
        let all = async || {
            let active = self.active().await;
            identities.iter().all(|identity| active.mix(identity).is_some()).then_some(())
        };
        eventually("all nodes are active", all).await;
    }

    async fn reputation(&self, identity: &str) -> Option<i64> {
        self.registry.topology().await.mix(identity).map(|mix| mix.reputation)
    }
}

fn run(node: &NodeFiles) -> Child {
    let run = ["run", "--home", node.root(), "--id", "mix", "--http-listen", "off", "--topology-refresh", "1s"];
    program(&[&run[..], &["--shutdown-linger", "0s"]].concat())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

async fn terminate(mut process: Child) -> Option<i32> {
    let pid = Pid::from_raw(process.id().unwrap().cast_signed()).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
    timeout(PATIENCE, process.wait()).await.unwrap().unwrap().code()
}

#[tokio::test]
async fn a_monitor_brings_nodes_to_the_active_set_and_is_never_in_it() {
    let world = World::new(&[]).await;
    let deep = ["health", "--directory", world.registry.url().as_str(), "--deep"].map(str::to_owned);
    let deep: Vec<&str> = deep.iter().map(String::as_str).collect();
    let empty = program(&deep).output().await.unwrap();
    let words = String::from_utf8_lossy(&empty.stderr).into_owned();
    assert!(empty.status.code() == Some(1) && words.contains("layer 1 has no active node"), "{words}");

    let nodes = [NodeFiles::init(&world.registry.url()).await, NodeFiles::init(&world.registry.url()).await];
    let running = nodes.each_ref().map(run);
    let monitor = world.monitor();
    let identities = nodes.each_ref().map(NodeFiles::identity);
    world.wait_active(&identities).await;
    assert_eq!(program(&deep).output().await.unwrap().status.code(), Some(0));
    assert_eq!(world.registry.topology().await.gateways.len(), 1, "the monitor");
    assert!(world.active().await.gateways.is_empty());

    assert_eq!(terminate(monitor).await, Some(0));
    assert!(world.registry.topology().await.gateways.is_empty(), "it has unregistered");
    drop(running);
}

#[tokio::test]
async fn a_killed_node_loses_reputation_and_the_other_one_does_not() {
    let world = World::new(&["--with-monitor", "--monitor-every", "1s"]).await;
    let nodes = [NodeFiles::init(&world.registry.url()).await, NodeFiles::init(&world.registry.url()).await];
    let [mut killed, other] = nodes.each_ref().map(run);
    let [dead, alive] = nodes.each_ref().map(NodeFiles::identity);
    world.wait_active(&[dead.clone(), alive.clone()]).await;
    assert!(world.registry.topology().await.gateways.is_empty(), "the registry's own monitor is not listed");

    killed.kill().await.unwrap();
    let before = world.reputation(&dead).await.unwrap();
    let fallen = async || world.reputation(&dead).await.filter(|now| *now < before);
    eventually("the killed node loses reputation", fallen).await;
    let risen = world.reputation(&alive).await.unwrap();
    eventually("the other node still gains some", async || world.reputation(&alive).await.filter(|now| *now > risen))
        .await;

    // A node that has unregistered is not measured, and keeps its reputation.
    let kept = world.reputation(&alive).await.unwrap();
    assert_eq!(terminate(other).await, Some(0));
    assert_eq!(world.reputation(&alive).await, None);
    let again = run(&nodes[1]);
    let back = eventually("it is listed again", async || world.reputation(&alive).await).await;
    assert!(back >= kept, "{back} after {kept}");
    drop(again);
}

#[tokio::test]
async fn a_faulty_monitor_of_three_takes_no_reputation_away() {
    const FAULTY: &str = "the-token-of-the-faulty-one";
    let folder = tempfile::tempdir().unwrap();
    let [list, token] = ["list", "token"].map(|name| folder.path().join(name));
    for (file, text) in
        [(&list, format!("paris the-token-of-paris\nfaulty {FAULTY}\n")), (&token, "the-token-of-paris".to_owned())]
    {
        std::fs::write(file, text).unwrap();
        std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600)).unwrap();
    }
    let own = ["--with-monitor", "--monitor-every", "1s", "--named-tokens-file", list.to_str().unwrap()];
    let world = World::new(&own).await;
    let node = NodeFiles::init(&world.registry.url()).await;
    let running = run(&node);
    world.wait_active(&[node.identity()]).await;
    let monitor = world.monitor_with(&token);
    let down = MixStatus { pub_key: node.identity(), ip_version: IpVersion::V4, up: false };
    let down = BatchMixStatus { status: vec![down] };
    let (client, mut before) = (world.registry.client(), world.reputation(&node.identity()).await.unwrap());
    let enough = before + 30;
    // While only the registry's own monitor contradicts the faulty one, reputation does not change.
    let rises = async || {
        client.report_status(&down, Some(FAULTY)).await.unwrap();
        let now = world.reputation(&node.identity()).await.unwrap();
        assert!(now >= before, "{now} after {before}");
        before = now;
        (now >= enough).then_some(())
    };
    eventually("the two others raise its reputation", rises).await;
    assert!(world.active().await.mix(&node.identity()).is_some());
    assert_eq!(terminate(monitor).await, Some(0));
    drop(running);
}

#[tokio::test]
async fn a_gateway_whose_ports_answer_becomes_active() {
    let world = World::new(&["--with-monitor", "--monitor-every", "1s"]).await;
    let ports = ["127.0.0.1:0", "127.0.0.1:0"].map(|any| std::net::TcpListener::bind(any).unwrap());
    let [mix, clients] = ports.each_ref().map(|port| port.local_addr().unwrap());
    // As one of 0.9.2: it registers once and does not sign.
    let gateway = GatewayRegistration {
        mix_host: mix.to_string(),
        mix_hosts: Vec::new(),
        clients_host: format!("ws://{clients}"),
        identity_key: bs58::encode([7; 32]).into_string(),
        sphinx_key: bs58::encode([8; 32]).into_string(),
        version: "0.9.2".into(),
        location: String::new(),
        incentives_address: String::new(),
        expires_in: None,
        clients_tls: None,
        proof: None,
    };
    world.registry.client().register_gateway(&gateway, None).await.unwrap();
    let active = async || world.active().await.gateways.into_iter().next();
    let listed = eventually("the gateway is active", active).await;
    assert_eq!(listed.registration.identity_key, gateway.identity_key);

    // Its last connections are closed with the ports.
    drop(ports);
    let reputation = async || world.registry.topology().await.gateways[0].reputation;
    let before = reputation().await;
    let fallen = async || Some(reputation().await).filter(|now| *now < before);
    eventually("it loses reputation", fallen).await;
}

#[tokio::test]
async fn a_monitor_goes_on_while_the_registry_is_away() {
    let world = World::new(&[]).await;
    let node = NodeFiles::init(&world.registry.url()).await;
    let running = run(&node);
    let monitor = world.monitor();
    world.wait_active(&[node.identity()]).await;

    let (address, store) = (world.registry.address, world.store());
    let World { folder, registry } = world;
    registry.kill().await;
    let registry = start_again(address, &store).await;
    let world = World { folder, registry };
    let before = world.reputation(&node.identity()).await.unwrap();
    let risen = async || world.reputation(&node.identity()).await.filter(|now| *now > before);
    eventually("the monitor reports again", risen).await;
    assert_eq!(terminate(monitor).await, Some(0));
    drop(running);
}

async fn start_again(address: std::net::SocketAddr, store: &Path) -> RegistryProcess {
    RegistryProcess::start_with(address, store, &SMALL).await
}
