//! Requests as the original programs of 0.9.2 send them, and the answers they expect, byte for byte.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::net::SocketAddr;
use std::time::Duration;

use nym_mixnode_registry::{Registry, RegistrySettings};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_mins(1);

const MIX: &str = "6Ky4PYVGYn2DqcR9rRR7RYkjWbWyTfaTxGvVX6wWgnqz";
const GATEWAY: &str = "EJJ9NL8YCWf3N67ppoS7jeRDUsQgv1RZg1z6iLG7PeX8";
const SPHINX_KEY: &str = "7kRUSmLM3rGd5qbKQZuL5VGUau1gwgh7gK4dxD3RmW5p";

/// Registry of one machine that accepts reports of the monitor of 0.9.2.
struct Original {
    address: SocketAddr,
    _serving: JoinSet<()>,
    home: tempfile::TempDir,
}

/// Answer without its date.
#[derive(Debug, PartialEq, Eq)]
struct Answer {
    head: String,
    body: String,
}

impl Original {
    async fn registry() -> Self {
        let home = tempfile::tempdir().unwrap();
        let listen = vec!["127.0.0.1:0".parse().unwrap()];
        let settings = RegistrySettings {
            allow_private: true,
            legacy_loopback_monitor: true,
            ..RegistrySettings::new(listen, home.path().join("registry.sqlite"))
        };
        let registry = Registry::bind(&settings).await.unwrap();
        let address = registry.local_addrs()[0];
        let mut serving = JoinSet::new();
        serving.spawn(registry.serve(std::future::pending()));
        Self { address, _serving: serving, home }
    }

    /// With the headers that the HTTP library of the original programs adds.
    async fn send(&self, method_and_path: &str, body: &str) -> Answer {
        let headers = if body.is_empty() {
            String::new()
        } else {
            format!("content-type: application/json\r\ncontent-length: {}\r\n", body.len())
        };
        let host = self.address;
        // The original keeps its connections; this closes them to see the end of the answer.
        let request = format!(
            "{method_and_path} HTTP/1.1\r\n{headers}accept: */*\r\nhost: {host}\r\nconnection: close\r\n\r\n{body}"
        );
        let mut connection = TcpStream::connect(self.address).await.unwrap();
        connection.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        timeout(PATIENCE, connection.read_to_string(&mut answer)).await.unwrap().unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let lines: Vec<&str> = head.split("\r\n").filter(|line| !line.starts_with("date: ")).collect();
        Answer { head: lines.join("\n"), body: body.to_owned() }
    }

    async fn expect(&self, method_and_path: &str, body: &str, status: &str, expected: &str) {
        let mut answer = self.send(method_and_path, body).await;
        // Web pages may read what anybody may read.
        let shared = "\naccess-control-allow-origin: *";
        let is_read = method_and_path.starts_with("GET ");
        assert_eq!(answer.head.contains(shared), is_read, "{}", answer.head);
        answer.head = answer.head.replace(shared, "");
        let length = expected.len();
        let head =
            format!("HTTP/1.1 {status}\ncontent-type: application/json\ncontent-length: {length}\nconnection: close");
        assert_eq!(answer, Answer { head, body: expected.to_owned() }, "{method_and_path}");
    }

    /// Topology with replaced registration times, which differ in each run.
    async fn topology(&self, path: &str) -> String {
        let answer = self.send(&format!("GET {path}"), "").await;
        assert!(answer.head.starts_with("HTTP/1.1 200 OK\n"), "{}", answer.head);
        assert!(answer.head.contains("\ncontent-type: application/json\n"), "{}", answer.head);
        let mut topology = String::new();
        let mut rest = answer.body.as_str();
        while let Some((before, after)) = rest.split_once("\"registrationTime\":") {
            let digits = after.find(|c: char| !c.is_ascii_digit()).unwrap();
            assert!(digits == 19, "nanoseconds since the epoch: {}", &after[..digits]);
            topology += before;
            topology += "\"registrationTime\":0";
            rest = &after[digits..];
        }
        topology + rest
    }
}

fn mix_registration(host: &str) -> String {
    format!(
        r#"{{"mixHost":"{host}","identityKey":"{MIX}","sphinxKey":"{SPHINX_KEY}","version":"0.9.2","location":"unknown","incentivesAddress":"","layer":1}}"#
    )
}

