//! Tests of the API without sockets: requests from any address, replies as bytes.

use std::net::IpAddr;

use axum::body::{Body, to_bytes};
use axum::http::request::Builder;
use nym_mixnode_api::{CounterReply, MixRegistration, signing};
use nym_mixnode_directory::MonitorToken;
use nym_mixnode_http::{HostNames, Peer};
use nym_mixnode_keys::IdentityKeyPair;
use nym_mixnode_net::Reach;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::*;
use crate::now_ns;

mod release;
mod renewal;

const HOME: &str = "127.0.0.1";
const NODE: &str = "192.0.2.1";
const STRANGER: &str = "203.0.113.9";
const MONITOR: &str = "198.51.100.7";
const PROXY: &str = "10.0.0.1";

struct Api {
    router: Router,
    store: Store,
    token: MonitorToken,
    _folder: tempfile::TempDir,
}

impl Api {
    async fn new() -> Self {
        Self::with(Gate::default()).await
    }

    /// The identities that are listed.
    async fn identities(&self) -> Vec<String> {
        let (_, topology) = self.get("/api/mixmining/topology").await;
        let nodes = topology["mixNodes"].as_array().unwrap();
        nodes.iter().map(|node| node["identityKey"].as_str().unwrap().to_owned()).collect()
    }

    async fn with(gate: Gate) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("registry.sqlite")).await.unwrap();
        let token = MonitorToken::read_or_create(&folder.path().join("monitor.token")).unwrap();
        let access = Access {
            token: Some(token.clone()),
            monitors: vec![MONITOR.parse().unwrap()],
            names: HostNames::new(&["registry.example".to_owned()]),
            trusted_proxies: vec![format!("{PROXY}/32").parse().unwrap()],
            legacy_loopback_monitor: false,
        };
        let rules = Rules { reach: Reach::Private, layers: 3 };
        Self { router: router(App::new(store.clone(), rules, gate), access), store, token, _folder: folder }
    }

    async fn send(&self, from: &str, request: Builder, body: impl Into<Body>) -> (u16, Value) {
        let peer = Peer(from.parse::<IpAddr>().unwrap());
        let request = request.extension(peer).body(body.into()).unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        assert_eq!(response.headers()["content-type"], "application/json");
        let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        let body: Value = serde_json::from_slice(&body).unwrap();
        if status >= 400 {
            assert!(body["error"].as_str().is_some_and(|error| !error.is_empty()), "{body}");
        }
        (status, body)
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        self.send(STRANGER, Request::get(path), Body::empty()).await
    }

    async fn post(&self, from: &str, path: &str, body: &Value) -> (u16, Value) {
        self.send(from, Request::post(path).header("content-type", "application/json"), body.to_string()).await
    }

    /// A request with the token, from anywhere.
    async fn send_with_token(&self, request: Builder, body: impl Into<Body>) -> (u16, Value) {
        let authorization = format!("Bearer {}", self.token.reveal());
        self.send(STRANGER, request.header("authorization", authorization), body).await
    }

    /// A monitor's measurement or batch.
    async fn measure(&self, path: &str, body: &Value) -> (u16, Value) {
        self.send_with_token(Request::post(path).header("content-type", "application/json"), body.to_string()).await
    }

    async fn delete(&self, from: &str, identity: &str) -> u16 {
        let path = format!("/api/mixmining/register/{identity}");
        self.send(from, Request::delete(path), Body::empty()).await.0
    }

    async fn register(&self, from: &str, mix: &Value) -> (u16, Value) {
        self.post(from, "/api/mixmining/register/mix", mix).await
    }
}

fn key(byte: u8) -> String {
    bs58::encode([byte; 32]).into_string()
}

fn mix(byte: u8, host: &str) -> Value {
    json!({
        "mixHost": host, "identityKey": key(byte), "sphinxKey": key(byte), "version": "0.9.2",
        "location": "here", "incentivesAddress": "", "layer": 1,
    })
}

#[tokio::test]
async fn a_0_9_2_registration_is_accepted_and_listed_unchanged() {
    let api = Api::new().await;
    let mut registration = mix(1, "192.0.2.1:1789");
    assert_eq!(api.register(NODE, &registration).await, (200, json!({"ok": true})));
    let (status, topology) = api.get("/api/mixmining/topology").await;
    assert_eq!(status, 200);
    assert_eq!(topology["validators"], json!({"block_height": 0, "validators": []}));
    assert_eq!(topology["layers"], json!(3));
    let listed = &topology["mixNodes"][0];
    registration["registrationTime"] = listed["registrationTime"].clone();
    registration["reputation"] = json!(0);
    assert_eq!(*listed, registration);
    assert!(listed["registrationTime"].as_i64().unwrap() > 1_700_000_000_000_000_000, "{listed}");
}

