//! Tests of the JSON, against what 0.9.2 programs send and expect.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::*;
use serde_json::json;

fn registration() -> MixRegistration {
    MixRegistration {
        mix_host: "192.0.2.7:1789".into(),
        mix_hosts: Vec::new(),
        identity_key: "6Ky4PYVGYn2DqcR9rRR7RYkjWbWyTfaTxGvVX6wWgnqz".into(),
        sphinx_key: "7Xk8PWVGYn2DqcR9rRR7RYkjWbWyTfaTxGvVX6wWgnqz".into(),
        version: PROTOCOL_VERSION.into(),
        location: "Zürich".into(),
        incentives_address: String::new(),
        layer: 2,
        proof: None,
    }
}

#[test]
fn a_registration_is_byte_for_byte_what_a_0_9_2_node_sends() {
    let written = serde_json::to_string(&registration()).unwrap();
    assert_eq!(
        written,
        r#"{"mixHost":"192.0.2.7:1789","identityKey":"6Ky4PYVGYn2DqcR9rRR7RYkjWbWyTfaTxGvVX6wWgnqz","sphinxKey":"7Xk8PWVGYn2DqcR9rRR7RYkjWbWyTfaTxGvVX6wWgnqz","version":"0.9.2","location":"Zürich","incentivesAddress":"","layer":2}"#
    );
    assert_eq!(serde_json::from_str::<MixRegistration>(&written).unwrap(), registration());
}

#[test]
fn the_number_of_layers_comes_from_the_directory_or_is_three() {
    let layer_count = |layers: serde_json::Value| {
        let document = json!({"mixNodes": [], "gateways": [], "layers": layers});
        serde_json::from_value::<Topology>(document).unwrap().layer_count()
    };
    for (layers, expected) in [(json!(2), 2), (json!(null), 3), (json!(0), 3), (json!(u64::MAX), 3)] {
        assert_eq!(layer_count(layers.clone()), expected, "{layers}");
    }
    let silent = serde_json::to_value(Topology::default()).unwrap();
    assert!(silent.get("layers").is_none(), "original programs expect no other fields: {silent}");
}

#[test]
fn our_additions_survive_a_round_trip() {
    let mix =
        MixRegistration { mix_hosts: vec!["192.0.2.7:1789".into(), "[2001:db8::7]:1789".into()], ..registration() };
    let listed = RegisteredMix { registration: mix, registration_time: 1_600_000_000_000_000_000, reputation: 7 };
    let written = serde_json::to_value(&listed).unwrap();
    assert_eq!(written["mixHosts"], json!(["192.0.2.7:1789", "[2001:db8::7]:1789"]));
    assert_eq!(written["registrationTime"], json!(1_600_000_000_000_000_000_i64));
    assert_eq!(serde_json::from_value::<RegisteredMix>(written).unwrap(), listed);

    let gateway = GatewayRegistration {
        mix_host: "192.0.2.8:1789".into(),
        mix_hosts: Vec::new(),
        clients_host: "ws://192.0.2.8:9000".into(),
        identity_key: "a".into(),
        sphinx_key: "b".into(),
        version: PROTOCOL_VERSION.into(),
        location: String::new(),
        incentives_address: String::new(),
        expires_in: Some(60),
        clients_tls: Some(ClientsTls { url: "wss://192.0.2.8:9443".into(), key_hash: "h".into() }),
        proof: None,
    };
    let written = serde_json::to_value(&gateway).unwrap();
    assert_eq!(written["expiresIn"], json!(60));
    assert_eq!(written["clientsTls"], json!({"url": "wss://192.0.2.8:9443", "keyHash": "h"}));
    assert_eq!(serde_json::from_value::<GatewayRegistration>(written).unwrap(), gateway);
}

