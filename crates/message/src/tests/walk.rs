//! The way of a packet through nodes whose private keys are known.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use nym_mixnode_sphinx::{Engine, HEADER_LEN, Outcome, UnwrapError, plaintext};
use serde_json::Value;

use super::{array, bytes, list, number, text};

/// Private Sphinx keys by address.
pub(super) type Nodes = HashMap<SocketAddr, [u8; 32]>;

pub(super) fn nodes(value: &Value) -> Nodes {
    list(value).iter().map(|node| (address(&node["address"]), array(&node["sphinx_private"]))).collect()
}

pub(super) fn address(value: &Value) -> SocketAddr {
    text(value).parse().unwrap()
}

/// One packet from its first hop to the gateway.
pub(super) struct Walk {
    pub nodes: Vec<SocketAddr>,
    pub delays: Vec<Duration>,
    pub at_gateway: Vec<u8>,
    pub destination: [u8; 32],
    pub plaintext: Vec<u8>,
}

pub(super) fn walk(nodes: &Nodes, first_hop: SocketAddr, packet: Vec<u8>) -> Walk {
    let (mut visited, mut delays) = (vec![first_hop], Vec::new());
    let mut packet = packet;
    loop {
        let before = packet.clone();
        let (mut batch, mut outcomes) = ([packet], Vec::new());
        let key = nodes[visited.last().unwrap()];
        Engine::new(key).unwrap_batch(&mut batch, &mut outcomes, |_| Ok::<_, UnwrapError>(()));
        [packet] = batch;
        match outcomes[0] {
            Outcome::Forward { next_hop, delay } => {
                visited.push(next_hop);
                delays.push(delay);
            }
            Outcome::Final { destination, identifier, .. } => {
                assert_eq!(identifier, [0; 16]);
                let plaintext = plaintext(&packet[HEADER_LEN..]).unwrap().to_vec();
                return Walk { nodes: visited, delays, at_gateway: before, destination, plaintext };
            }
            Outcome::Drop(error) => panic!("{error} at {}", visited.len()),
        }
    }
}

impl Walk {
    /// Compares with the hops that the code of 0.9.2 saw; without delays for packets of VPN mode, which have none.
    pub(super) fn check(&self, out: &Value) {
        for (hop, expected) in list(&out["hops"]).iter().enumerate() {
            assert_eq!(self.nodes[hop], address(&expected["node"]));
            assert_eq!(self.nodes[hop + 1], address(&expected["next"]));
            let delay = if expected["delay_ns"].is_null() { 0 } else { number(&expected["delay_ns"]) };
            assert_eq!(self.delays[hop], Duration::from_nanos(delay));
        }
        self.check_final(&out["final"]);
    }

    pub(super) fn check_final(&self, out: &Value) {
        assert_eq!(*self.nodes.last().unwrap(), address(&out["gateway"]));
        assert_eq!(self.destination, array(&out["destination"]));
    }

    pub(super) fn check_at_gateway(&self, expected: &Value) {
        assert!(self.at_gateway == bytes(expected));
    }
}