/// Identity of a mix of this layer.
fn identity(layer: u8) -> String {
    bs58::encode([layer; 32]).into_string()
}

fn gateway_registration() -> String {
    format!(
        r#"{{"mixHost":"127.0.0.1:1789","identityKey":"{GATEWAY}","sphinxKey":"{SPHINX_KEY}","version":"0.9.2","location":"unknown","incentivesAddress":"","clientsHost":"ws://127.0.0.1:9000"}}"#
    )
}

#[tokio::test]
async fn a_node_registers_reports_and_unregisters() {
    let registry = Original::registry().await;
    registry.topology("/api/mixmining/topology").await;
    let registration = mix_registration("127.0.0.1:1789");
    registry.expect("POST /api/mixmining/register/mix", &registration, "200 OK", r#"{"ok":true}"#).await;
    let report = format!(r#"{{"pubKey":"{MIX}","received":17,"sent":{{"127.0.0.2:1789":9,"127.0.0.3:1789":8}}}}"#);
    registry.expect("POST /api/metrics/mixes", &report, "201 Created", r#"{"nextReportIn":5}"#).await;
    registry.expect("GET /api/metrics/mixes", "", "200 OK", "[]").await;
    let unregister = format!("DELETE /api/mixmining/register/{MIX}");
    registry.expect(&unregister, "", "200 OK", r#"{"ok":true}"#).await;
    let unknown = registry.send(&unregister, "").await;
    assert!(unknown.head.starts_with("HTTP/1.1 404 Not Found\n"), "{}", unknown.head);
    assert!(unknown.body.starts_with(r#"{"error":""#), "{}", unknown.body);
}

#[tokio::test]
async fn a_gateway_registers_and_clients_read_only_the_active_set() {
    const VALIDATORS: &str = r#""validators":{"block_height":0,"validators":[]}"#;
    let registry = Original::registry().await;
    let registration = gateway_registration();
    registry.expect("POST /api/mixmining/register/gateway", &registration, "200 OK", r#"{"ok":true}"#).await;
    let topology = registry.topology("/api/mixmining/topology").await;
    let entries: serde_json::Value = serde_json::from_str(&topology).unwrap();
    let listed = entries["gateways"][0].as_object().unwrap();
    for (field, value) in serde_json::from_str::<serde_json::Value>(&registration).unwrap().as_object().unwrap() {
        assert_eq!(listed[field], *value, "{field}");
    }
    assert_eq!((&listed["registrationTime"], &listed["reputation"]), (&0.into(), &0.into()));
    assert!(!listed.contains_key("clientsTls"), "a gateway of 0.9.2 has none: {topology}");
    assert!(topology.contains(VALIDATORS), "{topology}");
    for path in ["/api/mixmining/topology/active", "/api/mixmining/topology/removed"] {
        let topology = registry.topology(path).await;
        assert!(topology.contains(r#""mixNodes":[],"gateways":[]"#) && topology.contains(VALIDATORS), "{topology}");
    }
}

#[tokio::test]
async fn a_monitor_reads_the_topology_and_posts_one_batch_of_any_size() {
    let registry = Original::registry().await;
    let registration = mix_registration("127.0.0.1:1789");
    registry.expect("POST /api/mixmining/register/mix", &registration, "200 OK", r#"{"ok":true}"#).await;
    registry.topology("/api/mixmining/topology").await;
    let up = |version| format!(r#"{{"pubKey":"{MIX}","ipVersion":"{version}","up":true}}"#);
    let both = format!(r#"{{"status":[{},{}]}}"#, up(4), up(6));
    for _ in 0..17 {
        registry.expect("POST /api/mixmining/batch", &both, "201 Created", r#"{"ok":true}"#).await;
    }
    let active = registry.topology("/api/mixmining/topology/active").await;
    assert!(active.contains(MIX) && active.contains(r#""reputation":102"#), "{active}");
    registry.expect("POST /api/mixmining", &up(4), "201 Created", r#"{"ok":true}"#).await;
    // Two entries for each of 10 000 nodes.
    let big = format!(r#"{{"status":[{}]}}"#, vec![up(6); 20_000].join(","));
    registry.expect("POST /api/mixmining/batch", &big, "201 Created", r#"{"ok":true}"#).await;
}

#[tokio::test]
async fn a_client_reads_the_active_set_and_finds_its_gateway_and_each_layer() {
    let registry = Original::registry().await;
    for layer in 1..=3 {
        let mix = mix_registration(&format!("127.0.0.1:{}", 2000 + u16::from(layer)))
            .replace("\"layer\":1", &format!("\"layer\":{layer}"));
        let mix = mix.replace(MIX, &identity(layer));
        registry.expect("POST /api/mixmining/register/mix", &mix, "200 OK", r#"{"ok":true}"#).await;
    }
    registry.expect("POST /api/mixmining/register/gateway", &gateway_registration(), "200 OK", r#"{"ok":true}"#).await;
    let empty = registry.topology("/api/mixmining/topology/active").await;
    assert!(empty.contains(r#""mixNodes":[],"gateways":[]"#), "{empty}");
    for _ in 0..17 {
        let up: Vec<String> = (1..=3)
            .flat_map(|layer| [4, 6].map(|version| (identity(layer), version)))
            .map(|(key, version)| format!(r#"{{"pubKey":"{key}","ipVersion":"{version}","up":true}}"#))
            .collect();
        let batch = format!(r#"{{"status":[{}]}}"#, up.join(","));
        registry.expect("POST /api/mixmining/batch", &batch, "201 Created", r#"{"ok":true}"#).await;
    }
    // Only an operator brings gateways in: the original monitor never tests them.
    let token = std::fs::read_to_string(registry.home.path().join("monitor.token")).unwrap();
    let set = reqwest::Client::new()
        .patch(format!("http://{}/api/mixmining/reputation/{GATEWAY}?reputation=100", registry.address))
        .bearer_auth(token.trim());
    assert_eq!(set.send().await.unwrap().status(), 200);
    let active: serde_json::Value =
        serde_json::from_str(&registry.topology("/api/mixmining/topology/active").await).unwrap();
    let mut layers: Vec<_> = active["mixNodes"].as_array().unwrap().iter().map(|mix| mix["layer"].as_u64()).collect();
    layers.sort();
    assert_eq!(layers, [Some(1), Some(2), Some(3)]);
    assert_eq!(active["gateways"][0]["identityKey"], GATEWAY);
    assert_eq!(active["gateways"][0]["clientsHost"], "ws://127.0.0.1:9000");
}

#[tokio::test]
async fn a_layer_beyond_the_network_is_refused_with_the_range() {
    let registry = Original::registry().await;
    for layer in ["4", "257", "18446744073709551615"] {
        let mix = mix_registration("127.0.0.1:1789").replace("\"layer\":1", &format!("\"layer\":{layer}"));
        let answer = registry.send("POST /api/mixmining/register/mix", &mix).await;
        assert!(answer.head.starts_with("HTTP/1.1 400 "), "{}", answer.head);
        assert!(answer.body.contains("1 to 3"), "{}", answer.body);
    }
    let topology = registry.topology("/api/mixmining/topology").await;
    assert!(topology.contains(r#""mixNodes":[]"#), "{topology}");
}

#[tokio::test]
async fn refusals_are_what_the_original_programs_take_for_one() {
    let registry = Original::registry().await;
    let registration = mix_registration("127.0.0.1:1789");
    registry.expect("POST /api/mixmining/register/mix", &registration, "200 OK", r#"{"ok":true}"#).await;
    for (path, body, status) in [
        ("/api/mixmining/register/mix", registration.replace("\"layer\":1", "\"layer\":0"), 400),
        ("/api/mixmining/register/mix", registration.replace("\"layer\":1", "\"layer\":4"), 400),
        ("/api/mixmining/register/mix", registration.replace(SPHINX_KEY, "short"), 400),
        ("/api/metrics/mixes", format!(r#"{{"pubKey":"{GATEWAY}","received":1,"sent":{{}}}}"#), 404),
    ] {
        let answer = registry.send(&format!("POST {path}"), &body).await;
        assert!(answer.head.starts_with(&format!("HTTP/1.1 {status} ")), "{body}: {}", answer.head);
        let refusal: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
        assert!(refusal["error"].as_str().is_some_and(|error| !error.is_empty()), "{}", answer.body);
    }
}
