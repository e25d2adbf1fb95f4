//! Tests of the HTTP endpoints over real connections.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Mutex;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use super::*;
use crate::instruments::READY;

/// Longer than any answer takes.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Default)]
struct Scripted(Mutex<Option<Problem>>);

impl StatusSource for Scripted {
    fn liveness(&self) -> Result<(), Problem> {
        Ok(())
    }

    fn readiness(&self) -> Result<(), Problem> {
        self.0.lock().unwrap().clone().map_or(Ok(()), Err)
    }

    fn status(&self) -> Status {
        Status {
            version: "1.2.3",
            protocol_version: "0.9.2",
            identity_key: "identity".into(),
            sphinx_key: "sphinx".into(),
            layer: Some(1),
            uptime_s: 1,
            ready: Answer::from(self.readiness()),
            live: Answer::from(self.liveness()),
            listen: vec![AddressReport {
                family: "ipv6",
                address: "[::1]:1789".parse().unwrap(),
                source: "--host".to_owned(),
            }],
            announce: Vec::new(),
            directory: DirectoryStatus {
                url: "http://d/".into(),
                registered: false,
                registered_at: None,
                problem: Some("down".into()),
            },
            topology: None,
            workers: 2,
            engine: "portable",
            limits: LimitsStatus {
                nofile_soft: Some(1024),
                nofile_hard: None,
                nofile_remedy: "raise it".to_owned(),
                memory_bytes: 1 << 20,
                connections_max: 16,
                reached: BTreeMap::new(),
            },
            replay: ReplayStatus { window_s: 600, expected_rate: 9000, memory_bytes: 35 << 20, early_ends: 0 },
            packets: Some(Packets::default()),
        }
    }

    fn readings(&self) -> Vec<Reading> {
        vec![Reading::whole(&READY, 0)]
    }
}

struct Served {
    address: SocketAddr,
    subject: Arc<Scripted>,
    _task: tokio::task::JoinSet<()>,
}

fn serve() -> Served {
    let server = HttpServer::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = server.address().unwrap();
    let subject = Arc::new(Scripted::default());
    let mut task = tokio::task::JoinSet::new();
    task.spawn(server.serve(Arc::clone(&subject) as Arc<dyn StatusSource>));
    Served { address, subject, _task: task }
}

impl Served {
    /// Sends these bytes and returns everything up to the end of the connection.
    async fn ask(&self, request: &[u8]) -> String {
        let mut connection = TcpStream::connect(self.address).await.unwrap();
        // A server that rejects a request may close the connection before reading all of it.
        connection.write_all(request).await.ok();
        let mut reply = Vec::new();
        let read = async { while matches!(connection.read_buf(&mut reply).await, Ok(1..)) {} };
        timeout(PATIENCE, read).await.unwrap();
        String::from_utf8(reply).unwrap()
    }

    async fn get(&self, path: &str, headers: &str) -> String {
        self.ask(format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n{headers}\r\n").as_bytes())
            .await
    }
}

fn body(reply: &str) -> &str {
    reply.split_once("\r\n\r\n").unwrap().1
}

#[tokio::test]
async fn readiness_is_a_code_a_line_and_json() {
    let served = serve();
    let ready = served.get("/readyz", "").await;
    assert!(ready.starts_with("HTTP/1.1 200") && body(&ready) == "ready\n", "{ready}");
    assert!(ready.contains("cache-control: no-store"), "{ready}");

    let problem = Problem { reason: Reason::Draining, message: "the node stops".into() };
    *served.subject.0.lock().unwrap() = Some(problem.clone());
    let refused = served.get("/readyz", "").await;
    assert!(refused.starts_with("HTTP/1.1 503") && body(&refused) == "not ready: the node stops\n", "{refused}");
    let json = served.get("/readyz", "Accept: application/json\r\n").await;
    assert!(json.starts_with("HTTP/1.1 503"), "{json}");
    assert_eq!(body(&json), r#"{"ok":false,"reason":"draining","message":"the node stops"}"#);
    let answer: Answer = serde_json::from_str(body(&json)).unwrap();
    assert_eq!(answer, Answer { ok: false, problem: Some(problem) });
    let alive = served.get("/livez", "Accept: application/json\r\n").await;
    assert_eq!(body(&alive), r#"{"ok":true}"#);
}

#[tokio::test]
async fn the_status_is_one_object() {
    let reply = serve().get("/status", "").await;
    let status: serde_json::Value = serde_json::from_str(body(&reply)).unwrap();
    assert_eq!(status["directory"]["problem"], "down");
    assert_eq!(status["limits"]["nofile_hard"], serde_json::Value::Null);
    assert_eq!(status["packets"]["total"]["received"], 0);
}

#[tokio::test]
async fn other_paths_and_methods_are_refused() {
    let served = serve();
    for path in ["/", "/metrics/", "/livez/", "/livezz", "/../status"] {
        let reply = served.get(path, "").await;
        assert!(reply.starts_with("HTTP/1.1 404"), "{path}: {reply}");
    }
    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        let request = format!("{method} /livez HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n");
        let reply = served.ask(request.as_bytes()).await;
        assert!(reply.starts_with("HTTP/1.1 405") && reply.contains("allow: GET,HEAD"), "{method}: {reply}");
    }
}

#[tokio::test]
async fn long_requests_and_other_protocols_are_rejected() {
    let served = serve();
    let long = served.get(&format!("/{}", "x".repeat(20_000)), "").await;
    assert!(long.is_empty() || long.starts_with("HTTP/1.1 4"), "{long}");
    let headers = format!("X: {}\r\n", "y".repeat(40_000));
    let long = served.get("/livez", &headers).await;
    assert!(long.is_empty() || long.starts_with("HTTP/1.1 4"), "{long}");
    let noise = served.ask(b"\0\x01\x02 no http at all\r\n\r\n").await;
    assert!(noise.is_empty() || noise.starts_with("HTTP/1.1 400"), "{noise}");
    assert!(served.get("/livez", "").await.starts_with("HTTP/1.1 200"), "others are still answered");
}

#[tokio::test]
async fn a_body_is_not_waited_for() {
    let request = b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Length: 1000000000\r\n\r\n";
    assert!(serve().ask(request).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn an_incomplete_request_is_closed_after_a_timeout() {
    let served = serve();
    let mut held = Vec::new();
    for nth in 0..LIMITS.places.total {
        // Each address has its own connection limit, so several are needed to reach the total.
        let from = Ipv4Addr::new(127, 0, 0, u8::try_from(2 + nth / LIMITS.places.per_subscriber).unwrap());
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((from, 0).into()).unwrap();
        let mut connection = socket.connect(served.address).await.unwrap();
        connection.write_all(b"GET /livez HTTP/1.1\r\n").await.unwrap();
        held.push(connection);
    }
    let reply = timeout(PATIENCE, served.get("/livez", "")).await.unwrap();
    assert!(reply.starts_with("HTTP/1.1 200"), "{reply}");
}

#[tokio::test]
async fn an_address_in_use_is_reported_with_its_setting() {
    let served = serve();
    let error = HttpServer::bind(served.address).unwrap_err().to_string();
    for word in [served.address.to_string().as_str(), "http.listen", "--http-listen"] {
        assert!(error.contains(word), "{word:?} is not in: {error}");
    }
}
