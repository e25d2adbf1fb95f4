//! Tests of measurements, reports and packet counts.

use tokio::time::sleep;

use super::*;

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
async fn monitors_with_tokens_of_their_own_are_told_apart_and_may_only_report() {
    let api = Api::new().await;
    api.register(NODE, &mix(1, "192.0.2.1:1789")).await;
    let with = |token: &str, request: Builder| request.header("authorization", format!("Bearer {token}"));
    let report = async |token: &str, up: bool| {
        let batch = json!({"status": [{"pubKey": key(1), "ipVersion": "4", "up": up}]});
        let post = with(token, Request::post("/api/mixmining/batch"));
        assert_eq!(api.send(STRANGER, post, batch.to_string()).await.0, 201);
        api.get("/api/mixmining/topology").await.1["mixNodes"][0]["reputation"].as_i64().unwrap()
    };
    assert_eq!((report(PARIS, true).await, report(PARIS, true).await), (3, 6));
    assert_eq!((report(ROME, false).await, report(PARIS, true).await), (6, 9), "the first report of another monitor");
    assert_eq!((report(ROME, false).await, report(PARIS, true).await), (9, 9), "they disagree");
    assert_eq!((report(ROME, true).await, report(PARIS, true).await), (9, 12), "they agree");

    let reputation = format!("/api/mixmining/reputation/{}?reputation=100", key(1));
    assert_eq!(api.send(STRANGER, with(PARIS, Request::patch(reputation)), Body::empty()).await.0, 403);
    let removal = Request::delete(format!("/api/mixmining/register/{}", key(1)));
    assert_eq!(api.send(STRANGER, with(PARIS, removal), Body::empty()).await.0, 403);
    assert_eq!(api.send(STRANGER, with(PARIS, Request::get("/api/metrics/mixes")), Body::empty()).await.0, 403);
    let unknown = with("the-token-of-nobody", Request::post("/api/mixmining/batch"));
    assert_eq!(api.send(STRANGER, unknown, json!({"status": []}).to_string()).await.0, 403);
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
    let full = (200, json!({"report": [expected]}));
    let follows = async {
        // On a busy machine the earlier answer was expensive and is given again for some time.
        while api.get("/api/mixmining/fullreport").await != full {
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(Duration::from_secs(60), follows).await.expect("the report of all nodes follows");
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
