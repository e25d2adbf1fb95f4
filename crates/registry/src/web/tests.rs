//! Tests of the pages without sockets.

use std::net::IpAddr;

use axum::body::{Body, to_bytes};
use axum::http::HeaderMap;
use nym_mixnode_api::{IpVersion, MixStatus};
use nym_mixnode_http::{HostNames, Peer};
use nym_mixnode_net::Reach;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::*;
use crate::access::Access;
use crate::admission::Gate;
use crate::caps::Caps;
use crate::check::Rules;
use crate::http::router;
use crate::majority::Reporter;
use crate::reputation::ReputationRules;
use crate::store::Store;

const PROXY: &str = "10.0.0.1";
const HOSTILE: &str = "<script>alert(1)</script>\"'>&amp;<img src=x onerror=alert(2)>";

struct Site {
    router: Router,
    service: Service,
    _folder: tempfile::TempDir,
}

/// A response: status, headers and body.
struct Answer {
    status: u16,
    headers: HeaderMap,
    body: String,
}

impl Site {
    async fn new() -> Self {
        Self::with(Gate::default()).await
    }

    async fn with(gate: Gate) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("registry.sqlite")).await.unwrap();
        let access = Access {
            names: HostNames::new(&[]),
            trusted_proxies: vec![format!("{PROXY}/32").parse().unwrap()],
            ..Access::default()
        };
        let rules = Rules { reach: Reach::Private, layers: 3 };
        let service = Service::new(store, rules, gate, Caps::default(), ReputationRules::default(), &[]);
        Self { router: router(App::new(service.clone()), access), service, _folder: folder }
    }

    async fn send(&self, from: &str, request: axum::http::request::Builder, body: Body) -> Answer {
        let request = request.extension(Peer(from.parse::<IpAddr>().unwrap())).body(body).unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = String::from_utf8(to_bytes(response.into_body(), usize::MAX).await.unwrap().to_vec()).unwrap();
        Answer { status, headers, body }
    }

    async fn get(&self, path: &str) -> Answer {
        let request = Request::get(path).header("accept", "text/html,*/*").header("host", "203.0.113.5:8081");
        self.send("192.0.2.9", request, Body::empty()).await
    }

    async fn register(&self, role: &str, from: &str, entry: &Value) {
        let request = Request::post(format!("/api/mixmining/register/{role}"));
        let request = request.header("content-type", "application/json");
        let answer = self.send(from, request, Body::from(entry.to_string())).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
    }

    /// Tests of one node, some seconds ago.
    async fn test(&self, byte: u8, ip_version: IpVersion, up: bool, seconds_ago: i64) {
        let status = MixStatus { pub_key: key(byte), ip_version, up };
        let at = now_ns() - seconds_ago * 1_000_000_000;
        self.service.add_statuses(&Reporter::Unnamed, &[status], at).await.unwrap();
    }
}

fn key(byte: u8) -> String {
    bs58::encode([byte; 32]).into_string()
}

fn mix(byte: u8, layer: u64, location: &str) -> Value {
    json!({
        "mixHost": format!("192.0.2.{byte}:1789"), "identityKey": key(byte), "sphinxKey": key(byte), "version": "0.9.2",
        "location": location, "incentivesAddress": "", "layer": layer,
    })
}

fn gateway(byte: u8) -> Value {
    json!({
        "mixHost": format!("192.0.2.{byte}:1789"), "clientsHost": "ws://192.0.2.4:9000", "identityKey": key(byte),
        "sphinxKey": key(byte), "version": "0.9.2", "location": "Basel", "incentivesAddress": "",
    })
}

fn has(answer: &Answer, texts: &[&str]) {
    for text in texts {
        assert!(answer.body.contains(text), "{text}: {}", answer.body);
    }
}

#[tokio::test]
async fn every_page_has_the_headers_that_forbid_scripts_and_other_servers() {
    let site = Site::new().await;
    site.register("mix", "192.0.2.1", &mix(1, 1, "Bern")).await;
    let (node, unknown) = (format!("/nodes/{}", key(1)), format!("/nodes/{}", key(9)));
    for (path, status) in [
        ("/", 200),
        (&node, 200),
        ("/network", 200),
        ("/join", 200),
        (&unknown, 404),
        ("/nodes/%ff", 404),
        ("/nowhere", 404),
        ("/?layer=9", 400),
        ("/?page=2", 400),
    ] {
        let answer = site.get(path).await;
        assert_eq!(answer.status, status, "{path}");
        let header = |name: &str| answer.headers[name].to_str().unwrap();
        assert_eq!(header("content-type"), "text/html; charset=utf-8");
        let policy = header("content-security-policy");
        assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
        assert_eq!((header("x-content-type-options"), header("referrer-policy")), ("nosniff", "no-referrer"));
        assert!(answer.body.starts_with("<!DOCTYPE html>"), "{path}");
        for forbidden in ["<script", " style=", "<style", "href=\"http", "src=\"http", "javascript:"] {
            assert!(!answer.body.contains(forbidden), "{path} has {forbidden}");
        }
    }
    for (path, content_type) in [("/explorer.css", "text/css; charset=utf-8"), ("/explorer.svg", "image/svg+xml")] {
        let answer = site.get(path).await;
        assert_eq!((answer.status, answer.headers["content-type"].to_str().unwrap()), (200, content_type));
        assert!(!answer.body.contains("url("), "{path} refers to nothing else");
    }
}

