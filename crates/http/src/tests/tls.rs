//! A server with TLS on loopback, and clients of other libraries' versions, without TLS, or slow.

use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Extension;
use axum::routing::get;
use nym_mixnode_tls::testing::{Folder, NAME};
use nym_mixnode_tls::{Acceptor, Tls};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client;

use crate::{HostNames, Limits, PlaceLimits, Scheme, Server};

const TIMEOUT: Duration = Duration::from_mins(1);
const LIMITS: Limits = Limits {
    places: PlaceLimits { total: 8, per_network: 8, per_subscriber: 8 },
    head_timeout: Duration::from_hours(1),
    write_timeout: Duration::from_secs(1),
    lifetime: Duration::from_hours(1),
    grace: Duration::from_secs(1),
};
const BIG: usize = 16 << 20;

struct Running {
    address: SocketAddr,
    acceptor: Acceptor,
    _serving: JoinSet<()>,
}

impl Running {
    fn new(folder: &Folder, limits: Limits) -> Self {
        let tls = Tls::load(folder.files()).unwrap();
        let acceptor = tls.acceptor();
        let server = Server::bind(&["127.0.0.1:0".parse().unwrap()], limits).unwrap().with_tls(Some(tls));
        let server = server.with_names(HostNames::new(&[NAME.to_owned()]));
        let address = server.local_addrs()[0];
        let router = Router::new()
            .route("/", get(|Extension(scheme): Extension<Scheme>| async move { format!("{scheme:?}") }))
            .route("/big", get(|| async { vec![b'x'; BIG] }));
        let mut serving = JoinSet::new();
        serving.spawn(server.serve(router, pending()));
        Self { address, acceptor, _serving: serving }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    async fn tls(
        &self,
        folder: &Folder,
        versions: &[&'static SupportedProtocolVersion],
    ) -> io::Result<client::TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(folder.ca.der().clone()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
        let mut config =
            config.with_protocol_versions(versions).unwrap().with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let connector = TlsConnector::from(Arc::new(config));
        timeout(TIMEOUT, connector.connect(ServerName::try_from(NAME).unwrap(), self.connect().await)).await.unwrap()
    }

    async fn is_serving(&self, folder: &Folder) -> bool {
        let mut stream = self.tls(folder, rustls::ALL_VERSIONS).await.unwrap();
        ask(&mut stream, "close").await.ends_with("Https")
    }
}

/// Sends a request and returns what is read until the end, or the first response.
async fn ask(stream: &mut (impl AsyncReadExt + AsyncWriteExt + Unpin), connection: &str) -> String {
    let request = format!("GET / HTTP/1.1\r\nHost: {NAME}\r\nConnection: {connection}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut reply = Vec::new();
    while !reply.ends_with(b"Https") {
        if timeout(TIMEOUT, stream.read_buf(&mut reply)).await.unwrap().unwrap() == 0 {
            break;
        }
    }
    String::from_utf8(reply).unwrap()
}

#[tokio::test]
async fn both_versions_of_tls_serve_http_1() {
    let folder = Folder::default();
    let server = Running::new(&folder, LIMITS);
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let mut stream = server.tls(&folder, &[version]).await.unwrap();
        assert_eq!(stream.get_ref().1.protocol_version(), Some(version.version));
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(b"http/1.1".as_slice()));
        assert!(ask(&mut stream, "close").await.ends_with("Https"));
    }
}

#[tokio::test]
async fn a_request_without_tls_is_told_to_use_https() {
    let folder = Folder::default();
    let server = Running::new(&folder, LIMITS);
    let mut stream = server.connect().await;
    let reply = ask(&mut stream, "keep-alive").await;
    assert!(
        reply.starts_with("HTTP/1.1 421 ") && reply.contains("https://") && reply.contains("{\"error\""),
        "{reply}"
    );
    // Bytes of another protocol end the connection.
    let mut stream = server.connect().await;
    stream.write_all(b"\0\0\0\0nonsense").await.unwrap();
    let mut rest = Vec::new();
    timeout(TIMEOUT, stream.read_to_end(&mut rest)).await.unwrap().ok();
    assert!(!rest.starts_with(b"HTTP"));
    assert!(server.is_serving(&folder).await);
}

#[tokio::test]
async fn slow_handshakes_give_way_to_other_clients() {
    let folder = Folder::default();
    let server = Running::new(&folder, LIMITS);
    let mut held = Vec::new();
    for number in 0..2 * LIMITS.places.total {
        let mut stream = server.connect().await;
        if number % 2 == 0 {
            // The beginning of a TLS record.
            stream.write_all(&[0x16, 3, 1, 2, 0]).await.unwrap();
        }
        held.push(stream);
    }
    for _ in 0..2 * LIMITS.places.total {
        assert!(server.is_serving(&folder).await);
    }
    let mut rest = Vec::new();
    assert!(timeout(TIMEOUT, held[0].read_to_end(&mut rest)).await.is_ok(), "the slowest is closed");
}

#[tokio::test]
async fn a_handshake_has_a_deadline_and_ends_with_the_server() {
    let folder = Folder::default();
    let server = Running::new(&folder, Limits { head_timeout: Duration::from_millis(200), ..LIMITS });
    for beginning in [&[][..], &[0x16, 3, 1, 2, 0]] {
        let mut stream = server.connect().await;
        stream.write_all(beginning).await.unwrap();
        let mut rest = Vec::new();
        timeout(TIMEOUT, stream.read_to_end(&mut rest)).await.unwrap().ok();
    }
    let server = Server::bind(&["127.0.0.1:0".parse().unwrap()], LIMITS).unwrap();
    let server = server.with_tls(Some(Tls::load(folder.files()).unwrap()));
    let address = server.local_addrs()[0];
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = tokio::spawn(server.serve(Router::new(), async { stopped.await.unwrap_or_default() }));
    let _open = TcpStream::connect(address).await.unwrap();
    stop.send(()).unwrap();
    timeout(TIMEOUT, serving).await.expect("no handshake delays the stop").unwrap();
}

#[tokio::test]
async fn a_client_that_does_not_read_is_disconnected() {
    let folder = Folder::default();
    let server = Running::new(&folder, LIMITS);
    let mut stream = server.tls(&folder, rustls::ALL_VERSIONS).await.unwrap();
    stream.write_all(format!("GET /big HTTP/1.1\r\nHost: {NAME}\r\n\r\n").as_bytes()).await.unwrap();
    // Reading makes progress, so this waits until the server has given up.
    tokio::time::sleep(LIMITS.write_timeout * 3).await;
    let mut read = Vec::new();
    let ended = timeout(TIMEOUT, stream.read_to_end(&mut read)).await.expect("the connection ends");
    assert!(ended.is_err() || read.len() < BIG, "{} bytes", read.len());
}

#[tokio::test]
async fn an_open_connection_outlives_a_renewal_and_new_ones_get_the_new_certificate() {
    let folder = Folder::default();
    let server = Running::new(&folder, LIMITS);
    let mut open = server.tls(&folder, rustls::ALL_VERSIONS).await.unwrap();
    assert!(ask(&mut open, "keep-alive").await.ends_with("Https"));
    let first = open.get_ref().1.peer_certificates().unwrap().to_vec();
    folder.renew();
    folder.give_to(&server.acceptor);
    let renewed = server.tls(&folder, rustls::ALL_VERSIONS).await.unwrap();
    assert_ne!(renewed.get_ref().1.peer_certificates().unwrap(), first);
    assert!(ask(&mut open, "keep-alive").await.ends_with("Https"), "on the connection from before");
}

#[tokio::test]
async fn clients_that_trust_another_authority_refuse_the_certificate() {
    let (folder, other) = (Folder::default(), Folder::default());
    let server = Running::new(&folder, LIMITS);
    assert!(server.tls(&other, rustls::ALL_VERSIONS).await.is_err());
    assert!(server.is_serving(&folder).await);
}
