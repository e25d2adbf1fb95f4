//! The processes of the network: a registry and its nodes, from start to stop.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use nym_mixnode_api::{Topology, signing};
use nym_mixnode_base::count::counted;
use nym_mixnode_monitor::IpFamily;
use nym_mixnode_monitor::packets::MixDelays;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use url::Url;

use super::Options;
use super::child::{Child, Death, Events, run_to_end};
use super::error::LocalnetError;
use super::gateways::LocalGateway;
use super::history::{History, Point};
use super::ports::{self, ReservedPort};
use super::registry;
use super::traffic::Mix;
use super::view::View;
use crate::node::{NodeStatus, SupervisorEvent};

/// Deadline from the start of the last process until every node knows all others.
pub(super) const READY_LIMIT: Duration = Duration::from_mins(1);
const READY_POLL: Duration = Duration::from_millis(100);
/// Deadline of a stop, longer than a node's drain deadline.
pub(super) const STOP_LIMIT: Duration = Duration::from_secs(30);
pub(super) const TOPOLOGY_REFRESH: &str = "1s";
/// Linger time of the nodes: short, because the prober has stopped sending by then.
const LINGER: &str = "0s";
/// Default maximum delay of a node; longer mean delays need more.
const DELAY_MAX: Duration = Duration::from_secs(10);

/// The registry and the nodes. Dropping it kills them.
#[derive(Debug)]
pub(super) struct Network {
    nodes: Vec<Node>,
    gateways: Vec<LocalGateway>,
    registry: Child,
    directory: Url,
    delay_max: Duration,
    readers: JoinSet<()>,
}

/// A dead process of the network.
#[derive(Debug)]
pub(super) struct Casualty {
    /// Index of the node; `None` for the registry and gateways.
    pub(super) node: Option<usize>,
    pub(super) death: Death,
}

/// A node of the network.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) id: String,
    /// From 1.
    pub(super) layer: usize,
    pub(super) addresses: Vec<SocketAddr>,
    child: Child,
    state: watch::Receiver<NodeState>,
}

/// Last report of a node.
#[derive(Debug, Clone, Default)]
pub(super) struct NodeState {
    ready: bool,
    stopped: bool,
    status: NodeStatus,
    history: History,
}

impl Node {
    /// The node's counters, at most a second old.
    pub(super) fn status(&self) -> NodeStatus {
        self.state.borrow().status.clone()
    }

    /// Its rates in the last seconds.
    pub(super) fn history(&self) -> Vec<Point> {
        self.state.borrow().history.points()
    }

    /// How it died, if it has.
    pub(super) const fn death(&self) -> Option<&Death> {
        self.child.death()
    }

    fn is_ready(&self, next_hops: usize) -> bool {
        self.state.borrow().is_ready(next_hops)
    }
}

impl NodeState {
    pub(super) fn is_ready(&self, next_hops: usize) -> bool {
        self.ready && self.status.registered && self.status.next_hops_allowed >= next_hops as u64
    }
}

impl Network {
    /// Starts the registry, then initialises and starts each node.
    pub(super) async fn start(
        options: &Options,
        families: &[IpFamily],
        home: &Path,
        view: &mut View,
    ) -> Result<Self, LocalnetError> {
        let nodes_per_layer = usize::from(options.nodes_per_layer);
        let count = usize::from(options.layers) * nodes_per_layer;
        let gateways = options.gateways();
        let mut ports = ports::reserve(count + 1 + 3 * gateways, options.base_port, families)?.into_iter();
        let mut readers = JoinSet::new();
        let registry_port = ports.next().map_or(0, ReservedPort::release);
        let (registry, directory) =
            registry::start(registry_port, options.layers, families, home, &mut readers).await?;
        view.set_explorer(&directory);
        view.note(&format!("monitor token in {}", home.join("registry/monitor.token").display()));
        let mut network = Self {
            nodes: Vec::with_capacity(count),
            gateways: Vec::with_capacity(gateways),
            registry,
            directory,
            delay_max: delay_max(options.mean_delay),
            readers,
        };
        for (number, port) in ports.by_ref().take(count).enumerate() {
            let layer = number / nodes_per_layer + 1;
            let id = format!("mix{layer}-{}", number % nodes_per_layer + 1);
            view.progress(&format!("starting {id}"));
            network.start_node(id, layer, port, families, home).await?;
        }
        for number in 1..=gateways {
            let id = format!("gateway{number}");
            view.progress(&format!("starting {id}"));
            let (Some(mixes), Some(clients), Some(tls)) = (ports.next(), ports.next(), ports.next()) else { break };
            let ports = [mixes, clients, tls];
            let gateway = LocalGateway::start(id, ports, &network.directory, home, &mut network.readers).await?;
            network.gateways.push(gateway);
        }
        Ok(network)
    }

    /// The registry's URL.
    pub(super) fn directory(&self) -> &Url {
        &self.directory
    }

    /// Number of gateways.
    pub(super) fn gateways(&self) -> usize {
        self.gateways.len()
    }

