//! Tests of the `OpenAPI` document, and of every operation in it against malformed requests.

use std::collections::BTreeSet;

use axum::http::header::ALLOW;

use super::*;

const METHODS: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "QUERY"];

/// Operation of the document.
struct Operation {
    method: String,
    path: String,
    definition: Value,
}

impl Operation {
    fn request(&self, identity: &str, query: &str) -> Builder {
        let path = format!("{}{query}", self.path.replace("{identity}", identity));
        Request::builder().method(self.method.as_str()).uri(path)
    }

    fn requires_token(&self) -> bool {
        self.definition["security"].as_array().is_some_and(|schemes| schemes.iter().all(|scheme| *scheme != json!({})))
    }

    fn has_parameters_in(&self, place: &str) -> bool {
        let parameters = self.definition["parameters"].as_array();
        parameters.is_some_and(|parameters| parameters.iter().any(|parameter| parameter["in"] == place))
    }

    fn has_body(&self) -> bool {
        self.definition.get("requestBody").is_some()
    }

    /// Fails unless the document has this status for the operation.
    fn expects(&self, status: u16) {
        let is_known = self.definition["responses"].get(status.to_string()).is_some();
        assert!(is_known, "the document has no status {status} for {} {}", self.method, self.path);
    }
}

impl Api {
    async fn operations(&self) -> Vec<Operation> {
        let (status, document) = self.get("/api/openapi.json").await;
        assert_eq!((status, &document["openapi"]), (200, &json!("3.1.0")));
        let mut operations = Vec::new();
        for (path, methods) in document["paths"].as_object().unwrap() {
            for (method, definition) in methods.as_object().unwrap() {
                let (method, path) = (method.to_uppercase(), path.clone());
                operations.push(Operation { method, path, definition: definition.clone() });
            }
        }
        operations
    }

    /// The status of a response, which must be a documented JSON error.
    async fn refused(&self, operation: &Operation, request: Builder, body: impl Into<Body>) -> u16 {
        let label = format!("{request:?}");
        let (status, _) = self.send_with_token(request, body).await;
        assert!((400..500).contains(&status), "{label}: {status}");
        operation.expects(status);
        status
    }
}

#[tokio::test]
async fn the_document_has_every_operation() {
    let api = Api::new().await;
    let operations = api.operations().await;
    let names: BTreeSet<String> =
        operations.iter().map(|operation| format!("{} {}", operation.method, operation.path)).collect();
    // Of wire.md of 0.9.2, and ours.
    let expected = [
        "DELETE /api/mixmining/register/{identity}",
        "GET /api/history/network",
        "GET /api/history/node/{identity}",
        "GET /api/metrics/mixes",
        "GET /api/mixmining/counter/{identity}",
        "GET /api/mixmining/fullreport",
        "GET /api/mixmining/node/{identity}/history",
        "GET /api/mixmining/node/{identity}/report",
        "GET /api/mixmining/pending",
        "GET /api/mixmining/topology",
        "GET /api/mixmining/topology/active",
        "GET /api/mixmining/topology/removed",
        "GET /api/openapi.json",
        "GET /healthz",
        "GET /metrics",
        "PATCH /api/mixmining/reputation/{identity}",
        "POST /api/metrics/mixes",
        "POST /api/mixmining",
        "POST /api/mixmining/batch",
        "POST /api/mixmining/register/gateway",
        "POST /api/mixmining/register/mix",
    ];
    assert_eq!(names.iter().map(String::as_str).collect::<Vec<_>>(), expected);
    let ids: BTreeSet<_> = operations.iter().map(|operation| operation.definition["operationId"].as_str()).collect();
    assert_eq!(ids.len(), operations.len(), "operations have names of their own");
}

#[tokio::test]
async fn a_path_supports_the_methods_of_the_document_and_no_others() {
    let api = Api::new().await;
    let operations = api.operations().await;
    let paths: BTreeSet<_> = operations.iter().map(|operation| operation.path.as_str()).collect();
    for path in paths {
        let documented = |method: &str| operations.iter().any(|of| of.path == path && of.method == method);
        for method in METHODS {
            // GET is the only method with a second one.
            let is_supported = documented(method) || (method == "HEAD" && documented("GET"));
            let peer = Peer(STRANGER.parse().unwrap());
            let request = Request::builder().method(method).uri(path.replace("{identity}", &key(1))).extension(peer);
            let response = api.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
            assert_eq!(response.status() != StatusCode::METHOD_NOT_ALLOWED, is_supported, "{method} {path}");
            if !is_supported {
                let allowed = response.headers()[ALLOW].to_str().unwrap().to_owned();
                let allowed: BTreeSet<_> = allowed.split(',').filter(|method| *method != "HEAD").collect();
                let expected: BTreeSet<_> = METHODS.into_iter().filter(|method| documented(method)).collect();
                assert_eq!(allowed, expected, "{method} {path}");
                assert_eq!(response.headers()["content-type"], "application/json", "{method} {path}");
            }
        }
    }
}

#[tokio::test]
async fn every_schema_that_the_document_refers_to_is_in_it() {
    let api = Api::new().await;
    let (_, document) = api.get("/api/openapi.json").await;
    let text = document.to_string();
    let references: BTreeSet<_> = text.split("\"$ref\":\"#/components/schemas/").skip(1).collect();
    assert!(references.len() > 10, "{}", references.len());
    for reference in references {
        let name = reference.split('"').next().unwrap();
        assert!(document["components"]["schemas"].get(name).is_some(), "{name}");
    }
    assert!(!text.contains("[`"), "links of the sources mean nothing to readers of the document: {text}");
}

