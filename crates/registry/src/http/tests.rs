//! Tests of the API without sockets: requests from any address, replies as bytes.

use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;

use axum::body::{Body, to_bytes};
use axum::http::request::Builder;
use nym_mixnode_api::{CounterReply, GatewayRegistration, MixRegistration, signing};
use nym_mixnode_directory::{MonitorToken, NamedTokens};
use nym_mixnode_http::{HostNames, Peer};
use nym_mixnode_keys::IdentityKeyPair;
use nym_mixnode_net::Reach;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::*;
use crate::admission::Gate;
use crate::caps::Caps;
use crate::check::Rules;
use crate::now_ns;
use crate::reputation::ReputationRules;
use crate::store::tests::Place;

mod admission;
mod document;
mod hostile;
mod measurements;
mod release;
mod renewal;
mod signed;

const HOME: &str = "127.0.0.1";
const NODE: &str = "192.0.2.1";
const STRANGER: &str = "203.0.113.9";
const MONITOR: &str = "198.51.100.7";
const PROXY: &str = "10.0.0.1";
/// Tokens of single monitors.
const PARIS: &str = "the-token-of-paris";
const ROME: &str = "the-token-of-rome";

struct Api {
    router: Router,
    service: Service,
    token: MonitorToken,
    _place: Place,
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
        let place = Place::new().await;
        let store = place.open().await;
        let token = MonitorToken::read_or_create(&place.folder.path().join("monitor.token")).unwrap();
        let tokens = place.folder.path().join("tokens");
        fs::write(&tokens, format!("paris {PARIS}\nrome {ROME}\n")).unwrap();
        fs::set_permissions(&tokens, fs::Permissions::from_mode(0o600)).unwrap();
        let access = Access {
            named_tokens: NamedTokens::read(&tokens, &token).unwrap(),
            token: Some(token.clone()),
            monitors: vec![MONITOR.parse().unwrap()],
            names: HostNames::new(&["registry.example".to_owned()]),
            trusted_proxies: vec![format!("{PROXY}/32").parse().unwrap()],
            legacy_loopback_monitor: false,
        };
        let rules = Rules { reach: Reach::Private, layers: 3 };
        let service = Service::new(store, rules, gate, Caps::default(), ReputationRules::default(), &[]);
        Self { router: router(App::new(service.clone()), access), service, token, _place: place }
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
        (Request::post("/api/mixmining/register/mix"), "{}".to_owned(), 400),
        (Request::post("/api/mixmining/register/mix").header("origin", "http://evil.example"), "{}".to_owned(), 415),
        (Request::post("/api/metrics/mixes").header("origin", "http://evil.example"), "{}".to_owned(), 415),
        (Request::get("/api/mixmining/register/mix"), String::new(), 405),
        (Request::get("/nowhere"), String::new(), 404),
        (Request::post("/"), String::new(), 405),
        (Request::get("/api/mixmining/topology/else"), String::new(), 404),
        (Request::delete("/api/mixmining/register/%ff"), String::new(), 400),
    ] {
        let label = format!("{request:?}");
        let (status, _) = api.send(HOME, request, body).await;
        assert_eq!(status, expected, "{label}");
    }
}

#[tokio::test]
async fn a_body_is_json_whatever_its_content_type_says_unless_a_web_page_sends_it() {
    let api = Api::new().await;
    for (byte, header) in [(1, None), (2, Some("text/plain")), (3, Some("application/x-www-form-urlencoded"))] {
        let post = Request::post("/api/mixmining/register/mix");
        let post = match header {
            Some(content_type) => post.header("content-type", content_type),
            None => post,
        };
        let body = mix(byte, &format!("192.0.2.1:{byte}")).to_string();
        assert_eq!(api.send(NODE, post, body).await, (200, json!({"ok": true})), "{header:?}");
    }
    let of_page = Request::post("/api/mixmining/register/mix").header("origin", "http://evil.example");
    let body = mix(4, "192.0.2.1:4").to_string();
    assert_eq!(api.send(NODE, of_page.header("content-type", "text/plain"), body).await.0, 415);
    assert_eq!(api.identities().await, [key(1), key(2), key(3)]);
}

#[tokio::test]
async fn web_pages_may_read_the_public_api_and_nothing_else() {
    let api = Api::new().await;
    for (request, expected) in [
        (Request::get("/api/mixmining/topology"), Some("*")),
        (Request::get("/api/mixmining/topology/active"), Some("*")),
        (Request::get("/api/mixmining/node/unknown/report"), Some("*")),
        (Request::get("/api/metrics/mixes"), Some("*")),
        (Request::get("/healthz"), None),
        (Request::get("/metrics"), None),
        (Request::post("/api/mixmining/register/mix"), None),
        (Request::delete("/api/mixmining/register/unknown"), None),
        // Before a request with another method or a token, browsers ask.
        (Request::builder().method("OPTIONS").uri("/api/mixmining/topology"), None),
    ] {
        let peer = Peer(STRANGER.parse().unwrap());
        let request = request.header("origin", "https://wallet.example").extension(peer).body(Body::empty()).unwrap();
        let label = format!("{} {}", request.method(), request.uri());
        let response = api.router.clone().oneshot(request).await.unwrap();
        let allowed = response.headers().get("access-control-allow-origin").map(|value| value.to_str().unwrap());
        assert_eq!(allowed, expected, "{label}");
        assert!(!response.headers().contains_key("access-control-allow-headers"), "{label}");
    }
}

#[tokio::test]
async fn a_network_is_well_only_while_each_layer_has_an_active_node() {
    let api = Api::new().await;
    assert_eq!(api.get("/healthz").await, (200, json!({"ok": true})));
    for layer in [1, 2, 3] {
        let mut registration = mix(layer, &format!("192.0.2.1:{layer}"));
        registration["layer"] = json!(layer);
        api.register(NODE, &registration).await;
    }
    for (layer, left) in [(1, Some("layers 2 and 3 have")), (3, Some("layer 2 has")), (2, None)] {
        api.service.set_reputation(&key(layer), 100).await.unwrap();
        let (status, body) = api.get("/healthz?deep").await;
        match left {
            Some(empty) => assert_eq!((status, body), (503, json!({"error": format!("{empty} no active node")}))),
            None => assert_eq!((status, body), (200, json!({"ok": true}))),
        }
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
        json!(signing::sign(&unsigned, &self.keys, api.service.store().key().public(), counter, token).unwrap())
    }

    fn gateway(&self, api: &Api, host: &str, counter: u64, tls: &Value) -> Value {
        let mut unsigned = mix(1, host);
        unsigned["identityKey"] = json!(self.identity());
        unsigned["clientsHost"] = json!("ws://192.0.2.1:9000");
        unsigned["clientsTls"] = tls.clone();
        let unsigned: GatewayRegistration = serde_json::from_value(unsigned).unwrap();
        json!(signing::sign(&unsigned, &self.keys, api.service.store().key().public(), counter, None).unwrap())
    }

    fn deletion(&self, api: &Api, counter: u64) -> Builder {
        Request::delete(self.deletion_path(api, counter, false))
    }

    fn deletion_path(&self, api: &Api, counter: u64, releases: bool) -> String {
        let registry = api.service.store().key().public();
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
async fn a_failing_store_is_a_500_without_details() {
    let api = Api::new().await;
    assert_eq!(api.get("/healthz").await.0, 200);
    api.service.close().await;
    for path in ["/api/mixmining/topology", "/api/mixmining/fullreport"] {
        let (status, body) = api.get(path).await;
        assert_eq!(status, 500);
        assert!(body["error"].as_str().unwrap().starts_with("internal error"), "{body}");
    }
}
