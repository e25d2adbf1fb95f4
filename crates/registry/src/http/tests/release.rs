//! Tests of releasing an identity: its calls then need no signature until it signs again.

use nym_mixnode_api::Release;

use super::*;

const MIX: &str = "192.0.2.1:1789";

/// A registration of the identity by a program that never signs.
fn unsigned(node: &Signed, host: &str) -> Value {
    let mut unsigned = mix(9, host);
    unsigned["identityKey"] = json!(node.identity());
    unsigned
}

fn release(identity: &str) -> Builder {
    Request::delete(format!("/api/mixmining/register/{identity}?release=true"))
}

#[tokio::test]
async fn the_operator_releases_an_identity_and_its_addresses() {
    let api = Api::new().await;
    let (node, other) = (Signed::new(), Signed::new());
    api.register(NODE, &node.mix(&api, MIX, 5, None)).await;
    for from in [STRANGER, NODE, HOME] {
        assert_eq!(api.send(from, release(&node.identity()), Body::empty()).await.0, 403, "{from}");
    }
    assert_eq!(api.identities().await, [node.identity()]);
    assert_eq!(api.send_with_token(release(&node.identity()), Body::empty()).await.0, 200);

    // Its call is recent, so without the release the address would be pending.
    assert_eq!(api.register(NODE, &other.mix(&api, MIX, 1, None)).await, (200, json!({"ok": true})));
    assert_eq!(api.register(NODE, &unsigned(&node, "192.0.2.1:1790")).await, (200, json!({"ok": true})));
    assert_eq!(api.identities().await, [other.identity(), node.identity()]);
    assert_eq!(api.delete(NODE, &node.identity()).await, 200, "unsigned");
    assert_eq!(api.send_with_token(release(&key(1)), Body::empty()).await.0, 404, "an identity that never called");
}

#[tokio::test]
async fn a_removal_by_the_operator_lasts_until_the_next_start_of_a_node_that_signs() {
    let api = Api::new().await;
    let node = Signed::new();
    let remove = |identity: &str| Request::delete(format!("/api/mixmining/register/{identity}"));
    api.register(NODE, &node.mix(&api, MIX, 5, None)).await;
    assert_eq!(api.send_with_token(remove(&node.identity()), Body::empty()).await.0, 200);
    assert_eq!(api.register(NODE, &node.mix(&api, MIX, 6, None)).await.0, 409, "the start that still runs");
    assert_eq!(api.register(NODE, &unsigned(&node, MIX)).await.0, 403, "it is not released");
    let next = api.service.store().counter(&node.identity()).await.unwrap() + 1;
    assert_eq!(api.register(NODE, &node.mix(&api, MIX, next, None)).await.0, 200, "the next start");

    // It may stay released.
    let released = Signed::new();
    api.register(NODE, &released.mix(&api, "192.0.2.1:1791", 5, None)).await;
    api.send_with_token(release(&released.identity()), Body::empty()).await;
    api.register(NODE, &unsigned(&released, "192.0.2.1:1791")).await;
    assert_eq!(api.send_with_token(remove(&released.identity()), Body::empty()).await.0, 200);
    assert_eq!(api.register(NODE, &unsigned(&released, "192.0.2.1:1791")).await.0, 200);

    let old = Signed::new();
    api.register(NODE, &unsigned(&old, "192.0.2.1:1790")).await;
    assert_eq!(api.send_with_token(remove(&old.identity()), Body::empty()).await.0, 200);
    assert_eq!(api.register(NODE, &unsigned(&old, "192.0.2.1:1790")).await.0, 200, "it has never signed");
}

#[tokio::test]
async fn a_signed_release_works_once_and_an_unregistration_is_not_a_release() {
    let api = Api::new().await;
    let node = Signed::new();
    api.register(NODE, &node.mix(&api, MIX, 5, None)).await;
    let unregistration = node.deletion_path(&api, 6, false);
    let forged = Request::delete(format!("{unregistration}&release=true"));
    assert_eq!(api.send(STRANGER, forged, Body::empty()).await.0, 401, "the signature covers the release");
    let replayed = || Request::delete(node.deletion_path(&api, 7, true));
    assert_eq!(api.send(STRANGER, replayed(), Body::empty()).await.0, 200);
    assert_eq!(api.register(NODE, &unsigned(&node, MIX)).await.0, 200);

    assert_eq!(api.send(STRANGER, replayed(), Body::empty()).await.0, 409);
    assert_eq!(api.register(NODE, &node.mix(&api, MIX, 7, None)).await.0, 409, "signed before the release");
    assert_eq!(api.register(STRANGER, &node.mix(&api, MIX, 8, None)).await.0, 200, "it signs again");
    assert_eq!(api.register(NODE, &unsigned(&node, MIX)).await.0, 403);
}

#[tokio::test]
async fn the_topology_lists_releases_of_listed_nodes_signed_by_the_registry() {
    let api = Api::new().await;
    let node = Signed::new();
    api.register(NODE, &node.mix(&api, MIX, 5, None)).await;
    api.send_with_token(release(&node.identity()), Body::empty()).await;
    let topology = async || api.get("/api/mixmining/topology").await.1;
    assert!(topology().await.get("releases").is_none(), "the node is not listed");

    api.register(NODE, &unsigned(&node, MIX)).await;
    let listed = topology().await;
    let releases: Vec<Release> = serde_json::from_value(listed["releases"].clone()).unwrap();
    let [Release { identity_key, counter, signature }] = releases.as_slice() else { panic!("{releases:?}") };
    assert_eq!((identity_key, *counter > 5), (&node.identity(), true));
    let message = signing::release(api.service.store().key().public(), identity_key, *counter);
    assert!(signing::is_signed_by(listed["registryKey"].as_str().unwrap(), &message, signature));

    assert_eq!(api.register(NODE, &node.mix(&api, MIX, *counter, None)).await.0, 409, "the start that still runs");
    api.register(NODE, &node.mix(&api, MIX, counter + 1, None)).await;
    assert!(topology().await.get("releases").is_none(), "it signs again");
}