#[tokio::test]
async fn programs_still_get_json_for_unknown_paths() {
    let site = Site::new().await;
    for (path, accept) in [("/nowhere", "*/*"), ("/api/nowhere", "text/html"), ("/nowhere", "application/json")] {
        let answer = site.send("192.0.2.9", Request::get(path).header("accept", accept), Body::empty()).await;
        assert_eq!((answer.status, &answer.headers["content-type"]), (404, &"application/json".parse().unwrap()));
    }
}

#[tokio::test]
async fn a_hostile_location_is_text_on_every_page() {
    let site = Site::new().await;
    site.register("mix", "192.0.2.1", &mix(1, 1, HOSTILE)).await;
    let mut hostile_gateway = gateway(4);
    hostile_gateway["clientsHost"] = json!(HOSTILE);
    hostile_gateway["version"] = json!(HOSTILE);
    site.register("gateway", "192.0.2.4", &hostile_gateway).await;
    let search =
        format!("/?{}", url::form_urlencoded::Serializer::new(String::new()).append_pair("q", HOSTILE).finish());
    for path in ["/", "/network", &format!("/nodes/{}", key(1)), &format!("/nodes/{}", key(4)), &search] {
        let answer = site.get(path).await;
        assert_eq!(answer.status, 200, "{path}");
        assert!(!answer.body.contains("<script") && !answer.body.contains("<img src=x"), "{path}: {}", answer.body);
        has(&answer, &["&lt;script&gt;alert(1)&lt;/script&gt;"]);
    }
}

#[tokio::test]
async fn nodes_are_listed_with_their_tests_and_found_by_key() {
    let site = Site::new().await;
    for byte in [1, 2, 3] {
        site.register("mix", &format!("192.0.2.{byte}"), &mix(byte, u64::from(byte), "Bern")).await;
    }
    site.register("gateway", "192.0.2.4", &gateway(4)).await;
    for seconds_ago in [120, 60, 0] {
        site.test(1, IpVersion::V4, true, seconds_ago).await;
        site.test(2, IpVersion::V4, false, seconds_ago).await;
    }
    site.service.set_reputation(&key(3), 100).await.unwrap();
    let all = site.get("/").await;
    has(&all, &["3 mixnodes and 1 gateway, 1 of them in the active set", "Layers 1 and 2 have no active node"]);
    has(&all, &[">Joining<", ">Down<", ">Not tested<", "active in about "]);
    let by_key = site.get(&format!("/?q={}", key(2))).await;
    has(&by_key, &["1 of 4 nodes match", &format!("/nodes/{}", key(2))]);
    assert!(!by_key.body.contains(&format!("/nodes/{}", key(1))));
    let down = site.get("/?state=down").await;
    has(&down, &["1 of 4 nodes match", &format!("/nodes/{}", key(2))]);
    let network = site.get("/network").await;
    has(&network, &["ws://192.0.2.4:9000", &site.service.registry_key()]);
}

#[tokio::test]
async fn the_page_of_a_gateway_shows_its_tls_endpoint_or_that_it_has_none() {
    let site = Site::new().await;
    let mut with_tls = gateway(4);
    let hash = "qFVIzO06NAv2GHpuJH2qLBc+veS7+qg+I8ab+E5TuwM=";
    with_tls["clientsTls"] = json!({"url": "wss://192.0.2.4:9443", "keyHash": hash});
    site.register("gateway", "192.0.2.4", &with_tls).await;
    site.register("gateway", "192.0.2.5", &gateway(5)).await;
    has(&site.get(&format!("/nodes/{}", key(4))).await, &["With TLS", "wss://192.0.2.4:9443", hash]);
    has(&site.get(&format!("/nodes/{}", key(5))).await, &["With TLS", "not offered"]);
}

#[tokio::test]
async fn the_page_of_a_node_shows_its_day_and_what_to_do() {
    let site = Site::new().await;
    site.register("mix", "192.0.2.1", &mix(1, 1, "Bern")).await;
    for (up, seconds_ago) in [(true, 25 * 3600), (true, 23 * 3600), (true, 7200), (false, 60), (false, 0)] {
        site.test(1, IpVersion::V4, up, seconds_ago).await;
    }
    let page = site.get(&format!("/nodes/{}", key(1))).await;
    has(&page, &[">Down<", "What to do", "--announce-host", "ulimit -n", "IPv6", &key(1), "192.0.2.1:1789"]);
    has(&page, &["IPv4: 50.0\u{202f}% of 4 tests passed", "Passed in 24\u{a0}h", "Passed in 30\u{a0}days"]);
    has(&page, &["Reputation, from 3 to 5; the active set begins at 100"]);
    assert!(!page.body.contains("IPv6: "), "it has no chart without tests");
}

