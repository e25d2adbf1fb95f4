//! A server on loopback, with clients that are slow or send a foreign `Host`.

mod tls;

use super::*;
use axum::body::Bytes;
use axum::routing::get;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

const TIMEOUT: Duration = Duration::from_mins(1);
const LIMITS: Limits = Limits {
    places: PlaceLimits { total: 8, per_network: 8, per_subscriber: 3 },
    head_timeout: Duration::from_hours(1),
    write_timeout: Duration::from_secs(1),
    lifetime: Duration::from_hours(1),
    grace: Duration::from_secs(1),
};
const BIG: usize = 16 << 20;

/// A server with a short and a long response.
struct Running {
    address: SocketAddr,
    _serving: JoinSet<()>,
}

impl Running {
    fn new() -> Self {
        let server = Server::bind(&["127.0.0.1:0".parse().unwrap()], LIMITS).unwrap();
        let server = server.with_names(HostNames::new(&["here.example".to_owned()]));
        let address = server.local_addrs()[0];
        let big = Bytes::from(vec![b'x'; BIG]);
        let router = Router::new().route("/", get(|| async { "here" })).route("/big", get(|| async { big }));
        let mut serving = JoinSet::new();
        serving.spawn(server.serve(router, pending()));
        Self { address, _serving: serving }
    }

    async fn connect(&self, from: &str) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(format!("{from}:0").parse().unwrap()).unwrap();
        socket.connect(self.address).await.unwrap()
    }

    /// Sends a request and returns everything until the end of the connection.
    async fn ask(&self, from: &str, host: &str) -> String {
        let mut connection = self.connect(from).await;
        let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        connection.write_all(request.as_bytes()).await.unwrap();
        let mut reply = Vec::new();
        timeout(TIMEOUT, connection.read_to_end(&mut reply)).await.unwrap().unwrap();
        String::from_utf8(reply).unwrap()
    }
}

/// Whether the server has closed the connection and no data is left to read.
async fn is_closed(connection: &mut TcpStream) -> bool {
    let mut rest = Vec::new();
    timeout(TIMEOUT, connection.read_to_end(&mut rest)).await.is_ok()
}

#[tokio::test]
async fn new_clients_replace_slow_ones() {
    let server = Running::new();
    let mut held = Vec::new();
    for holder in ["127.0.1.1", "127.0.1.2", "127.0.1.3"] {
        for _ in 0..LIMITS.places.per_subscriber {
            held.push(server.connect(holder).await);
        }
    }
    for _ in 0..2 * LIMITS.places.total {
        assert!(server.ask("127.0.2.1", "127.0.0.1").await.ends_with("here"));
    }
    assert!(is_closed(&mut held[0]).await, "the slowest of all");
    assert!(server.ask("127.0.1.1", "127.0.0.1").await.ends_with("here"), "also from a new address");
}

#[tokio::test]
async fn a_client_that_does_not_read_is_disconnected() {
    let server = Running::new();
    let mut connection = server.connect("127.0.0.2").await;
    connection.write_all(b"GET /big HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    // Reading makes progress, so this waits until the server has given up.
    sleep(LIMITS.write_timeout * 3).await;
    let mut read = Vec::new();
    let ended = timeout(TIMEOUT, connection.read_to_end(&mut read)).await.expect("the connection ends");
    assert!(ended.is_err() || read.len() < BIG, "{} bytes", read.len());
}

#[tokio::test]
async fn a_request_for_another_name_is_rejected_over_loopback() {
    let server = Running::new();
    for host in ["127.0.0.1", "localhost:8081", "[::1]:1", "here.example"] {
        assert!(server.ask("127.0.0.1", host).await.ends_with("here"), "{host}");
    }
    for host in ["evil.example", "127.0.0.1.evil.example:8081"] {
        let reply = server.ask("127.0.0.1", host).await;
        assert!(reply.starts_with("HTTP/1.1 421 ") && !reply.contains("here.example"), "{host}: {reply}");
    }
}