#[tokio::test]
async fn each_bad_body_is_refused_and_the_error_names_the_field() {
    let api = Api::new().await;
    let with = |field: &str, value: Value| {
        let mut bad = mix(1, "192.0.2.1:1789");
        bad[field] = value;
        bad
    };
    let without = |field: &str| {
        let mut bad = mix(1, "192.0.2.1:1789");
        bad.as_object_mut().unwrap().remove(field);
        bad
    };
    for (field, bad) in [
        ("layer", with("layer", json!(0))),
        ("layer", with("layer", json!(-1))),
        ("layer", with("layer", json!("2"))),
        ("layer", without("layer")),
        ("mixHost", with("mixHost", json!("mix.example:1789"))),
        ("mixHost", with("mixHost", json!(null))),
        ("mixHost", without("mixHost")),
        ("mixHosts", with("mixHosts", json!(["x"]))),
        ("identityKey", with("identityKey", json!("abc"))),
        ("identityKey", without("identityKey")),
        ("sphinxKey", with("sphinxKey", json!(key(1) + "11"))),
        ("sphinxKey", without("sphinxKey")),
        ("version", without("version")),
    ] {
        let (status, body) = api.register(NODE, &bad).await;
        assert_eq!(status, 400, "{bad} gave {body}");
        assert!(body["error"].as_str().unwrap().contains(field), "{field}: {body}");
    }
    let (_, topology) = api.get("/api/mixmining/topology").await;
    assert_eq!(topology["mixNodes"], json!([]));
}

#[tokio::test]
async fn every_wrong_request_gets_a_json_error() {
    let api = Api::new().await;
    let json_post = || Request::post("/api/mixmining/register/mix").header("content-type", "application/json");
    let huge = json!({"mixHost": "x".repeat(70_000)}).to_string();
    for (request, body, expected) in [
        (json_post(), "{".to_owned(), 400),
        (json_post(), String::new(), 400),
        (json_post(), "[]".to_owned(), 400),
        (json_post(), "\"\u{0}".to_owned(), 400),
        (json_post(), huge, 413),
        (Request::post("/api/mixmining/register/mix"), "{}".to_owned(), 415),
        (Request::get("/api/mixmining/register/mix"), String::new(), 405),
        (Request::get("/"), String::new(), 404),
        (Request::get("/api/mixmining/topology/else"), String::new(), 404),
        (Request::delete("/api/mixmining/register/%ff"), String::new(), 400),
    ] {
        let label = format!("{request:?}");
        let (status, _) = api.send(HOME, request, body).await;
        assert_eq!(status, expected, "{label}");
    }
}

#[tokio::test]
async fn a_claim_of_a_proven_address_is_pending_and_not_a_conflict() {
    let api = Api::new().await;
    api.register(NODE, &mix(1, "192.0.2.1:1789")).await;
    for stranger in [STRANGER, NODE] {
        let (status, body) = api.register(stranger, &mix(2, "192.0.2.1:1789")).await;
        assert_eq!((status, &body["ok"]), (200, &json!(true)));
        assert_eq!(body["pending"][0]["address"], "192.0.2.1:1789", "{body}");
        assert_eq!(api.identities().await, [key(1)]);
        api.delete(stranger, &key(2)).await;
    }
    assert_eq!(api.register(NODE, &mix(1, "192.0.2.1:1790")).await, (200, json!({"ok": true})));
    let (_, list) = api.get("/api/mixmining/pending").await;
    assert_eq!(list["pending"], json!([]), "no claims are left");
}