    /// Layer by layer.
    pub(super) fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Waits until every node is listed and forwards to all nodes, to the prober and to the registry's monitor.
    pub(super) async fn wait_until_ready(&mut self, families: usize, view: &mut View) -> Result<(), LocalnetError> {
        // Gateways have one address each.
        let next_hops = families * (self.nodes.len() + 2) + self.gateways.len();
        let deadline = Instant::now() + READY_LIMIT;
        loop {
            if let Some(casualty) = self.casualties().into_iter().next() {
                return Err(LocalnetError::NotReady(casualty.death.in_full()));
            }
            let unready_gateway = self.gateways.iter().find(|gateway| !gateway.is_ready(next_hops));
            let Some(unready) = self.nodes.iter().find(|node| !node.is_ready(next_hops)) else {
                match unready_gateway {
                    None => return Ok(()),
                    Some(gateway) if Instant::now() >= deadline => {
                        let limit = READY_LIMIT.as_secs();
                        return Err(LocalnetError::NotReady(format!("{} was not ready within {limit} s", gateway.id)));
                    }
                    Some(_) => {
                        sleep(READY_POLL).await;
                        continue;
                    }
                }
            };
            if Instant::now() >= deadline {
                return Err(LocalnetError::NotReady(unready_words(unready, next_hops)));
            }
            let ready = self.nodes.iter().filter(|node| node.is_ready(next_hops)).count();
            view.progress(&format!("waiting for the nodes to learn the topology ({ready} of {})", self.nodes.len()));
            sleep(READY_POLL).await;
        }
    }

    /// Name of the node with one of these addresses.
    pub(super) fn name_at(&self, addresses: &[SocketAddr]) -> Option<&str> {
        let has = |node: &&Node| node.addresses.iter().any(|address| addresses.contains(address));
        self.nodes.iter().find(has).map(|node| node.id.as_str())
    }

    /// Mixes layer by layer, with the keys from the registry.
    pub(super) fn layers(&self, topology: &Topology) -> Result<Vec<Vec<Mix>>, LocalnetError> {
        let mut layers: Vec<Vec<Mix>> = Vec::new();
        for (number, node) in self.nodes.iter().enumerate() {
            let sphinx_key = listed_key(topology, &node.addresses)
                .ok_or_else(|| LocalnetError::Directory(format!("it does not list {} with a valid key", node.id)))?;
            layers.resize_with(layers.len().max(node.layer), Vec::new);
            layers[node.layer - 1].push(Mix { number, addresses: node.addresses.clone(), sphinx_key });
        }
        Ok(layers)
    }

    /// Processes that have died since the last call.
    pub(super) fn casualties(&mut self) -> Vec<Casualty> {
        let nodes = self.nodes.iter_mut().enumerate().map(|(number, node)| (Some(number), &mut node.child));
        let gateways = self.gateways.iter_mut().map(|gateway| (None, &mut gateway.child));
        let all = nodes.chain(gateways).chain([(None, &mut self.registry)]);
        all.filter_map(|(node, child)| Some(Casualty { node, death: child.new_death()? })).collect()
    }

    /// Whether all live nodes have reported that they hold no packet.
    pub(super) fn is_empty(&self) -> bool {
        self.nodes.iter().filter(|node| node.death().is_none()).all(|node| node.state.borrow().status.in_flight == 0)
    }

    /// Stops the nodes in the order in which packets pass them, so that the last packets of clients, which nobody waits
    /// for, find their next hop; then gateways and registry. Reads the final counters; returns the problems.
    pub(super) async fn stop(&mut self) -> Vec<String> {
        let mut problems = Vec::new();
        for layer in self.nodes.chunk_by_mut(|node, next| node.layer == next.layer) {
            problems.extend(stop_together(layer.iter_mut().map(|node| &mut node.child)).await);
        }
        // After the nodes, whose last packets end here.
        problems.extend(stop_together(self.gateways.iter_mut().map(|gateway| &mut gateway.child)).await);
        problems.extend(stop_together(std::iter::once(&mut self.registry)).await);
        // The readers end with the pipes, after the last lines.
        let all_read = async { while self.readers.join_next().await.is_some() {} };
        drop(timeout(STOP_LIMIT, all_read).await);
        for node in &self.nodes {
            if node.death().is_none() && !node.state.borrow().stopped {
                problems.push(format!("{} did not report its final counters", node.id));
            }
        }
        problems
    }

    async fn start_node(
        &mut self,
        id: String,
        layer: usize,
        port: ReservedPort,
        families: &[IpFamily],
        home: &Path,
    ) -> Result<(), LocalnetError> {
        let home = home.join(&id);
        run_to_end(&format!("init of {id}"), &self.init_arguments(&id, layer, &port, families, &home), &home).await?;
        let port = port.release();
        let addresses = families.iter().map(|family| (family.loopback(), port).into()).collect();
        let (child, events) = Child::spawn(&id, &run_arguments(&id, &home, self.delay_max), &home)?;
        let (sender, state) = watch::channel(NodeState::default());
        self.readers.spawn(follow_node(events, sender));
        self.nodes.push(Node { id, layer, addresses, child, state });
        Ok(())
    }

