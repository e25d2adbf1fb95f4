//! Tests of signed calls.

use super::*;

#[tokio::test]
async fn an_identity_that_signs_cannot_be_taken_over() {
    let api = Api::new().await;
    let (victim, thief) = (Signed::new(), Signed::new());
    assert_eq!(api.register(NODE, &victim.mix(&api, "192.0.2.1:1789", 1, None)).await, (200, json!({"ok": true})));
    let (_, before) = api.get("/api/mixmining/topology").await;

    let unsigned = |host: &str, sphinx: u8| {
        let mut stolen = mix(sphinx, host);
        stolen["identityKey"] = json!(victim.identity());
        stolen
    };
    let mut both = unsigned("203.0.113.9:1789", 9);
    both["mixHosts"] = json!(["203.0.113.9:1789", "192.0.2.1:1789"]);
    let mut gateway = unsigned("203.0.113.9:1789", 9);
    gateway["clientsHost"] = json!("ws://203.0.113.9:9000");
    gateway["expiresIn"] = json!(1);
    let mut of_thief = thief.mix(&api, "203.0.113.9:1789", 9, None);
    of_thief["identityKey"] = json!(victim.identity());
    let mut replayed = victim.mix(&api, "192.0.2.1:1789", 1, None);
    let replay_status = api.register(STRANGER, &replayed).await.0;
    replayed["sphinxKey"] = json!(key(9));
    for (from, path, body, expected) in [
        (STRANGER, "mix", unsigned("203.0.113.9:1789", 9), 403),
        (NODE, "mix", unsigned("192.0.2.1:1789", 9), 403),
        (STRANGER, "mix", both, 403),
        (STRANGER, "gateway", gateway, 403),
        (STRANGER, "mix", of_thief, 401),
        (STRANGER, "mix", replayed, 401),
    ] {
        let (status, answer) = api.post(from, &format!("/api/mixmining/register/{path}"), &body).await;
        assert_eq!(status, expected, "{body} gave {answer}");
    }
    assert_eq!(replay_status, 409, "the same call again");
    for from in [STRANGER, NODE, HOME] {
        assert_eq!(api.delete(from, &victim.identity()).await, 403, "{from}");
    }
    assert_eq!(api.get("/api/mixmining/topology").await.1, before);

    let (status, _) = api.send(STRANGER, victim.deletion(&api, 1), Body::empty()).await;
    assert_eq!(status, 409);
    let (status, _) = api.send(STRANGER, victim.deletion(&api, 2), Body::empty()).await;
    assert_eq!(status, 200, "the identity itself, from anywhere");
    assert_eq!(api.register(NODE, &victim.mix(&api, "192.0.2.1:1789", 2, None)).await.0, 409);
    assert_eq!(api.register(NODE, &victim.mix(&api, "192.0.2.1:1789", 3, None)).await.0, 200);
}

#[tokio::test]
async fn the_tls_endpoint_of_a_gateway_is_listed_as_signed_and_nobody_else_changes_it() {
    let (api, gateway) = (Api::new().await, Signed::new());
    let endpoint = json!({"url": "wss://192.0.2.1:9443", "keyHash": "qFVIzO06NAv2GHpuJH2qLBc+veS7+qg+I8ab+E5TuwM="});
    let signed = gateway.gateway(&api, "192.0.2.1:1789", 1, &endpoint);
    let listed = async || {
        let mut entry = api.get("/api/mixmining/topology").await.1["gateways"][0].take();
        for field in ["registrationTime", "reputation"] {
            entry.as_object_mut().unwrap().remove(field);
        }
        entry
    };
    assert_eq!(api.post(NODE, "/api/mixmining/register/gateway", &signed).await.0, 200);
    assert_eq!((&listed().await["clientsTls"], listed().await), (&endpoint, signed.clone()));
    let other = gateway.gateway(
        &api,
        "192.0.2.1:1789",
        2,
        &json!({"url": "wss://192.0.2.9:1", "keyHash": endpoint["keyHash"]}),
    );
    let (mut changed, mut removed) = (other.clone(), other.clone());
    changed["clientsTls"] = endpoint.clone();
    removed.as_object_mut().unwrap().remove("clientsTls");
    for tampered in [changed, removed] {
        assert_eq!(api.post(NODE, "/api/mixmining/register/gateway", &tampered).await.0, 401, "{tampered}");
    }
    assert_eq!(listed().await, signed);
    assert_eq!(api.post(NODE, "/api/mixmining/register/gateway", &other).await.0, 200);
    assert_eq!(listed().await["clientsTls"]["url"], "wss://192.0.2.9:1", "renewed by the gateway itself");
    let mut malformed = signed;
    malformed["clientsTls"]["keyHash"] = json!("short");
    let (status, answer) = api.post(NODE, "/api/mixmining/register/gateway", &malformed).await;
    assert!(status == 400 && answer["error"].as_str().unwrap().starts_with("clientsTls.keyHash"), "{answer}");
}

