//! The nodes that packets can take, and routes through them.

use std::collections::HashMap;

use nym_mixnode_api::{ClientsTls, RegisteredGateway, RegisteredMix, Topology};
use nym_mixnode_message::version::is_compatible;
use nym_mixnode_sphinx::{CLIENT_HOPS, Hop};
use rand::RngExt;
use rand::seq::IndexedRandom;
use thiserror::Error;

use crate::endpoint::Endpoint;

/// Layers of every route.
pub const LAYERS: usize = CLIENT_HOPS - 1;

/// Usable nodes of a topology.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Network {
    layers: [Vec<Hop>; LAYERS],
    gateways: HashMap<[u8; 32], Gateway>,
}

/// A gateway that clients can have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gateway {
    /// Where packets for its clients end.
    pub hop: Hop,
    /// URL of its WebSocket without TLS.
    pub clients_host: String,
    /// Its WebSocket with TLS, if it has one.
    pub tls: Option<Endpoint>,
}

/// Why there is no route.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NoRoute {
    /// No usable mix in this layer.
    #[error("layer {0} has no active mix that this client can use")]
    EmptyLayer(usize),
    /// The recipient's gateway, or the own one.
    #[error("the gateway {0} is not in the topology; it is unregistered, or of another network")]
    UnknownGateway(String),
}

impl Network {
    /// The nodes of a topology that this client can use. Others are skipped singly, as 0.9.2 does.
    #[must_use]
    pub fn of(topology: &Topology) -> Self {
        let mut network = Self::default();
        for mix in &topology.mix_nodes {
            if let Some((layer, hop)) = usable_mix(mix) {
                network.layers[layer].push(hop);
            }
        }
        network.gateways.extend(topology.gateways.iter().filter_map(usable_gateway));
        network
    }

    /// The gateway with this identity.
    #[must_use]
    pub fn gateway(&self, identity: &[u8; 32]) -> Option<&Gateway> {
        self.gateways.get(identity)
    }

    /// Number of mixes in each layer.
    #[must_use]
    pub fn mixes(&self) -> [usize; LAYERS] {
        self.layers.each_ref().map(Vec::len)
    }

    /// A gateway at random, one with TLS if there is any.
    #[must_use]
    pub fn any_gateway(&self, rng: &mut impl RngExt) -> Option<(&[u8; 32], &Gateway)> {
        let gateways: Vec<_> = self.gateways.iter().collect();
        let with_tls: Vec<_> = gateways.iter().copied().filter(|(_, gateway)| gateway.tls.is_some()).collect();
        with_tls.choose(rng).or_else(|| gateways.choose(rng)).copied()
    }

    /// A mix of each layer at random, and the gateway.
    ///
    /// # Errors
    /// When a layer is empty, or the gateway is unknown.
    pub fn route(&self, gateway: &[u8; 32], rng: &mut impl RngExt) -> Result<[Hop; CLIENT_HOPS], NoRoute> {
        let unknown = || NoRoute::UnknownGateway(bs58::encode(gateway).into_string());
        let mut route = [self.gateway(gateway).ok_or_else(unknown)?.hop; CLIENT_HOPS];
        for (number, (hop, layer)) in (1..).zip(route.iter_mut().zip(&self.layers)) {
            *hop = *layer.choose(rng).ok_or(NoRoute::EmptyLayer(number))?;
        }
        Ok(route)
    }
}

fn usable_mix(mix: &RegisteredMix) -> Option<(usize, Hop)> {
    let registration = &mix.registration;
    let layer = usize::try_from(registration.layer).ok()?.checked_sub(1).filter(|layer| *layer < LAYERS)?;
    key(&registration.identity_key)?;
    let address = *registration.announced_addresses().first()?;
    let hop = Hop { address, sphinx_key: key(&registration.sphinx_key)? };
    is_compatible(&registration.version).then_some((layer, hop))
}

fn tls_endpoint(announced: &ClientsTls) -> Option<Endpoint> {
    let key = announced.key_hash.parse().ok()?;
    announced.url.starts_with("wss://").then(|| Endpoint::tls(announced.url.clone(), key))
}

fn usable_gateway(gateway: &RegisteredGateway) -> Option<([u8; 32], Gateway)> {
    let registration = &gateway.registration;
    let address = *registration.announced_addresses().first()?;
    let hop = Hop { address, sphinx_key: key(&registration.sphinx_key)? };
    let tls = match &registration.clients_tls {
        None => None,
        // A gateway with TLS that cannot be used is not used without.
        Some(announced) => Some(tls_endpoint(announced)?),
    };
    let gateway = Gateway { hop, clients_host: registration.clients_host.clone(), tls };
    is_compatible(&registration.version).then_some((key(&registration.identity_key)?, gateway))
}

/// Base58 of 32 bytes.
fn key(text: &str) -> Option<[u8; 32]> {
    // 44 digits are enough, and decoding is quadratic.
    if text.len() > 44 {
        return None;
    }
    bs58::decode(text).into_vec().ok()?.try_into().ok()
}

#[cfg(test)]
pub(crate) mod tests;
