//! A node in the arena, and packets that a test can tell apart behind it.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use nym_mixnode_sphinx::{Engine, Outcome, UnwrapError};
use nym_mixnode_wire::FrameHeader;
use serde_json::Value;

use super::arena::{Arena, Server};
use crate::packets::{hop, packet_via};

/// A supervised node that forwards anywhere, for a directory that is not there unless a flag names one.
pub(super) struct Node {
    pub(super) server: Server,
    pub(super) address: SocketAddr,
    /// The public identity key in base58.
    pub(super) identity: String,
    public: [u8; 32],
    private: [u8; 32],
}

/// A packet in its frame, and what it is behind the node.
#[derive(Clone)]
pub(super) struct Packet {
    pub(super) frame: Vec<u8>,
    pub(super) forwarded: Vec<u8>,
    pub(super) delay: Duration,
}

impl Node {
    pub(super) fn start(arena: &Arena, address: &str, flags: &[&str]) -> Self {
        Self::made(arena, address, || run(arena, address, flags))
    }

    /// Starts a node that can have at most this many open files.
    pub(super) fn start_limited(arena: &Arena, address: &str, open_files: u32, flags: &[&str]) -> Self {
        Self::made(arena, address, || run_with(arena, address, Some(open_files), flags))
    }

    fn made(arena: &Arena, address: &str, start: impl FnOnce() -> Server) -> Self {
        let home = home(arena, address);
        let node = ["--home", home.to_str().unwrap(), "--id", "mix"];
        let init = ["init", "--layer", "1", "--host", address, "--allow-private", "--validator", "http://127.0.0.1:9"];
        let made = arena.run(&[&init[..], &node, &["--forward-policy", "any"]].concat());
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let key = |name: &str| -> [u8; 32] {
            let file = home.join("mixnodes/mix/data").join(name);
            pem::parse(fs::read(file).unwrap()).unwrap().into_contents().try_into().unwrap()
        };
        let (public, private) = (key("public_sphinx.pem"), key("private_sphinx.pem"));
        let identity = bs58::encode(key("public_identity.pem")).into_string();
        Self { server: start(), address: address.parse().unwrap(), identity, public, private }
    }

    /// Starts the node again, after its end.
    pub(super) fn start_again(&mut self, arena: &Arena, flags: &[&str]) {
        self.server = run(arena, &self.address.to_string(), flags);
    }

    /// A packet that the node holds for `delay` and sends to `next`.
    pub(super) fn packet(&self, next: SocketAddr, delay: Duration, header: FrameHeader) -> Packet {
        let frame = packet_via(&hop(self.address, self.public), next, delay, header);
        self.known(frame, header, delay)
    }

    /// A frame that the test has made itself, for this node.
    pub(super) fn known(&self, frame: Vec<u8>, header: FrameHeader, delay: Duration) -> Packet {
        let (mut batch, mut outcomes) = ([frame[header.framing.header_len()..].to_vec()], Vec::new());
        Engine::new(self.private).unwrap_batch(&mut batch, &mut outcomes, |_| Ok::<_, UnwrapError>(()));
        assert!(matches!(outcomes[0], Outcome::Forward { .. }), "{outcomes:?}");
        let [forwarded] = batch;
        Packet { frame, forwarded, delay }
    }

    /// The node's key as the builder of packets takes it.
    pub(super) fn hop(&self) -> sphinx_packet::route::Node {
        hop(self.address, self.public)
    }

    /// Waits for exact counters that are `wanted`; they are a second old at the most.
    #[track_caller]
    pub(super) fn wait_for(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        self.server.wait_for(what, |event| wanted(&event["status"]))["status"].clone()
    }

    /// Packets received so far.
    pub(super) fn received(&self) -> u64 {
        self.server.event()["status"]["received"].as_u64().unwrap_or_default()
    }

    /// Waits until the node has received `count` packets more than `before`, and holds none.
    #[track_caller]
    pub(super) fn settle(&self, before: u64, count: usize) -> Value {
        self.wait_for("all packets were received and left", |status| {
            status["received"] == before + count as u64 && status["in_flight"] == 0
        })
    }
}

fn home(arena: &Arena, address: &str) -> PathBuf {
    arena.folder().join(format!("node-{address}"))
}

fn run(arena: &Arena, address: &str, flags: &[&str]) -> Server {
    run_with(arena, address, None, flags)
}

fn run_with(arena: &Arena, address: &str, open_files: Option<u32>, flags: &[&str]) -> Server {
    let home = home(arena, address);
    let node = ["--home", home.to_str().unwrap(), "--id", "mix"];
    let run = ["run", "--supervised", "--shutdown-linger", "0s", "--telemetry-window", "10s"];
    let (name, arguments) = (format!("node-{address}"), [&run[..], &node, flags].concat());
    let server = match open_files {
        Some(open_files) => arena.start_limited(&name, open_files, &arguments),
        None => arena.start(&name, &arguments),
    };
    server.wait_for("the node starts", |event| event["event"] == "status");
    server
}

/// How many packets were dropped for this reason.
pub(super) fn dropped(status: &Value, reason: &str) -> u64 {
    status["dropped"][reason].as_u64().unwrap_or_default()
}