#[tokio::test]
async fn only_the_node_or_its_registrar_or_the_token_unregisters() {
    let api = Api::new().await;
    let registrar = "198.51.100.4";
    for allowed in [NODE, registrar] {
        // Its own call proves the address, and then it moves.
        api.register(registrar, &mix(1, "198.51.100.4:1789")).await;
        api.register(registrar, &mix(1, "192.0.2.1:1789")).await;
        for stranger in [STRANGER, HOME, "::1"] {
            assert_eq!(api.delete(stranger, &key(1)).await, 403, "{stranger}");
        }
        let expected = if allowed == registrar { 200 } else { 403 };
        assert_eq!(api.delete(allowed, &key(1)).await, expected, "{allowed}: a pending address proves nothing");
    }
    assert_eq!(api.delete(HOME, &key(1)).await, 404);
    api.register(NODE, &mix(1, "192.0.2.1:1789")).await;
    assert_eq!(api.delete(NODE, &key(1)).await, 200);
    api.register(NODE, &mix(1, "192.0.2.1:1789")).await;
    let delete = || Request::delete(format!("/api/mixmining/register/{}", key(1)));
    let wrong = delete().header("authorization", "Bearer wrong");
    assert_eq!(api.send(NODE, wrong, Body::empty()).await.0, 403, "from any caller");
    assert_eq!(api.send_with_token(delete(), Body::empty()).await.0, 200);
}

#[tokio::test]
async fn strangers_behind_a_proxy_that_adds_no_header_remove_no_nodes() {
    let api = Api::new().await;
    assert_eq!(api.register(HOME, &mix(1, "192.0.2.1:1789")).await.0, 200);
    assert_eq!(api.delete(HOME, &key(1)).await, 403);
}

#[tokio::test]
async fn a_trusted_proxy_names_the_caller() {
    let api = Api::new().await;
    api.register(NODE, &mix(1, "192.0.2.1:1789")).await;
    let delete = |from| {
        let path = format!("/api/mixmining/register/{}", key(1));
        Request::delete(path).header("x-forwarded-for", from)
    };
    assert_eq!(api.send(PROXY, delete(STRANGER), Body::empty()).await.0, 403);
    assert_eq!(api.send(STRANGER, delete(NODE), Body::empty()).await.0, 403, "a forged header");
    assert_eq!(api.send(PROXY, delete("192.0.2.1, 203.0.113.9"), Body::empty()).await.0, 403, "a forged first address");
    assert_eq!(api.send(PROXY, delete("203.0.113.9, 192.0.2.1"), Body::empty()).await.0, 200);
}

#[tokio::test]
async fn the_token_is_accepted_only_with_a_host_name_of_this_registry() {
    let api = Api::new().await;
    api.register(NODE, &mix(1, "192.0.2.1:1789")).await;
    let patch = || Request::patch(format!("/api/mixmining/reputation/{}?reputation=9", key(1)));
    for (host, expected) in [("192.0.2.7:8081", 200), ("registry.example", 200), ("evil.example", 421)] {
        assert_eq!(api.send_with_token(patch().header("host", host), Body::empty()).await.0, expected, "{host}");
    }
}

#[tokio::test]
async fn a_request_through_an_untrusted_proxy_has_no_known_caller() {
    let api = Api::new().await;
    for (byte, header) in [(1, "X-Forwarded-For"), (2, "Forwarded"), (3, "X-Real-IP"), (4, "Via")] {
        let register = Request::post("/api/mixmining/register/mix")
            .header("content-type", "application/json")
            .header(header, STRANGER);
        let (status, body) = api.send(HOME, register, mix(byte, "192.0.2.1:1789").to_string()).await;
        assert_eq!((status, body["pending"].as_array().map(Vec::len)), (200, Some(1)), "it proves nothing");

        let delete = Request::delete(format!("/api/mixmining/register/{}", key(byte))).header(header, NODE);
        assert_eq!(api.send(HOME, delete, Body::empty()).await.0, 403, "{header}");
        let patch =
            Request::patch(format!("/api/mixmining/reputation/{}?reputation=9", key(byte))).header(header, HOME);
        assert_eq!(api.send(HOME, patch, Body::empty()).await.0, 403, "{header}");
    }
}

/// A node that signs its calls.
struct Signed {
    keys: IdentityKeyPair,
}

impl Signed {
    fn new() -> Self {
        Self { keys: IdentityKeyPair::generate().unwrap() }
    }

    fn identity(&self) -> String {
        self.keys.public_base58()
    }

    fn mix(&self, api: &Api, host: &str, counter: u64, token: Option<&[u8]>) -> Value {
        let mut unsigned = mix(1, host);
        unsigned["identityKey"] = json!(self.identity());
        let unsigned: MixRegistration = serde_json::from_value(unsigned).unwrap();
        json!(signing::sign(&unsigned, &self.keys, api.store.key().public(), counter, token).unwrap())
    }

