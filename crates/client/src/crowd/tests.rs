use super::*;
use crate::network::tests::topology;

/// 110 packets per second, with acknowledgements.
const OWN: OwnTraffic = OwnTraffic {
    packet_delay: Duration::from_millis(50),
    sending: Duration::from_millis(20),
    cover: Duration::from_millis(200),
};

fn total(at: i64, layer: u64, packets: u64) -> LayerTotals {
    LayerTotals { at, layer, packets }
}

#[test]
fn packets_of_others_are_those_of_the_latest_hour_without_the_clients_own() {
    // Two mixes in each layer.
    let network = Network::of(&topology());
    let per_second = |number: u64| number * 3600;
    let totals = [
        total(0, 1, per_second(9_000)),
        total(3600, 1, per_second(110 + 1_000)),
        total(3600, 2, per_second(100)),
        total(0, 3, per_second(9_000)),
        total(3600, 0, per_second(9_000)),
    ];
    let crowds = OWN.crowds(&network, &totals);
    assert!((crowds[0].others.unwrap() - 25.0).abs() < 1e-9, "{crowds:?}");
    assert_eq!(crowds[1].others, Some(0.0));
    assert_eq!(crowds[2], LayerCrowd { layer: 3, mixes: 2, others: None });
    assert_eq!(crowds[0].thin(), []);
    assert_eq!(crowds[1].thin(), [Thin::Few { layer: 2, others: 0.0 }]);
    assert_eq!(crowds[2].thin(), [Thin::Unknown { layer: 3 }]);
}

#[test]
fn a_layer_with_one_mix_or_none_is_thin_whatever_its_traffic() {
    let crowd = |mixes| LayerCrowd { layer: 1, mixes, others: Some(1e6) };
    assert_eq!(crowd(0).thin(), [Thin::NoMix { layer: 1 }]);
    assert_eq!(crowd(1).thin(), [Thin::OneMix { layer: 1 }]);
    assert_eq!(crowd(2).thin(), []);
    let mut topology = topology();
    topology.mix_nodes.clear();
    assert_eq!(OWN.crowds(&Network::of(&topology), &[]).map(|crowd| crowd.mixes), [0; 3]);
}
