//! A registry in a network of its own, where nodes and a stranger have an IP each.

use std::collections::HashSet;
use std::io::Write;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use nym_mixnode_sphinx::PacketSize;
use nym_mixnode_wire::{FrameHeader, PacketMode};
use reqwest::Method;
use serde_json::Value;

use super::arena::{Arena, Server};
use super::node::Node;
use super::traffic::Sink;
use crate::waiting::{PATIENCE, eventually_or};

const REGISTRY: &str = "36.0.0.1:8081";
const SINK: &str = "36.2.0.1:1789";
pub(super) const NODE_IP: &str = "36.1.0.1";
pub(super) const STRANGER: &str = "36.66.6.6";
/// Packets in one round of traffic.
const PACKETS: usize = 100;

pub(super) struct World {
    pub(super) registry: Server,
    pub(super) arena: Arena,
    sink: Sink,
}

impl World {
    pub(super) fn new() -> Self {
        let arena = Arena::new("takeover");
        arena.ip(&format!("addr add {NODE_IP}/32 dev lo"));
        // A call that binds nothing comes from the node's IP.
        arena.ip(&format!("route add local 36.0.0.0/8 dev lo src {NODE_IP}"));
        let store = arena.folder().join("registry.sqlite");
        let registry = arena.start("registry", &["registry", "--listen", REGISTRY, "--data", store.to_str().unwrap()]);
        let healthy = || arena.get(&format!("http://{REGISTRY}/healthz"));
        eventually_or("the registry starts", healthy, || registry.log());
        let sink = Sink::start(&arena, SINK);
        Self { registry, arena, sink }
    }

    /// A call of the stranger, and the status and body of the answer.
    pub(super) fn stranger(&self, method: Method, path: &str, body: &Value) -> (u16, Value) {
        let from: IpAddr = STRANGER.parse().unwrap();
        let client = reqwest::Client::builder().no_proxy().local_address(from).timeout(PATIENCE).build().unwrap();
        let request = client.request(method, format!("http://{REGISTRY}/api/mixmining/{path}"));
        let request = request.header("content-type", "application/json").body(body.to_string());
        let exchange = async {
            let answer = request.send().await.unwrap();
            (answer.status().as_u16(), answer.text().await.unwrap())
        };
        let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (status, body) = self.arena.inside(move || runtime().block_on(exchange));
        (status, serde_json::from_str(&body).unwrap_or(Value::String(body)))
    }

    pub(super) fn list(&self, path: &str, key: &str) -> Vec<Value> {
        let (status, list) = self.stranger(Method::GET, path, &Value::Null);
        assert_eq!(status, 200, "{list}");
        list[key].as_array().unwrap().clone()
    }

    /// The entry of the topology, without the time of its last renewal.
    pub(super) fn entry(&self, identity: &str) -> Option<Value> {
        let mut entry = self.list("topology", "mixNodes").into_iter().find(|mix| mix["identityKey"] == identity)?;
        entry.as_object_mut().unwrap().remove("registrationTime");
        Some(entry)
    }

    pub(super) fn is_ready(&self, node: &Node) -> bool {
        self.arena.get(&format!("http://{NODE_IP}:{}/readyz", http_port(node.address.port()))).is_some()
    }

    /// Waits until the node is listed with another entry than before, and is ready.
    pub(super) fn listed(&self, node: &Node, before: Option<&Value>) -> Value {
        let is_new = |entry: &Value| Some(entry) != before && self.is_ready(node);
        let look = || self.entry(&node.identity).filter(is_new);
        eventually_or("the node is listed and ready", look, || node.server.log())
    }

    /// Sends packets through the node, and waits until all have arrived; how long that takes.
    pub(super) fn mix(&self, node: &Node) -> Duration {
        let header = FrameHeader::v0_9(PacketSize::Regular, PacketMode::Mix);
        let packet = |_| node.packet(self.sink.address, Duration::from_millis(20), header);
        let packets: Vec<_> = (0..PACKETS).map(packet).collect();
        let mut awaited: HashSet<&[u8]> = packets.iter().map(|packet| &packet.forwarded[..]).collect();
        let began = Instant::now();
        let mut stream = self.arena.connect(node.address);
        for packet in &packets {
            stream.write_all(&packet.frame).unwrap();
        }
        let arrived = || {
            for arrival in self.sink.take() {
                awaited.remove(&arrival.packet[..]);
            }
            awaited.is_empty().then_some(())
        };
        eventually_or("all packets arrive", arrived, || node.server.log());
        began.elapsed()
    }

    /// Flags of a node of this registry that announces this port.
    pub(super) fn flags(port: u16) -> [String; 6] {
        let http = format!("{NODE_IP}:{}", http_port(port));
        let registry = format!("http://{REGISTRY}");
        ["--validator", &registry, "--topology-refresh", "200ms", "--http-listen", &http].map(str::to_owned)
    }
}

/// Where the node with this port answers its operator.
fn http_port(port: u16) -> u16 {
    port + 6_000
}
