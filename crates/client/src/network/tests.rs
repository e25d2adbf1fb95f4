use nym_mixnode_api::testing::{gateway, listed, mix};

use super::*;

fn base58(fill: u8) -> String {
    bs58::encode([fill; 32]).into_string()
}

/// Two mixes in each layer, and one gateway.
pub(crate) fn topology() -> Topology {
    let mut topology = Topology::default();
    for number in 0..6_u8 {
        let mut mix = mix(base58(number + 1), format!("192.0.2.{}:1789", number + 1));
        (mix.layer, mix.sphinx_key) = (u64::from(number / 2) + 1, base58(number + 101));
        topology.mix_nodes.push(listed(mix));
    }
    let mut gateway = gateway(base58(50), "192.0.2.50:1789");
    gateway.sphinx_key = base58(150);
    let listed = serde_json::to_value(&gateway).unwrap();
    let mut listed = listed.as_object().unwrap().clone();
    listed.insert("registrationTime".to_owned(), 0.into());
    listed.insert("reputation".to_owned(), 0.into());
    topology.gateways.push(serde_json::from_value(listed.into()).unwrap());
    topology
}

#[test]
fn routes_take_all_mixes_of_each_layer_in_order() {
    let network = Network::of(&topology());
    let mut seen = std::collections::HashSet::new();
    for _ in 0..500 {
        let route = network.route(&[50; 32], &mut rand::rng()).unwrap();
        for (place, hop) in route.iter().enumerate().take(3) {
            let number = hop.sphinx_key[0] - 101;
            assert_eq!(usize::from(number / 2), place);
            seen.insert(number);
        }
        assert_eq!(route[3].sphinx_key, [150; 32]);
    }
    assert_eq!(seen.len(), 6);
}

#[test]
fn nodes_that_a_client_cannot_use_are_skipped() {
    let changes: [fn(&mut nym_mixnode_api::MixRegistration); 6] = [
        |mix| mix.version = "1.0.0".to_owned(),
        |mix| mix.layer = 0,
        |mix| mix.layer = 4,
        |mix| mix.sphinx_key = "0".to_owned(),
        |mix| mix.identity_key = "0".to_owned(),
        |mix| mix.mix_host = "a name".to_owned(),
    ];
    for change in changes {
        let mut topology = topology();
        change(&mut topology.mix_nodes[0].registration);
        let network = Network::of(&topology);
        assert_eq!(network.layers.each_ref().map(Vec::len), [1, 2, 2]);
        change(&mut topology.mix_nodes[1].registration);
        let route = Network::of(&topology).route(&[50; 32], &mut rand::rng());
        assert_eq!(route, Err(NoRoute::EmptyLayer(1)));
    }
}

#[test]
fn a_gateway_outside_the_topology_is_named() {
    let error = Network::of(&topology()).route(&[9; 32], &mut rand::rng()).unwrap_err();
    assert_eq!(error, NoRoute::UnknownGateway(base58(9)));
}
