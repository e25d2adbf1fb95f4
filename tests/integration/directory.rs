//! The directory's client and heartbeat against a real registry and faulty servers, over loopback.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail as tests do")]

use std::cell::RefCell;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use nym_mixnode_api::{GatewayRegistration, MixMetric, MixRegistration, Topology, testing};
use nym_mixnode_directory::{
    Client, ClientLimits, Directory, DirectoryError, Heartbeat, HeartbeatSettings, HeartbeatState, Unregistered,
    with_status,
};
use nym_mixnode_registry::{Registry, RegistrySettings};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use url::Url;

/// Deadline of each step, generous for a slow machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// Nothing listens on port 1: it refuses at once.
const NOBODY: &str = "127.0.0.2:1";

struct RunningRegistry {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<()>,
}

impl RunningRegistry {
    async fn start(store: &Path) -> Self {
        Self::start_at("127.0.0.1:0".parse().unwrap(), store).await
    }

    async fn start_at(address: SocketAddr, store: &Path) -> Self {
        let settings =
            RegistrySettings { allow_private: true, ..RegistrySettings::new(vec![address], store.to_owned()) };
        let registry = Registry::bind(&settings).await.unwrap();
        let address = registry.local_addrs()[0];
        let (stop, stopped) = oneshot::channel();
        let ended = tokio::spawn(registry.serve(async { stopped.await.unwrap_or_default() }));
        Self { address, stop, ended }
    }

    fn client(&self) -> Client {
        client_of(self.address)
    }

    async fn stop(self) {
        self.stop.send(()).unwrap();
        timeout(PATIENCE, self.ended).await.expect("the registry stops").unwrap();
    }
}

fn client_of(address: SocketAddr) -> Client {
    let url = Url::parse(&format!("http://{address}/")).unwrap();
    Client::new(&url, &url).unwrap()
}

fn key(byte: u8) -> String {
    bs58::encode([byte; 32]).into_string()
}

fn mix(byte: u8, host: &str) -> MixRegistration {
    MixRegistration { sphinx_key: key(byte), location: "here".into(), ..testing::mix(key(byte), host) }
}

fn heartbeat(client: Client, mix: MixRegistration, settings: HeartbeatSettings) -> Heartbeat {
    let settings = HeartbeatSettings {
        topology_refresh: Duration::from_millis(20),
        retry_initial: Duration::from_millis(5),
        retry_max: Duration::from_millis(20),
        ..settings
    };
    Heartbeat::new(client, mix, settings)
}