#[tokio::test]
async fn an_evicted_address_cannot_be_squatted() {
    let api = Api::new().await;
    let (victim, squatter) = (Signed::new(), Signed::new());
    let (_, body) = api.register(STRANGER, &squatter.mix(&api, "192.0.2.1:1789", 1, None)).await;
    assert_eq!(body["pending"][0]["address"], "192.0.2.1:1789");
    assert_eq!(api.identities().await, Vec::<String>::new());
    assert_eq!(api.register(NODE, &victim.mix(&api, "192.0.2.1:1789", 1, None)).await, (200, json!({"ok": true})));
    api.register(STRANGER, &squatter.mix(&api, "192.0.2.1:1789", 2, None)).await;
    assert_eq!(api.identities().await, [victim.identity()]);
}

#[tokio::test]
async fn the_counter_is_signed_over_the_nonce() {
    let api = Api::new().await;
    let node = Signed::new();
    let path = format!("/api/mixmining/counter/{}?nonce=abc", node.identity());
    let mut last = 1_700_000_000;
    for _ in 0..2 {
        let (status, answer) = api.get(&path).await;
        let answer: CounterReply = serde_json::from_value(answer).unwrap();
        let counter = answer.counter;
        assert_eq!((status, counter >= last, &answer.nonce[..]), (200, true, "abc"), "{counter} {last}");
        let registry = signing::decode(&answer.registry_key).unwrap();
        let message = signing::counter_answer(&registry, "abc", &node.identity(), counter);
        assert!(signing::is_signed_by(&answer.registry_key, &message, &answer.signature));
        assert_eq!(api.get("/api/mixmining/topology").await.1["registryKey"], json!(answer.registry_key));
        // Greater than the clock at the next request.
        last = counter + 1_000_000;
        api.register(NODE, &node.mix(&api, "192.0.2.1:1789", last, None)).await;
    }
    for bad in ["", "?nonce=", &format!("?nonce={}", "x".repeat(65))] {
        assert_eq!(api.get(&format!("/api/mixmining/counter/{}{bad}", node.identity())).await.0, 400, "{bad}");
    }
    assert_eq!(api.get("/api/mixmining/counter/nobody?nonce=a").await.0, 400);
}

#[tokio::test]
async fn old_signatures_of_a_forgotten_identity_are_void_after_its_next_start() {
    let api = Api::new().await;
    let node = Signed::new();
    let path = format!("/api/mixmining/counter/{}?nonce=abc", node.identity());
    let start = async || api.get(&path).await.1["counter"].as_u64().unwrap() + 1;
    let overheard = node.mix(&api, "192.0.2.1:1789", start().await, None);
    api.register(NODE, &overheard).await;
    let counter = overheard["proof"]["counter"].as_u64().unwrap();
    api.send(NODE, node.deletion(&api, counter + 1), Body::empty()).await;
    api.service.purge(now_ns() + 30 * 24 * 3600 * 1_000_000_000).await.unwrap();
    assert_eq!(api.service.store().counter(&node.identity()).await.unwrap(), 0, "it is forgotten");

    assert_eq!(api.register(NODE, &node.mix(&api, "192.0.2.1:1790", start().await, None)).await.0, 200);
    assert_eq!(api.register(NODE, &overheard).await.0, 409);
}
