//! Tests of registries that admit only some identities.

use super::*;

#[tokio::test]
async fn a_closed_registry_accepts_only_admitted_identities_and_requires_no_proof() {
    let list = tempfile::NamedTempFile::new().unwrap();
    let token = tempfile::NamedTempFile::new().unwrap();
    fs::write(list.path(), key(1)).unwrap();
    fs::write(token.path(), "0123456789abcdef").unwrap();
    let api = Api::with(Gate::open(Some(list.path()), Some(token.path()), false).unwrap()).await;
    assert_eq!(api.register(STRANGER, &mix(1, "192.0.2.1:1789")).await, (200, json!({"ok": true})), "by the list");
    assert_eq!(api.register(NODE, &mix(2, "192.0.2.2:1789")).await.0, 403);
    let node = Signed::new();
    assert_eq!(api.register(NODE, &node.mix(&api, "192.0.2.3:1789", 1, None)).await.0, 403);
    let guessed = node.mix(&api, "192.0.2.3:1789", 1, Some(b"fedcba9876543210"));
    assert_eq!(api.register(NODE, &guessed).await.0, 403);
    let admitted = node.mix(&api, "192.0.2.3:1789", 1, Some(b"0123456789abcdef"));
    assert_eq!(api.register(STRANGER, &admitted).await, (200, json!({"ok": true})), "by the token");
    assert_eq!(api.identities().await, [key(1), node.identity()]);
    let (_, topology) = api.get("/api/mixmining/topology").await;
    assert!(!topology.to_string().contains("admission"), "{topology}");
}

#[tokio::test]
async fn an_identity_that_is_added_to_the_list_is_admitted_without_a_restart() {
    let list = tempfile::NamedTempFile::new().unwrap();
    fs::write(list.path(), key(1)).unwrap();
    let api = Api::with(Gate::open(Some(list.path()), None, false).unwrap()).await;
    assert_eq!(api.register(NODE, &mix(2, "192.0.2.1:1789")).await.0, 403);
    fs::write(list.path(), format!("{}\n{}\n", key(1), key(2))).unwrap();
    let is_admitted = async {
        while api.register(NODE, &mix(2, "192.0.2.1:1789")).await.0 == 403 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(Duration::from_secs(60), is_admitted).await.unwrap();
    assert_eq!(api.identities().await, [key(2)]);
}
