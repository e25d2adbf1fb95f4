//! What a stranger tries at a registry: take a node's identity over (B1), or its address (B2).
//!
//! The same life of a node first without the stranger, then with it: the node starts, mixes, is killed, and starts again.

use std::fmt;
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};

use super::node::Node;
use super::registry::{NODE_IP, STRANGER, World};
use crate::waiting::pause;

const REGISTRY_KIB_MAX: u32 = 256 << 10;
const NODE_KIB_MAX: u32 = 64 << 10;
/// Refreshes of the node in it: 15. The registry's first two test packets to a pending address leave in it.
const WHILE: Duration = Duration::from_secs(3);

/// How a node fared, at its first start and at the one that follows a kill.
struct Life {
    until_listed: [Duration; 2],
    mixed_in: [Duration; 2],
    node_kib: u32,
    registry_kib: u32,
}

impl World {
    /// The life of a node, with the stranger in it or not.
    fn live(&self, port: u16, is_attacked: bool) -> Life {
        let address = format!("{NODE_IP}:{port}");
        let flags = Self::flags(port);
        let flags = flags.each_ref().map(String::as_str);
        let squat = |key| is_attacked.then(|| self.squat([key; 32], &address));
        squat(1);
        let began = Instant::now();
        let mut node = Node::start(&self.arena, &address, &flags);
        let first = self.listed(&node, None);
        let until_listed = began.elapsed();
        squat(2);
        if is_attacked {
            self.take_over(&node, &first);
        }
        self.stays(&node, &first);
        let (mixed_in, node_kib) = (self.mix(&node), node.server.resident_peak_kib());

        node.server.kill();
        squat(3);
        let began = Instant::now();
        node.start_again(&self.arena, &flags);
        let second = self.listed(&node, Some(&first));
        let until_listed = [until_listed, began.elapsed()];
        self.stays(&node, &second);
        let mixed_in = [mixed_in, self.mix(&node)];
        let node_kib = node_kib.max(node.server.resident_peak_kib());
        if is_attacked {
            (1..=3).for_each(|key| self.is_only_pending([key; 32], &address));
        }
        // It did not end by itself: it ends in order when it is asked to.
        node.server.stop();
        Life { until_listed, mixed_in, node_kib, registry_kib: self.registry.resident_peak_kib() }
    }

    /// The node stays listed as it is, ready, and without a complaint.
    fn stays(&self, node: &Node, entry: &Value) {
        let began = Instant::now();
        while began.elapsed() < WHILE {
            assert_eq!(self.entry(&node.identity).as_ref(), Some(entry), "{}", node.server.log());
            assert!(self.is_ready(node), "{}", node.server.log());
            pause(Duration::from_millis(100));
        }
        let log = node.server.log();
        assert!(!log.contains("ERROR") && !log.contains("409"), "{log}");
    }

    /// B1: everything that a stranger can send under the node's identity key is refused.
    fn take_over(&self, node: &Node, listed: &Value) {
        let (identity, own, victims) = (&node.identity, format!("{STRANGER}:1789"), node.address.to_string());
        let sphinx_key = listed["sphinxKey"].as_str().unwrap();
        let elsewhere = mix(identity, sphinx_key, &own);
        let other_key = mix(identity, &bs58::encode([9; 32]).into_string(), &victims);
        let mut both = mix(identity, sphinx_key, &own);
        both["mixHosts"] = json!([own, victims]);
        let mut gateway = mix(identity, sphinx_key, &own);
        gateway["clientsHost"] = json!("ws://36.66.6.6:9000");
        gateway["expiresIn"] = json!(1);
        // By these reasons, which do not depend on where a call comes from or on when the node was last heard.
        let (unsigned, copied) = ((403, "this call is not signed"), (409, "a newer start of this node has registered"));
        let calls = [
            ("another host", Method::POST, "register/mix", elsewhere, unsigned),
            ("another Sphinx key", Method::POST, "register/mix", other_key, unsigned),
            ("both hosts", Method::POST, "register/mix", both, unsigned),
            ("a gateway that expires", Method::POST, "register/gateway", gateway, unsigned),
            ("the listed entry again", Method::POST, "register/mix", listed.clone(), copied),
            ("unregistration", Method::DELETE, &format!("register/{identity}"), Value::Null, unsigned),
        ];
        for (what, method, path, body, (expected, reason)) in calls {
            let (status, answer) = self.stranger(method, path, &body);
            eprintln!("B1, {what}: {status} {answer}");
            assert!(status == expected && answer.to_string().contains(reason), "{what}: {status} {answer}");
            assert_eq!(self.entry(identity).as_ref(), Some(listed), "{what}");
            assert!(self.is_ready(node), "{what}: {}", node.server.log());
        }
    }

    /// B2: claims the node's address under an identity of the stranger's.
    fn squat(&self, key: [u8; 32], address: &str) {
        let key = bs58::encode(key).into_string();
        let (status, answer) = self.stranger(Method::POST, "register/mix", &mix(&key, &key, address));
        assert_eq!((status, &answer["pending"][0]["address"]), (200, &json!(address)), "{answer}");
    }

    fn is_only_pending(&self, key: [u8; 32], address: &str) {
        let key = bs58::encode(key).into_string();
        assert_eq!(self.entry(&key), None);
        let claims = |entry: &Value| entry["identityKey"] == key && entry["address"] == address;
        assert!(self.list("pending", "pending").iter().any(claims));
    }
}

/// An unsigned entry.
fn mix(identity: &str, sphinx_key: &str, host: &str) -> Value {
    json!({
        "mixHost": host, "identityKey": identity, "sphinxKey": sphinx_key, "version": "0.9.2", "location": "",
        "incentivesAddress": "", "layer": 1,
    })
}

impl fmt::Display for Life {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { until_listed: [first, again], mixed_in: [before, after], node_kib, registry_kib } = self;
        write!(
            f,
            "listed {first:.1?} after the start and {again:.1?} after the one that follows a kill; all packets passed, \
             in {before:.0?} and {after:.0?}; at the most {} MiB resident in the node, {} MiB in the registry",
            node_kib >> 10,
            registry_kib >> 10
        )
    }
}

/// B1 and B2.
#[test]
fn a_stranger_takes_neither_the_identity_nor_the_address_of_a_node() {
    let mut world = World::new();
    let control = world.live(1789, false);
    let attacked = world.live(1790, true);
    eprintln!("B1 and B2:\n  control: {control}\n  attack:  {attacked}");
    for life in [&control, &attacked] {
        assert!(life.node_kib < NODE_KIB_MAX && life.registry_kib < REGISTRY_KIB_MAX, "{life}");
    }
    world.registry.stop();
}
