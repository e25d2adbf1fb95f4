//! Tests of renewal by monitor reports.

use nym_mixnode_api::MixRegistration;

use super::*;
use crate::proof::{Admission, Call};
use crate::service::NewNode;
use crate::store::Role;

const MINUTE: i64 = 60 * 1_000_000_000;
const HOUR: i64 = 60 * MINUTE;

/// Registers an unsigned mix from `NODE`, this long ago.
async fn registered(api: &Api, byte: u8, ago: i64) {
    let host = format!("192.0.2.1:{}", 1000 + u16::from(byte));
    let mix: MixRegistration = serde_json::from_value(mix(byte, &host)).unwrap();
    let call =
        Call { signed: None, admission: Admission::Open, from: Some(NODE.parse().unwrap()), now: now_ns() - ago };
    let node = NewNode {
        role: Role::Mix,
        layer: mix.layer,
        sphinx_key: &mix.sphinx_key,
        registration: &mix,
        hosts: vec![host.parse().unwrap()],
        call,
        expires_in: None,
    };
    api.service.register(&node).await.unwrap();
}

fn measured(byte: u8, ip_version: &str, up: bool) -> Value {
    json!({"pubKey": key(byte), "ipVersion": ip_version, "up": up})
}

#[tokio::test]
async fn a_passed_test_keeps_an_entry_and_a_failed_one_does_not() {
    let api = Api::new().await;
    for byte in 1..=4 {
        registered(&api, byte, 23 * HOUR).await;
    }
    let batch = json!({"status": [measured(3, "4", false), measured(3, "6", true), measured(4, "6", false)]});
    assert_eq!(api.measure("/api/mixmining", &measured(1, "4", true)).await.0, 201);
    assert_eq!(api.measure("/api/mixmining", &measured(2, "4", false)).await.0, 201);
    assert_eq!(api.measure("/api/mixmining/batch", &batch).await.0, 201);
    assert_eq!(api.post(STRANGER, "/api/mixmining", &measured(4, "4", true)).await.0, 403);
    api.service.purge(now_ns() + 2 * HOUR).await.unwrap();
    assert_eq!(api.identities().await, [key(1), key(3)]);
}

#[tokio::test]
async fn an_unsigned_node_that_passes_its_tests_cannot_be_taken_over() {
    let api = Api::new().await;
    for (byte, up, expected) in [(1, true, 403), (2, false, 200)] {
        registered(&api, byte, 11 * MINUTE).await;
        assert_eq!(api.measure("/api/mixmining", &measured(byte, "4", up)).await.0, 201);
        let taken = mix(byte, "203.0.113.9:1789");
        assert_eq!(api.register(STRANGER, &taken).await.0, expected, "passed: {up}");
    }
}