    fn deletion(&self, api: &Api, counter: u64) -> Builder {
        Request::delete(self.deletion_path(api, counter, false))
    }

    fn deletion_path(&self, api: &Api, counter: u64, releases: bool) -> String {
        let registry = api.store.key().public();
        let message = if releases {
            signing::release_request(registry, &self.identity(), counter)
        } else {
            signing::unregistration(registry, &self.identity(), counter)
        };
        let signature = bs58::encode(self.keys.sign(&message).unwrap()).into_string();
        let release = if releases { "&release=true" } else { "" };
        format!("/api/mixmining/register/{}?counter={counter}&signature={signature}{release}", self.identity())
    }
}

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
    api.store.purge(now_ns() + 30 * 24 * 3600 * 1_000_000_000).await.unwrap();
    assert_eq!(api.store.counter(&node.identity()).await.unwrap(), 0, "it is forgotten");

    assert_eq!(api.register(NODE, &node.mix(&api, "192.0.2.1:1790", start().await, None)).await.0, 200);
    assert_eq!(api.register(NODE, &overheard).await.0, 409);
}

#[tokio::test]
async fn a_closed_registry_accepts_only_admitted_identities_and_requires_no_proof() {
    let list = tempfile::NamedTempFile::new().unwrap();
    let token = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(list.path(), key(1)).unwrap();
    std::fs::write(token.path(), "0123456789abcdef").unwrap();
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
    std::fs::write(list.path(), key(1)).unwrap();
    let api = Api::with(Gate::open(Some(list.path()), None, false).unwrap()).await;
    assert_eq!(api.register(NODE, &mix(2, "192.0.2.1:1789")).await.0, 403);
    std::fs::write(list.path(), format!("{}\n{}\n", key(1), key(2))).unwrap();
    let is_admitted = async {
        while api.register(NODE, &mix(2, "192.0.2.1:1789")).await.0 == 403 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(Duration::from_secs(60), is_admitted).await.unwrap();
    assert_eq!(api.identities().await, [key(2)]);
}

#[tokio::test]
async fn measurements_and_reputation_require_the_token_from_any_address() {
    let api = Api::new().await;
    api.register(NODE, &mix(1, "192.0.2.1:1789")).await;
    let status = json!({"pubKey": key(1), "ipVersion": "4", "up": true});
    let batch = json!({"status": [status, status]});
    let patch = || Request::patch(format!("/api/mixmining/reputation/{}?reputation=100", key(1)));
    for from in [STRANGER, NODE, HOME, "::1"] {
        assert_eq!(api.post(from, "/api/mixmining", &status).await.0, 403, "{from}");
        assert_eq!(api.post(from, "/api/mixmining/batch", &batch).await.0, 403, "{from}");
        assert_eq!(api.send(from, patch(), Body::empty()).await.0, 403, "{from}");
    }
    let (_, topology) = api.get("/api/mixmining/topology").await;
    assert_eq!(topology["mixNodes"][0]["reputation"], json!(0));

    assert_eq!(api.measure("/api/mixmining", &status).await, (201, json!({"ok": true})));
    assert_eq!(api.measure("/api/mixmining/batch", &batch).await.0, 201);
    let (_, topology) = api.get("/api/mixmining/topology").await;
    assert_eq!(topology["mixNodes"][0]["reputation"], json!(9));
    assert_eq!(api.get("/api/mixmining/topology/active").await.1["mixNodes"], json!([]));

    assert_eq!(api.send_with_token(patch(), Body::empty()).await.0, 200);
    let (_, active) = api.get("/api/mixmining/topology/active").await;
    assert_eq!(active["mixNodes"][0]["identityKey"], json!(key(1)));
    assert_eq!(api.get("/api/mixmining/topology/removed").await.1["mixNodes"], json!([]));
}

#[tokio::test]
async fn a_listed_monitor_may_only_report_measurements() {
    let api = Api::new().await;
    api.register(NODE, &mix(1, "192.0.2.1:1789")).await;
    let status = json!({"pubKey": key(1), "ipVersion": "4", "up": true});
    assert_eq!(api.post(MONITOR, "/api/mixmining", &status).await.0, 201);
    assert_eq!(api.post(MONITOR, "/api/mixmining/batch", &json!({"status": [status]})).await.0, 201);
    assert_eq!(api.get("/api/mixmining/topology").await.1["mixNodes"][0]["reputation"], json!(6));
    // Requests through an untrusted proxy have no known caller.
    let proxied = Request::post("/api/mixmining").header("x-forwarded-for", MONITOR);
    let proxied = proxied.header("content-type", "application/json");
    assert_eq!(api.send(MONITOR, proxied, status.to_string()).await.0, 403);
    let patch = Request::patch(format!("/api/mixmining/reputation/{}?reputation=100", key(1)));
    assert_eq!(api.send(MONITOR, patch, Body::empty()).await.0, 403);
    assert_eq!(api.delete(MONITOR, &key(1)).await, 403);
}

#[tokio::test]
async fn a_bad_reputation_is_refused() {
    let api = Api::new().await;
    api.register(NODE, &mix(1, "192.0.2.1:1789")).await;
    for (identity, query, expected) in [
        (key(1), "", 400),
        (key(1), "?reputation=", 400),
        (key(1), "?reputation=x", 400),
        (key(1), "?reputation=-1", 400),
        (key(1), "?reputation=9223372036854775807", 400),
        (key(2), "?reputation=1", 404),
    ] {
        let patch = Request::patch(format!("/api/mixmining/reputation/{identity}{query}"));
        assert_eq!(api.send_with_token(patch, Body::empty()).await.0, expected, "{query}");
    }
}

#[tokio::test]
async fn a_batch_has_a_larger_size_limit_than_other_bodies() {
    let api = Api::new().await;
    let batch_of = |count| {
        let status = json!({"pubKey": key(1), "ipVersion": "6", "up": true});
        json!({"status": vec![status; count]})
    };
    assert_eq!(api.measure("/api/mixmining/batch", &batch_of(2000)).await.0, 201);
    assert_eq!(api.measure("/api/mixmining/batch", &batch_of(120_000)).await.0, 413);
    let (_, history) = api.get(&format!("/api/mixmining/node/{}/history", key(1))).await;
    assert_eq!(history.as_array().unwrap().len(), 1000, "the newest ones");
}

#[tokio::test]
async fn reports_follow_from_the_stored_measurements() {
    let api = Api::new().await;
    let report_path = format!("/api/mixmining/node/{}/report", key(1));
    assert_eq!(api.get(&report_path).await.0, 404);
    assert_eq!(api.get("/api/mixmining/fullreport").await, (200, json!({"report": []})));
    let history_path = format!("/api/mixmining/node/{}/history", key(1));
    assert_eq!(api.get(&history_path).await, (200, json!([])));
    for up in [true, true, false] {
        api.measure("/api/mixmining", &json!({"pubKey": key(1), "ipVersion": "4", "up": up})).await;
    }
    let expected = json!({
        "pubKey": key(1),
        "mostRecentIPV4": false, "last5MinutesIPV4": 66, "lastHourIPV4": 66, "lastDayIPV4": 66,
        "mostRecentIPV6": false, "last5MinutesIPV6": 0, "lastHourIPV6": 0, "lastDayIPV6": 0,
    });
    assert_eq!(api.get(&report_path).await, (200, expected.clone()));
    assert_eq!(api.get("/api/mixmining/fullreport").await, (200, json!({"report": [expected]})));
    let (_, history) = api.get(&history_path).await;
    assert_eq!(history[0]["up"], json!(false));
    assert!(history[0]["timestamp"].is_i64());
}

#[tokio::test]
async fn a_report_with_a_megabyte_of_next_hops_is_accepted_and_kept_small() {
    let api = Api::new().await;
    api.register(NODE, &mix(1, "192.0.2.1:1789")).await;
    let with_next_hops = |count: u32| {
        let sent: serde_json::Map<_, _> = (0..count).map(|i| (format!("[2001:db8::{i:x}]:1789"), json!(i))).collect();
        json!({"pubKey": key(1), "received": 128, "sent": sent})
    };
    let report = with_next_hops(34_000);
    assert!((900_000..1 << 20).contains(&report.to_string().len()));
    assert_eq!(api.post(NODE, "/api/metrics/mixes", &report).await, (201, json!({"nextReportIn": 5})));
    assert_eq!(api.post(NODE, "/api/metrics/mixes", &with_next_hops(60_000)).await.0, 413);
    let (_, list) = api.send_with_token(Request::get("/api/metrics/mixes"), Body::empty()).await;
    assert_eq!((&list[0]["sent"], &list[0]["received"]), (&json!({}), &json!(128)));
}

#[tokio::test]
async fn a_topology_is_sent_again_only_when_it_has_changed() {
    let api = Api::new().await;
    api.register(NODE, &mix(1, "192.0.2.1:1789")).await;
    let get = async |known: Option<&str>| {
        let mut request = Request::get("/api/mixmining/topology").extension(Peer(STRANGER.parse().unwrap()));
        if let Some(known) = known {
            request = request.header("if-none-match", known);
        }
        let response = api.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        let tag = parts.headers["etag"].to_str().unwrap().to_owned();
        assert_eq!(parts.headers["cache-control"], "no-cache");
        (parts.status.as_u16(), tag, to_bytes(body, usize::MAX).await.unwrap().len())
    };
    let (status, tag, length) = get(None).await;
    assert!(status == 200 && length > 100);
    for known in [tag.clone(), format!("W/{tag}"), format!("\"other\", {tag}"), "*".to_owned()] {
        assert_eq!(get(Some(&known)).await, (304, tag.clone(), 0), "{known}");
    }
    assert_eq!(get(Some("\"other\"")).await, (200, tag.clone(), length));
    api.register(STRANGER, &mix(2, "203.0.113.9:1789")).await;
    let (status, other, longer) = get(Some(&tag)).await;
    assert!(status == 200 && other != tag && longer > length);
}

#[tokio::test]
async fn metrics_are_taken_from_registered_nodes_and_listed_with_their_time() {
    let api = Api::new().await;
    let metric = json!({"pubKey": key(1), "received": 128, "sent": {}});
    assert_eq!(api.post(NODE, "/api/metrics/mixes", &metric).await.0, 404);
    api.register(NODE, &mix(1, "192.0.2.1:1789")).await;
    assert_eq!(api.post(NODE, "/api/metrics/mixes", &metric).await, (201, json!({"nextReportIn": 5})));
    assert_eq!(api.get("/api/metrics/mixes").await, (200, json!([])), "counts of single nodes are for the operator");
    let (status, list) = api.send_with_token(Request::get("/api/metrics/mixes"), Body::empty()).await;
    assert_eq!((status, list.as_array().unwrap().len()), (200, 1));
    assert_eq!((&list[0]["received"], &list[0]["pubKey"]), (&json!(128), &json!(key(1))));
    assert!(list[0]["timestamp"].is_i64());
}

#[tokio::test]
async fn a_failing_store_is_a_500_without_details() {
    let api = Api::new().await;
    assert_eq!(api.get("/healthz").await.0, 200);
    api.store.close().await;
    for path in ["/api/mixmining/topology", "/api/mixmining/fullreport"] {
        let (status, body) = api.get(path).await;
        assert_eq!(status, 500);
        assert!(body["error"].as_str().unwrap().starts_with("internal error"), "{body}");
    }
}

#[tokio::test]
async fn metrics_contain_reputation_and_measurements_of_registered_nodes() {
    let api = Api::new().await;
    api.register(NODE, &mix(1, "192.0.2.1:1789")).await;
    for (byte, ip_version, up) in [(1, "4", true), (1, "4", true), (1, "4", true), (1, "4", false), (2, "6", true)] {
        api.measure("/api/mixmining", &json!({"pubKey": key(byte), "ipVersion": ip_version, "up": up})).await;
    }
    let request = Request::get("/metrics").extension(Peer(STRANGER.parse().unwrap())).body(Body::empty()).unwrap();
    let response = api.router.clone().oneshot(request).await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    let body = String::from_utf8(body.to_vec()).unwrap();
    let of_node = format!("identity=\"{}\"", key(1));
    for line in [
        "mix_registry_nodes{role=\"mixnode\"} 1".to_owned(),
        "mix_registry_nodes{role=\"gateway\"} 0".to_owned(),
        "mix_registry_active_mixnodes 0".to_owned(),
        format!("mix_registry_node_reputation{{{of_node},layer=\"1\"}} 7"),
        format!("mix_registry_node_up{{{of_node},ip_version=\"4\"}} 0"),
        format!("mix_registry_node_uptime_ratio{{{of_node},ip_version=\"4\"}} 0.75"),
    ] {
        assert!(body.lines().any(|actual| actual == line), "{line} is missing in\n{body}");
    }
    let time = format!("mix_registry_node_measured_timestamp_seconds{{{of_node},ip_version=\"4\"}} ");
    assert_eq!(body.lines().filter(|line| line.starts_with(&time)).count(), 1, "{body}");
    assert!(!body.contains(&key(2)), "a node that is not registered is listed:\n{body}");
}