#[test]
fn a_topology_of_the_0_9_2_validator_is_read_with_its_extra_and_null_fields() {
    let topology: Topology = serde_json::from_value(json!({
        "mixNodes": [{
            "mixHost": "mix.example:1789", "identityKey": "i", "sphinxKey": "s", "version": "0.9.2",
            "location": "", "incentivesAddress": "", "layer": 1, "owner": "?",
            "registrationTime": 5, "reputation": 103,
        }],
        "gateways": null,
        "validators": {"block_height": 12, "validators": [{"address": "nym1"}]},
        "somethingNew": true,
    }))
    .unwrap();
    assert_eq!(topology.mix_nodes.len(), 1);
    assert_eq!(topology.mix("i").unwrap().reputation, 103);
    assert!(topology.gateways.is_empty());
    assert_eq!(topology.validators["block_height"], json!(12));
    assert_eq!(topology.announced_addresses().count(), 0, "a host name is not an address");
}

#[test]
fn announced_addresses_are_distinct_and_start_with_mix_host() {
    let mut mix = registration();
    assert_eq!(mix.announced_addresses(), ["192.0.2.7:1789".parse().unwrap()]);

    mix.mix_hosts =
        vec!["[2001:db8::7]:1789".into(), "192.0.2.7:1789".into(), "mix.example:1789".into(), "nonsense".into()];
    let expected: [SocketAddr; 2] = ["192.0.2.7:1789".parse().unwrap(), "[2001:db8::7]:1789".parse().unwrap()];
    assert_eq!(mix.announced_addresses(), expected);

    mix.mix_host = "mix.example:1789".into();
    assert_eq!(mix.announced_addresses(), ["[2001:db8::7]:1789", "192.0.2.7:1789"].map(|a| a.parse().unwrap()));
}

#[test]
fn small_bodies_have_the_names_of_the_protocol() {
    let status = MixStatus { pub_key: "k".into(), ip_version: IpVersion::V6, up: false };
    let persisted = PersistedMixStatus { status: status.clone(), timestamp: 9 };
    let report = MixStatusReport { pub_key: "k".into(), last_5_minutes_ipv6: 66, ..Default::default() };
    let metric = MixMetric { pub_key: "k".into(), received: 64, sent: BTreeMap::new() };
    let validators = Validators::default();
    let bodies = [
        (json!(Accepted { ok: true }), json!({"ok": true})),
        (json!(Refusal { error: "no".into() }), json!({"error": "no"})),
        (json!(NextReport { next_report_in: 5 }), json!({"nextReportIn": 5})),
        (json!(metric), json!({"pubKey": "k", "received": 64, "sent": {}})),
        (
            json!(PersistedMixMetric { metric, timestamp: 3 }),
            json!({"pubKey": "k", "received": 64, "sent": {}, "timestamp": 3}),
        ),
        (
            json!(BatchMixStatus { status: vec![status] }),
            json!({"status": [{"pubKey": "k", "ipVersion": "6", "up": false}]}),
        ),
        (json!(persisted), json!({"pubKey": "k", "ipVersion": "6", "up": false, "timestamp": 9})),
        (
            json!(BatchMixStatusReport { report: vec![report] }),
            json!({"report": [{
                "pubKey": "k",
                "mostRecentIPV4": false, "last5MinutesIPV4": 0, "lastHourIPV4": 0, "lastDayIPV4": 0,
                "mostRecentIPV6": false, "last5MinutesIPV6": 66, "lastHourIPV6": 0, "lastDayIPV6": 0,
            }]}),
        ),
        (json!(validators), json!({"block_height": 0, "validators": []})),
    ];
    for (written, expected) in bodies {
        assert_eq!(written, expected);
    }
}

#[test]
fn other_json_does_not_parse_as_an_empty_topology() {
    for bad in [json!({}), json!([]), json!(null), json!({"mixNodes": []}), json!({"ok": true})] {
        assert!(serde_json::from_value::<Topology>(bad.clone()).is_err(), "{bad}");
    }
}

#[test]
fn an_unknown_ip_version_or_a_missing_field_is_an_error() {
    for bad in [
        json!({"pubKey": "k", "ipVersion": "5", "up": true}),
        json!({"pubKey": "k", "ipVersion": 4, "up": true}),
        json!({"pubKey": "k", "ipVersion": "4"}),
    ] {
        assert!(serde_json::from_value::<MixStatus>(bad.clone()).is_err(), "{bad}");
    }
}
