//! TLS between clients and gateways: real processes, somebody on the way, and a directory that changes what it lists.

use std::fs;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::ops::Add;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::routing::get;
use nym_mixnode_keys::{IdentityKeyPair, KeyFiles, KeysConfig, store};
use nym_mixnode_tls::Tls;
use nym_mixnode_tls::client::{ConnectError, connect};
use nym_mixnode_tls::testing::Folder;
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Child;

use super::clients::{Messaging, json, received};
use super::localnet::nym_mixnode;
use super::process::{RegistryProcess, eventually, program};

/// A free address for clients.
fn free() -> SocketAddr {
    StdListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// A gateway in a process of its own.
pub(crate) struct GatewayProcess {
    identity: String,
    tls: SocketAddr,
    _process: Child,
}

impl GatewayProcess {
    pub(crate) async fn start(home: &Path, directory: &str, flags: &[&str]) -> Self {
        let (mixes, plain, tls) = (free(), free(), free());
        let named = ["--home", home.to_str().unwrap(), "--id", "home"];
        let (host, listen, listen_tls) = (mixes.to_string(), plain.to_string(), tls.to_string());
        let addresses = ["--host", &host, "--gateway-listen", &listen, "--gateway-tls-listen", &listen_tls];
        let network = ["--http-listen", "off", "--allow-private", "--validator", directory];
        let init = [&["gateway", "init"], &named[..], &addresses, &network, flags].concat();
        let created = program(&init).output().await.unwrap();
        assert!(created.status.success(), "{}", String::from_utf8_lossy(&created.stderr));
        let run = ["--topology-refresh", "100ms", "--shutdown-linger", "0s"];
        let process = program(&[&["gateway", "run"], &named[..], &run].concat()).spawn().unwrap();
        let keys = store::load(&KeyFiles::new(&home.join("gateways/home"), &KeysConfig::default())).unwrap();
        Self { identity: keys.identity_public, tls, _process: process }
    }
}

/// The hash of the TLS key that the only gateway has announced.
async fn listed_key(registry: &RegistryProcess) -> Option<String> {
    let topology = registry.topology().await;
    Some(topology.gateways.first()?.registration.clients_tls.clone()?.key_hash)
}

#[tokio::test]
async fn files_cross_between_a_client_with_tls_and_one_without() {
    let network = Messaging::start().await;
    let content = network.random_file(30_000);
    let alice = network.create("alice").await;
    let bob = network.create_with("bob", "5ms", &["--plain"]).await;
    let config = |id: &str| fs::read_to_string(network.dir(id, "config/config.toml")).unwrap();
    assert!(config("alice").contains("\ngateway_plain = false\n") && config("alice").contains("= \"wss://127.0.0.1:"));
    assert!(config("bob").contains("\ngateway_plain = true\n"));
    for (from, to, address) in [("alice", "bob", &bob), ("bob", "alice", &alice)] {
        json(&network.send(from, address, &[]).await);
        assert!(received(&network.receive(to, &["--no-receipts"]).await) == content, "from {from}");
    }
}

#[tokio::test]
async fn a_client_sends_nothing_to_somebody_on_the_way_who_has_another_key() {
    let network = Messaging::start().await;
    let (home, registry) = (network.home(), network.registry.as_str());
    // What answers at the announced URL ends TLS with a key of its own, as a man in the middle must.
    let way = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("wss://{}", way.local_addr().unwrap());
    let acceptor = Tls::derived(&IdentityKeyPair::generate().unwrap()).unwrap().acceptor();
    let read = Arc::<AtomicUsize>::default();
    let reading = Arc::clone(&read);
    tokio::spawn(async move {
        // The registry's monitor connects as well, and sends nothing.
        while let Ok((stream, _)) = way.accept().await {
            if acceptor.accept(stream).await.is_ok() {
                reading.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    let gateway = GatewayProcess::start(home, registry, &["--gateway-tls-announce-url", &url]).await;
    let own = ["--id", "alice", "--home", home.to_str().unwrap()];
    let init = [&["client", "init", "--registry", registry, "--gateway", &gateway.identity], &own[..]].concat();
    let refused = eventually("the gateway is active", async || {
        let output = nym_mixnode(&init).output().await.unwrap();
        (output.status.code() != Some(69)).then_some(output)
    })
    .await;
    let error = String::from_utf8_lossy(&refused.stderr);
    assert!(refused.status.code() == Some(77) && error.contains(&format!("{url} has another TLS key")), "{error}");
    assert!(error.trim_end().lines().count() == 1 && !home.join("clients").exists(), "{error}");
    assert_eq!(read.load(Ordering::Relaxed), 0, "handshakes that the client has completed");
    // Without TLS it is a gateway like any other.
    network.create_with("alice", "5ms", &["--gateway", &gateway.identity, "--plain"]).await;
}

#[tokio::test]
async fn a_directory_that_changes_or_removes_the_tls_endpoint_is_not_believed() {
    let network = Messaging::start().await;
    let (home, registry) = (network.home(), network.registry.as_str());
    network.create("alice").await;
    let path = "/api/mixmining/topology/active";
    let genuine: Value = reqwest::get(format!("{registry}{path}")).await.unwrap().json().await.unwrap();
    let tls = |change: fn(&mut Value)| {
        let mut changed = genuine.clone();
        change(&mut changed["gateways"][0]);
        changed
    };
    let other = |entry: &mut Value| entry["clientsTls"]["keyHash"] = "A".repeat(43).add("=").into();
    let elsewhere = |entry: &mut Value| entry["clientsTls"]["url"] = "wss://127.0.0.1:1".into();
    let removed = |entry: &mut Value| drop(entry.as_object_mut().unwrap().remove("clientsTls"));
    for (id, topology, code) in
        [("bob", tls(|_| {}), 0), ("carol", tls(other), 69), ("dan", tls(elsewhere), 69), ("erin", tls(removed), 69)]
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().route(path, get(move || async move { axum::Json(topology) }));
        let directory = tokio::spawn(async move { axum::serve(listener, router).await });
        let init = ["client", "init", "--registry", &url, "--id", id, "--home", home.to_str().unwrap()];
        let output = nym_mixnode(&init).output().await.unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{id}: {error}");
        assert!(code == 0 || error.contains("no active gateway"), "{id}: {error}");
        directory.abort();
    }
}

#[tokio::test]
async fn a_renewed_certificate_is_announced_and_the_key_in_use_is_the_listed_one() {
    let home = tempfile::tempdir().unwrap();
    let registry = RegistryProcess::start(&home.path().join("registry.sqlite")).await;
    let folder = Folder::default();
    let files = folder.files();
    let (certificate, key) = (files.certificate.to_str().unwrap(), files.key.to_str().unwrap());
    let flags = ["--gateway-tls-certificate-file", certificate, "--gateway-tls-key-file", key];
    let gateway = GatewayProcess::start(home.path(), registry.url().as_str(), &flags).await;
    let first = eventually("listed", async || listed_key(&registry).await).await;
    let connected = async |key: &str| {
        let stream = TcpStream::connect(gateway.tls).await.unwrap();
        connect(stream, "127.0.0.1", key.parse().unwrap()).await.map(drop)
    };
    connected(&first).await.unwrap();
    folder.renew();
    let second = eventually("the renewed key", async || listed_key(&registry).await.filter(|key| *key != first)).await;
    connected(&second).await.unwrap();
    assert!(matches!(connected(&first).await, Err(ConnectError::OtherKey)));
}