    fn init_arguments(
        &self,
        id: &str,
        layer: usize,
        port: &ReservedPort,
        families: &[IpFamily],
        home: &Path,
    ) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = vec!["init".into(), "--home".into(), home.into(), "--id".into(), id.into()];
        for family in families {
            arguments.extend(["--host".into(), family.loopback().to_string().into()]);
        }
        arguments.extend(["--port".into(), port.number().to_string().into()]);
        arguments.extend(["--layer".into(), layer.to_string().into()]);
        arguments.extend(["--validator".into(), self.directory.as_str().into()]);
        arguments.extend(["--forward-policy".into(), "topology".into()]);
        arguments.push("--allow-private".into());
        arguments
    }
}

/// Maximum delay that the nodes must allow so that they drop no packet for its delay.
fn delay_max(mean: Duration) -> Duration {
    MixDelays::longest(mean).max(DELAY_MAX)
}

/// Stops processes at the same time; returns the problems.
async fn stop_together(children: impl Iterator<Item = &mut Child>) -> Vec<String> {
    let children: Vec<_> = children.collect();
    for child in &children {
        child.terminate();
    }
    let (deadline, mut problems) = (Instant::now() + STOP_LIMIT, Vec::new());
    for child in children {
        problems.extend(child.join(deadline - Instant::now()).await.err());
    }
    problems
}

fn run_arguments(id: &str, home: &Path, delay_max: Duration) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = vec!["run".into(), "--home".into(), home.into(), "--id".into(), id.into()];
    let settings = ["--supervised", "--topology-refresh", TOPOLOGY_REFRESH, "--shutdown-linger", LINGER];
    arguments.extend(settings.map(OsString::from));
    arguments.extend(["--mix-delay-max".into(), format!("{}ms", delay_max.as_millis()).into()]);
    // They report on standard output, and need no HTTP ports.
    arguments.extend(["--http-listen", "off"].map(OsString::from));
    arguments
}

/// Stores the last status that a node reports.
pub(super) async fn follow_node(mut events: Events, state: watch::Sender<NodeState>) {
    while let Ok(Some(line)) = events.next_line().await {
        let Ok(event) = serde_json::from_str(&line) else {
            tracing::debug!(line, "not an event of a node");
            continue;
        };
        let (stopped, status) = match event {
            SupervisorEvent::Ready { status, .. } | SupervisorEvent::Status { status } => (false, status),
            SupervisorEvent::Stopped { status } => (true, status),
        };
        state.send_modify(|state| {
            state.history.add(Instant::now(), &status);
            (state.ready, state.stopped, state.status) = (true, stopped, status);
        });
    }
}

fn unready_words(node: &Node, next_hops: usize) -> String {
    let NodeState { ready, status, .. } = &*node.state.borrow();
    let limit = READY_LIMIT.as_secs();
    if !ready {
        return format!("{} did not start to mix within {limit} s", node.id);
    }
    if !status.registered {
        return format!("{} was not listed by the registry within {limit} s", node.id);
    }
    let all = counted(next_hops, "address", "addresses");
    format!("{} forwards to {} of {all} after {limit} s", node.id, status.next_hops_allowed)
}

fn listed_key(topology: &Topology, addresses: &[SocketAddr]) -> Option<[u8; 32]> {
    let is_at = |host: &String| host.parse().is_ok_and(|address: SocketAddr| addresses.contains(&address));
    let node = topology.mix_nodes.iter().map(|mix| &mix.registration).find(|mix| is_at(&mix.mix_host))?;
    signing::decode(&node.sphinx_key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::localnet::MEAN_DELAY_MAX;
    use nym_mixnode_config::settings::MIX_DELAY_MAX;

    #[test]
    fn nodes_allow_the_longest_delay_that_is_asked_of_them() {
        assert_eq!(delay_max(Duration::from_millis(50)), DELAY_MAX);
        assert_eq!(delay_max(Duration::from_secs(20)), Duration::from_mins(10));
        let longest = delay_max(MEAN_DELAY_MAX).as_millis();
        assert!(MIX_DELAY_MAX.about.allows(&format!("{longest}ms")), "{longest}");
        let arguments = run_arguments("mix1-1", Path::new("/home"), Duration::from_mins(10));
        let place = arguments.iter().position(|argument| argument == "--mix-delay-max").unwrap();
        assert_eq!(arguments[place + 1], "600000ms");
    }

    #[test]
    fn a_key_is_found_by_any_of_the_nodes_addresses() {
        let key = bs58::encode([3; 32]).into_string();
        let listing = serde_json::json!({
            "mixNodes": [{
                "mixHost": "[::1]:4000", "identityKey": "i", "sphinxKey": key, "version": "0.9.2", "location": "",
                "incentivesAddress": "", "layer": 1, "registrationTime": 0, "reputation": 0,
            }],
            "gateways": [],
        });
        let topology: Topology = serde_json::from_value(listing).unwrap();
        let addresses = ["127.0.0.1:4000", "[::1]:4000"].map(|address| address.parse().unwrap());
        assert_eq!(listed_key(&topology, &addresses), Some([3; 32]));
        assert_eq!(listed_key(&topology, &["127.0.0.1:4001".parse().unwrap()]), None);
    }
}