/// Runs the heartbeat until the condition holds.
async fn run_until(heartbeat: &Heartbeat, condition: impl Fn(&HeartbeatState, Option<&Topology>) -> bool) {
    let latest = RefCell::new(None);
    let state = heartbeat.state();
    let reached = async {
        while !condition(&state, latest.borrow().as_ref()) {
            sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        ended = heartbeat.run(|| 0, |topology| *latest.borrow_mut() = Some(topology.clone())) => {
            panic!("the heartbeat ended: {ended:?}");
        }
        reached = timeout(PATIENCE, reached) => reached.expect("the condition holds in time"),
    }
}

#[tokio::test]
async fn a_mix_and_a_gateway_register_are_listed_report_and_unregister() {
    let home = tempfile::tempdir().unwrap();
    let registry = RunningRegistry::start(&home.path().join("registry.sqlite")).await;
    let client = registry.client();
    let mut registration = mix(1, "127.0.2.1:1789");
    registration.mix_hosts = vec!["127.0.2.1:1789".into(), "[::1]:1789".into()];
    client.register_mix(&registration, None).await.unwrap();
    let gateway = GatewayRegistration {
        sphinx_key: key(2),
        clients_host: "ws://127.0.2.2:9000".to_owned(),
        expires_in: Some(3600),
        clients_tls: None,
        ..testing::gateway(key(2), "127.0.2.2:1789")
    };
    client.register_gateway(&gateway, None).await.unwrap();

    let topology = client.topology().await.unwrap();
    assert_eq!(topology.mix(&key(1)).unwrap().registration, registration);
    assert_eq!(topology.gateways[0].registration, gateway);
    let addresses: Vec<_> = topology.announced_addresses().map(|address| address.to_string()).collect();
    let (nodes, tests) = addresses.split_at(3);
    assert_eq!(nodes, ["127.0.2.1:1789", "[::1]:1789", "127.0.2.2:1789"]);
    assert_eq!(tests, topology.test_addresses);

    let metric = MixMetric { pub_key: key(1), received: 64, sent: [].into() };
    assert_eq!(client.post_metrics(&metric).await.unwrap(), Duration::from_secs(5));

    assert_eq!(client.unregister(&key(1), None).await.unwrap(), Unregistered::Removed);
    assert_eq!(client.unregister(&key(1), None).await.unwrap(), Unregistered::NotListed);
    assert!(client.topology().await.unwrap().mix_nodes.is_empty());
    registry.stop().await;
}

#[tokio::test]
async fn a_topology_that_has_not_changed_is_not_sent_again() {
    let home = tempfile::tempdir().unwrap();
    let registry = RunningRegistry::start(&home.path().join("registry.sqlite")).await;
    let (client, other) = (registry.client(), registry.client());
    client.register_mix(&mix(1, "127.0.2.1:1789"), None).await.unwrap();
    let (first, status) = with_status(client.topology()).await;
    assert_eq!(status, Some(200));
    let (again, status) = with_status(client.topology()).await;
    assert_eq!((again.unwrap(), status), (first.unwrap(), Some(304)));

    other.register_mix(&mix(2, "127.0.2.2:1789"), None).await.unwrap();
    let (changed, status) = with_status(client.topology()).await;
    assert_eq!((changed.unwrap().mix_nodes.len(), status), (2, Some(200)));
    registry.stop().await;
}

#[tokio::test]
async fn a_refusal_carries_the_registrys_words() {
    let home = tempfile::tempdir().unwrap();
    let registry = RunningRegistry::start(&home.path().join("registry.sqlite")).await;
    let client = registry.client();
    client.register_mix(&mix(1, "127.0.2.1:1789"), None).await.unwrap();

    let held = client.register_mix(&mix(2, "127.0.2.1:1789"), None).await.unwrap();
    assert_eq!(held.pending[0].address, "127.0.2.1:1789");
    assert!(held.pending[0].reason.contains("another node"), "{held:?}");

    let bad = client.register_mix(&MixRegistration { layer: 0, ..mix(3, "127.0.2.3:1789") }, None).await.unwrap_err();
    assert!(matches!(&bad, DirectoryError::Refused { status: 400, message, .. } if message.contains("layer")), "{bad}");
    registry.stop().await;
}

#[tokio::test]
async fn registrations_outlive_the_registry() {
    let home = tempfile::tempdir().unwrap();
    let store = home.path().join("registry.sqlite");
    let first = RunningRegistry::start(&store).await;
    first.client().register_mix(&mix(1, "127.0.2.1:1789"), None).await.unwrap();
    first.stop().await;
    let second = RunningRegistry::start(&store).await;
    assert!(second.client().topology().await.unwrap().mix(&key(1)).is_some());
    second.stop().await;
}

#[tokio::test]
async fn a_registry_stops_while_half_a_request_hangs() {
    let home = tempfile::tempdir().unwrap();
    let registry = RunningRegistry::start(&home.path().join("registry.sqlite")).await;
    let mut slow = TcpStream::connect(registry.address).await.unwrap();
    slow.write_all(b"POST /api/mixmining/register/mix HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
        .await
        .unwrap();
    // An answer on another connection, after it: the registry has seen both.
    registry.client().topology().await.unwrap();
    registry.stop().await;
}

#[tokio::test]
async fn a_heartbeat_registers_refreshes_and_unregisters() {
    let home = tempfile::tempdir().unwrap();
    let registry = RunningRegistry::start(&home.path().join("registry.sqlite")).await;
    registry.client().register_mix(&mix(9, "127.0.2.9:1789"), None).await.unwrap();
    let file = home.path().join("topology.json");
    let settings = HeartbeatSettings { last_good: Some(file), ..HeartbeatSettings::default() };
    let heartbeat = heartbeat(registry.client(), mix(1, "127.0.2.1:1789"), settings);

    run_until(&heartbeat, |state, topology| {
        let kept = heartbeat.load_last_good();
        state.registered() && kept.as_ref() == topology && kept.is_some_and(|kept| kept.mix_nodes.len() == 2)
    })
    .await;
    heartbeat.unregister().await;
    assert!(!heartbeat.state().registered());
    assert!(registry.client().topology().await.unwrap().mix(&key(1)).is_none());
    registry.stop().await;
}

#[tokio::test]
async fn a_heartbeat_waits_for_the_registry_and_returns_to_one_that_lost_its_store() {
    let home = tempfile::tempdir().unwrap();
    // No other test binds on this address, so the port stays free.
    let placeholder = TcpListener::bind("127.0.0.3:0").await.unwrap();
    let address = placeholder.local_addr().unwrap();
    drop(placeholder);
    let heartbeat = heartbeat(client_of(address), mix(1, "127.0.2.1:1789"), HeartbeatSettings::default());
    run_until(&heartbeat, |state, _| state.failures().topology >= 3).await;
    assert!(!heartbeat.state().registered());
    assert!(heartbeat.state().last_error().unwrap().contains(&address.to_string()));

    let registry = RunningRegistry::start_at(address, &home.path().join("first.sqlite")).await;
    run_until(&heartbeat, |state, _| state.registered()).await;
    registry.stop().await;

    let registry = RunningRegistry::start_at(address, &home.path().join("second.sqlite")).await;
    let listed = |_: &HeartbeatState, topology: Option<&Topology>| topology.is_some_and(|t| t.mix(&key(1)).is_some());
    run_until(&heartbeat, listed).await;
    registry.stop().await;
}

#[tokio::test]
async fn a_killed_node_comes_back_without_help() {
    let home = tempfile::tempdir().unwrap();
    let registry = RunningRegistry::start(&home.path().join("registry.sqlite")).await;
    for _ in 0..20 {
        // Dropped without unregistering each time.
        let heartbeat = heartbeat(registry.client(), mix(1, "127.0.2.1:1789"), HeartbeatSettings::default());
        run_until(&heartbeat, |state, _| state.registered()).await;
    }
    assert_eq!(registry.client().topology().await.unwrap().mix_nodes.len(), 1);
    registry.stop().await;
}

#[tokio::test]
async fn a_node_at_the_address_of_another_waits_until_it_is_free() {
    let home = tempfile::tempdir().unwrap();
    let registry = RunningRegistry::start(&home.path().join("registry.sqlite")).await;
    let host = "127.0.2.1:1789";
    registry.client().register_mix(&mix(1, host), None).await.unwrap();
    let other = heartbeat(registry.client(), mix(2, host), HeartbeatSettings::default());
    run_until(&other, |state, _| state.last_error().is_some_and(|error| error.contains(host))).await;
    assert!(!other.state().registered());
    registry.client().unregister(&key(1), None).await.unwrap();
    run_until(&other, |state, _| state.registered()).await;
    registry.stop().await;
}

/// A server that reads a request and answers these bytes, then closes, or holds the connection open.
async fn answering(reply: Vec<u8>, hold: bool) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move {
        loop {
            let (mut connection, _) = listener.accept().await.unwrap();
            let reply = reply.clone();
            tokio::spawn(async move {
                let mut request = [0; 4096];
                let _: usize = connection.read(&mut request).await.unwrap_or_default();
                // The client may have disconnected.
                connection.write_all(&reply).await.ok();
                if hold {
                    std::future::pending::<()>().await;
                }
            });
        }
    });
    (address, server)
}