#[tokio::test]
async fn probers_are_not_listed() {
    let site = Site::new().await;
    let mut prober = gateway(4);
    prober["expiresIn"] = json!(60);
    site.register("gateway", "192.0.2.4", &prober).await;
    has(&site.get("/").await, &["No node is registered yet", "How to join"]);
}

#[tokio::test]
async fn traffic_is_shown_per_layer_and_hour_only() {
    let site = Site::new().await;
    site.register("mix", "192.0.2.1", &mix(1, 1, "Bern")).await;
    let hour = 3600 * 1_000_000_000;
    for (received, hours_ago) in [(123_456, 1), (654_321, 0)] {
        site.service.add_metric(&key(1), received, None, now_ns() - hours_ago * hour).await.unwrap();
    }
    for up in [true, false] {
        site.test(1, IpVersion::V4, up, 3600).await;
    }
    let network = site.get("/network").await;
    has(&network, &["Traffic of the last 24 complete hours", "120\u{202f}000"]);
    has(&network, &["Layer 1: at most 120000 packets per hour"]);
    has(&network, &["Layer 1: 50.0\u{202f}% of all tests passed, 50.0\u{202f}% in the worst hour"]);
    for page in [network, site.get("/").await, site.get(&format!("/nodes/{}", key(1))).await] {
        for exact in ["123456", "123\u{202f}456", "650000", "650\u{202f}000"] {
            assert!(!page.body.contains(exact), "{exact}");
        }
    }
}

#[tokio::test]
async fn a_node_without_a_proven_address_is_shown_as_pending_and_not_listed() {
    let site = Site::new().await;
    site.register("mix", "192.0.2.77", &mix(1, 1, "Bern")).await;
    let page = site.get(&format!("/nodes/{}", key(1))).await;
    assert_eq!(page.status, 200);
    has(&page, &[">Pending<", "192.0.2.1:1789"]);
    let all = site.get("/").await;
    assert!(!all.body.contains(&format!("/nodes/{}", key(1))));
    let unknown = site.get(&format!("/nodes/{}", key(2))).await;
    assert_eq!(unknown.status, 404);
    has(&unknown, &["Not registered", "nym-mixnode health"]);
}

#[tokio::test]
async fn the_commands_for_joining_have_this_registrys_url_and_rules() {
    let folder = tempfile::tempdir().unwrap();
    let (list, token) = (folder.path().join("list"), folder.path().join("token"));
    std::fs::write(&list, key(1)).unwrap();
    std::fs::write(&token, "0123456789abcdef").unwrap();
    let gate = |by_list: bool, by_token: bool| {
        Gate::open(by_list.then_some(list.as_path()), by_token.then_some(token.as_path()), true).unwrap()
    };
    let open = Site::new().await.get("/join").await;
    has(&open, &["--validator http://203.0.113.5:8081 --allow-private", "17 rounds with both", "Everybody can add"]);
    assert!(!open.body.contains("join-token"));
    let by_token = Site::with(gate(false, true)).await.get("/join").await;
    has(&by_token, &["--directory-join-token-file join-token", "closed"]);
    assert!(!by_token.body.contains("0123456789abcdef"));
    let by_list = Site::with(gate(true, false)).await.get("/join").await;
    has(&by_list, &["Send the operator the identity key"]);
    assert!(!by_list.body.contains("join-token"));
}

#[tokio::test]
async fn the_url_behind_a_trusted_proxy_is_the_public_one() {
    let site = Site::new().await;
    let request = || {
        Request::get("/join")
            .header("host", "registry:8081")
            .header("x-forwarded-host", "mix.example")
            .header("x-forwarded-proto", "https")
    };
    let through_proxy = site.send(PROXY, request(), Body::empty()).await;
    has(&through_proxy, &["--validator https://mix.example "]);
    let by_stranger = site.send("192.0.2.9", request(), Body::empty()).await;
    has(&by_stranger, &["--validator http://registry:8081 "]);
    let hostile = site.send("192.0.2.9", Request::get("/join").header("host", "x;id"), Body::empty()).await;
    has(&hostile, &["--validator http://REGISTRY:8081 "]);
}

#[tokio::test]
async fn a_failing_store_gives_a_page_without_details() {
    let site = Site::new().await;
    site.service.close().await;
    let answer = site.get("/").await;
    assert_eq!(answer.status, 500);
    has(&answer, &["cannot read its store"]);
    assert!(!answer.body.to_lowercase().contains("pool"));
}