#[tokio::test]
async fn privileged_calls_without_the_token_are_refused() {
    let api = Api::new().await;
    let operations = api.operations().await;
    let mut privileged = 0;
    for operation in operations.iter().filter(|operation| operation.requires_token()) {
        for header in [None, Some("Bearer wrong"), Some("nonsense")] {
            let request = operation.request(&key(1), "");
            let request = header.into_iter().fold(request, |request, value| request.header("authorization", value));
            assert_eq!(api.send(STRANGER, request, "{}").await.0, 403, "{} {}", operation.method, operation.path);
            operation.expects(403);
        }
        privileged += 1;
    }
    assert_eq!(privileged, 3);
}

#[tokio::test]
async fn a_body_that_is_not_what_an_operation_takes_is_refused() {
    let api = Api::new().await;
    let operations = api.operations().await;
    let long = format!("{{\"pubKey\":\"{}", "x".repeat(BATCH_BYTES_MAX));
    let deep = "[".repeat(10_000);
    let wrong: [&[u8]; 14] = [
        b"",
        b"{",
        b"{}",
        b"[]",
        b"[1,2,3]",
        b"null",
        b"true",
        b"7",
        b"\"text\"",
        b"\xff\xfe",
        b"{\"pubKey\":\"\xff\"}",
        b"\0",
        b"{\"a\":1}}",
        deep.as_bytes(),
    ];
    for operation in operations.iter().filter(|operation| operation.has_body()) {
        for body in wrong {
            api.refused(operation, operation.request("", ""), body.to_vec()).await;
        }
        let status = api.refused(operation, operation.request("", ""), long.clone()).await;
        assert_eq!(status, 413, "{}", operation.path);
        let of_page =
            operation.request("", "").header("origin", "http://evil.example").header("content-type", "text/plain");
        assert_eq!(api.refused(operation, of_page, "{}").await, 415, "{}", operation.path);
    }
}

#[tokio::test]
async fn bytes_that_are_not_utf_8_are_refused_wherever_they_are_in_a_body() {
    let api = Api::new().await;
    api.register(NODE, &mix(1, "192.0.2.1:1789")).await;
    for body in [
        &b"{\"pubKey\":\"KEY\",\"received\":1,\"sent\":{\"\xff\":1}}"[..],
        b"{\"pubKey\":\"KEY\",\"received\":1,\"\xc3\x28\":1}",
        b"{\"pubKey\":\"KEY\",\"received\":1,\"more\":[\"\xe2\x82\"]}",
        b"{\"pubKey\":\"KEY\xff\",\"received\":1}",
    ] {
        let known = key(1);
        let at = body.windows(3).position(|bytes| bytes == b"KEY").unwrap();
        let body = [&body[..at], known.as_bytes(), &body[at + 3..]].concat();
        let label = String::from_utf8_lossy(&body).into_owned();
        assert_eq!(api.send(NODE, Request::post("/api/metrics/mixes"), body).await.0, 400, "{label}");
    }
}

#[tokio::test]
async fn malformed_paths_and_queries_are_refused() {
    let api = Api::new().await;
    let operations = api.operations().await;
    for operation in operations.iter().filter(|operation| operation.has_parameters_in("path")) {
        for identity in ["%ff", "%00", "a%00b", "%c3%28"] {
            assert_eq!(api.refused(operation, operation.request(identity, ""), Body::empty()).await, 400);
        }
    }
    for (path, queries) in [
        ("/api/history/network", &["hours=x", "hours=", "hours=0", "hours=721", "hours=1&hours=2", "hours=%ff"][..]),
        ("/api/history/node/{identity}", &["hours=-1", "hours=1.5", "hours=99999999999999999999"]),
        ("/api/mixmining/counter/{identity}", &["", "nonce=", "nonce=a&nonce=b"]),
        ("/api/mixmining/reputation/{identity}", &["", "reputation=x", "reputation=-1", "reputation=%00"]),
        ("/api/mixmining/register/{identity}", &["release=x", "counter=-1&signature=x", "counter=1", "signature=x"]),
    ] {
        let operation = operations.iter().find(|operation| operation.path == path).unwrap();
        for query in queries {
            let request = operation.request(&key(1), &format!("?{query}"));
            assert_eq!(api.refused(operation, request, Body::empty()).await, 400, "{path} {query}");
        }
    }
}

#[tokio::test]
async fn a_measurement_of_an_identity_that_no_store_can_have_is_refused() {
    let api = Api::new().await;
    let status = json!({"pubKey": "a\0b", "ipVersion": "4", "up": true});
    assert_eq!(api.measure("/api/mixmining", &status).await.0, 400);
    assert_eq!(api.measure("/api/mixmining/batch", &json!({"status": [status]})).await.0, 400);
    assert_eq!(api.service.pending_of("a\0b").await.unwrap(), []);
}

#[tokio::test]
async fn unknown_paths_of_the_api_are_json_errors_for_browsers_too() {
    let api = Api::new().await;
    for path in ["/api", "/api/", "/api/nothing", "/api/mixmining/", "/api/openapi.json/", "/api/%ff"] {
        for accept in ["*/*", "text/html"] {
            let is_for_people = path == "/api" && accept == "text/html";
            if !is_for_people {
                assert_eq!(api.send(STRANGER, Request::get(path).header("accept", accept), "").await.0, 404, "{path}");
            }
        }
    }
}