fn http(status: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len()).into_bytes()
}

async fn error_of(reply: Vec<u8>, hold: bool) -> DirectoryError {
    let (address, server) = answering(reply, hold).await;
    let url = Url::parse(&format!("http://{address}/prefix")).unwrap();
    let limits = ClientLimits {
        total_timeout: if hold { Duration::from_millis(100) } else { PATIENCE },
        body_bytes_max: 1 << 16,
        ..ClientLimits::default()
    };
    let client = Client::with_limits(&url, &url, limits).unwrap();
    let error = client.topology().await.unwrap_err();
    server.abort();
    let message = error.to_string();
    assert!(message.contains("/prefix/api/mixmining/topology"), "{message}");
    assert!(!message.contains('\n') && message.len() < 700, "{message}");
    error
}

#[tokio::test]
async fn a_server_that_is_no_directory_gives_an_error_and_never_more() {
    let endless = {
        let mut reply = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n".to_vec();
        reply.resize(1 << 20, b' ');
        reply
    };
    let announced_huge = b"HTTP/1.1 200 OK\r\nContent-Length: 999999999999\r\n\r\n{".to_vec();
    for (name, reply) in [
        ("a page", http("200 OK", "<html>It works!</html>")),
        ("nothing", http("200 OK", "")),
        ("another shape", http("200 OK", r#"{"mixNodes":[1]}"#)),
        ("a list", http("200 OK", "[]")),
        ("an empty object", http("200 OK", "{}")),
        ("bytes that are no text", [http("200 OK", "").as_slice(), b"\xff\xfe"].concat()),
        ("more than is taken", endless),
        ("a redirect", b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n".to_vec()),
    ] {
        let error = error_of(reply, false).await;
        assert!(matches!(error, DirectoryError::MalformedReply { .. }), "{name}: {error:?}");
    }
    for (name, reply) in [
        ("no HTTP", b"220 mail.example ESMTP\r\n".to_vec()),
        ("hangs up", Vec::new()),
        ("hangs up in the middle", announced_huge),
    ] {
        let error = error_of(reply, false).await;
        assert!(matches!(error, DirectoryError::Unreachable { .. }) && error.is_transient(), "{name}: {error:?}");
    }
}

#[tokio::test]
async fn a_slow_server_is_given_up_in_the_head_and_in_the_body() {
    for reply in [Vec::new(), b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{".to_vec()] {
        let error = error_of(reply, true).await;
        assert!(error.to_string().contains("no answer in time"), "{error}");
        assert!(matches!(error, DirectoryError::Unreachable { .. }));
    }
}

#[tokio::test]
async fn the_old_validators_rate_limit_and_failures_are_distinguished() {
    let error = error_of(http("429 Too Many Requests", "You have reached maximum request limit."), false).await;
    assert!(matches!(error, DirectoryError::TooManyRequests { .. }) && error.is_transient());
    let error = error_of(http("503 Service Unavailable", "upstream\ndown"), false).await;
    assert!(matches!(&error, DirectoryError::ServerFailed { status: 503, message, .. } if message == "upstream down"));
    let error = error_of(http("400 Bad Request", r#"{"error":"no layer"}"#), false).await;
    assert!(matches!(&error, DirectoryError::Refused { status: 400, message, .. } if message == "no layer"));
}

#[tokio::test]
async fn a_refusal_to_connect_names_the_place() {
    let address: SocketAddr = NOBODY.parse().unwrap();
    let error = client_of(address).register_mix(&mix(1, "127.0.2.1:1789"), None).await.unwrap_err();
    assert!(matches!(error, DirectoryError::Unreachable { .. }), "{error:?}");
    assert!(error.to_string().contains(&address.to_string()), "{error}");
    assert_eq!(error.exit_code().code(), 69);
}
