//! Tests with real listeners on loopback.

use std::net::TcpListener;
use std::time::Duration;

use nym_mixnode_api::{ClientsTls, GatewayRegistration, IpVersion};

use super::*;

/// Rounds that do not end before a busy machine has answered.
const ROUNDS: RoundSettings = RoundSettings {
    every: Duration::from_millis(50),
    timeout: Duration::from_secs(20),
    settle: Duration::ZERO,
    routes: false,
};

/// Local port that accepts connections.
struct Port(TcpListener);

impl Port {
    fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        Self(listener)
    }

    fn address(&self) -> SocketAddr {
        self.0.local_addr().unwrap()
    }

    /// Connections since the last call. Those of a dial that has ended are in the accept queue.
    fn dials(&self) -> usize {
        std::iter::from_fn(|| self.0.accept().ok()).count()
    }
}

/// An address at which nothing listens.
fn closed() -> SocketAddr {
    // The kernel gives this port to no other test.
    "127.0.0.1:1".parse().unwrap()
}

fn gateway(identity: &str, mix_host: SocketAddr, clients_host: &str, expires_in: Option<u64>) -> RegisteredGateway {
    let registration = GatewayRegistration {
        mix_host: mix_host.to_string(),
        mix_hosts: Vec::new(),
        clients_host: clients_host.into(),
        identity_key: identity.into(),
        sphinx_key: "s".into(),
        version: "0.9.2".into(),
        location: String::new(),
        incentives_address: String::new(),
        expires_in,
        clients_tls: None,
        proof: None,
    };
    RegisteredGateway { registration, registration_time: 0, reputation: 0 }
}

async fn run(gateways: &[RegisteredGateway], families: &[IpFamily], reach: Reach) -> Vec<(String, IpVersion, bool)> {
    let gateways: Vec<_> = gateways.iter().filter_map(ListedGateway::new).collect();
    let mut tests = GatewayTests::default();
    tests.begin(&gateways, Scope { families: families.to_vec(), reach }, ROUNDS);
    let mut results = finish(&mut tests).await;
    results.sort_by(|one, other| one.status.pub_key.cmp(&other.status.pub_key));
    results.into_iter().map(|TestedGateway { status, .. }| (status.pub_key, status.ip_version, status.up)).collect()
}

/// Results of all tests that have begun.
async fn finish(tests: &mut GatewayTests) -> Vec<TestedGateway> {
    let mut results = Vec::new();
    while !tests.pending.is_empty() {
        sleep(Duration::from_millis(10)).await;
        results.extend(tests.take());
    }
    results
}

#[tokio::test]
async fn a_gateway_is_up_while_both_of_its_ports_answer_and_each_is_dialled_once() {
    let (mix, clients) = (Port::open(), Port::open());
    let url = format!("ws://{}", clients.address());
    let gateways = [
        gateway("a", mix.address(), &url, None),
        gateway("b no packets", closed(), &url, None),
        gateway("c no clients", mix.address(), &format!("ws://{}", closed()), None),
        gateway("d no address for clients", mix.address(), "", None),
        gateway("e monitor", mix.address(), &url, Some(90)),
    ];
    let results = run(&gateways, &IpFamily::ALL, Reach::Machine).await;
    let up: Vec<_> = results.iter().map(|(identity, version, up)| (&identity[..1], *version, *up)).collect();
    let v4 = IpVersion::V4;
    assert_eq!(up, [("a", v4, true), ("b", v4, false), ("c", v4, false), ("d", v4, false)]);
    assert_eq!((mix.dials(), clients.dials()), (1, 1), "gateways with one port share a connection");
}

#[tokio::test]
async fn a_gateway_that_announces_tls_is_up_while_that_port_answers_too() {
    let (mix, clients, tls) = (Port::open(), Port::open(), Port::open());
    let url = format!("ws://{}", clients.address());
    let with = |identity: &str, tls: SocketAddr| {
        let mut entry = gateway(identity, mix.address(), &url, None);
        entry.registration.clients_tls = Some(ClientsTls { url: format!("wss://{tls}"), key_hash: "h".into() });
        entry
    };
    let results = run(&[with("a", tls.address()), with("b", closed())], &IpFamily::ALL, Reach::Machine).await;
    let up: Vec<_> = results.iter().map(|(identity, _, up)| (identity.as_str(), *up)).collect();
    assert_eq!(up, [("a", true), ("b", false)]);
    assert_eq!(tls.dials(), 1);
}

#[tokio::test]
async fn what_cannot_be_dialled_here_has_no_result() {
    let (mix, clients) = (Port::open(), Port::open());
    let url = format!("ws://{}", clients.address());
    let listed = |clients: &str| [gateway("a", mix.address(), clients, None)];
    assert!(run(&listed(&url), &[IpFamily::V6], Reach::Machine).await.is_empty());
    assert!(run(&listed("ws://[2001:db8::1]:9000"), &[IpFamily::V4], Reach::Machine).await.is_empty());
    for reach in [Reach::Internet, Reach::Private] {
        assert!(run(&listed(&url), &IpFamily::ALL, reach).await.is_empty(), "{reach}");
    }
    // A port for clients that the network does not permit is not dialled, whatever the port for packets is.
    assert!(run(&listed("ws://169.254.169.254:80"), &IpFamily::ALL, Reach::Machine).await.is_empty());
    assert_eq!((mix.dials(), clients.dials()), (0, 0));
}

#[tokio::test]
async fn a_failed_look_up_has_no_result() {
    let mix = Port::open();
    // Resolvers refuse a label of more than 63 characters.
    let url = format!("ws://{}:9000", "a".repeat(64));
    assert!(run(&[gateway("a", mix.address(), &url, None)], &IpFamily::ALL, Reach::Machine).await.is_empty());
    assert_eq!(mix.dials(), 0);
}

#[tokio::test]
async fn a_result_names_the_ip_version_of_the_port_for_clients() {
    let mix = Port::open();
    let listed = ListedGateway::new(&gateway("a", mix.address(), "ws://[::1]:1", None)).unwrap();
    let mut tests = GatewayTests::default();
    tests.begin(&[listed], Scope { families: IpFamily::ALL.to_vec(), reach: Reach::Machine }, ROUNDS);
    assert_eq!(finish(&mut tests).await, [tested("a", IpVersion::V4, Some(IpFamily::V6), false)]);
}

fn tested(identity: &str, ip_version: IpVersion, clients_family: Option<IpFamily>, up: bool) -> TestedGateway {
    TestedGateway { status: MixStatus { pub_key: identity.into(), ip_version, up }, clients_family }
}

#[test]
fn an_ip_version_is_silent_if_none_of_several_gateways_over_it_passes() {
    let v4 = Some(IpFamily::V4);
    let down_v4 = |identity| tested(identity, IpVersion::V4, v4, false);
    let down_v6 = |identity| tested(identity, IpVersion::V6, v4, false);
    let mut tests = GatewayTests::default();
    assert!(tests.silent_families(&[]).is_empty());
    assert!(tests.silent_families(&[down_v4("a"), down_v6("a")]).is_empty(), "one gateway may be down");
    assert_eq!(tests.silent_families(&[down_v4("a"), down_v4("b")]), [IpFamily::V4]);
    // The ports for clients were dialled over IPv4.
    assert_eq!(tests.silent_families(&[down_v4("a"), down_v6("b")]), [IpFamily::V4]);
    let up = tested("b", IpVersion::V6, v4, true);
    assert!(tests.silent_families(&[down_v4("a"), down_v4("c"), up]).is_empty(), "its port for clients answers");
    tests.pending.insert("b".into(), vec![IpFamily::V4]);
    assert!(tests.silent_families(&[]).is_empty());
    assert_eq!(tests.silent_families(&[down_v4("a")]), [IpFamily::V4], "the test of the other has not ended");
}

#[tokio::test]
async fn entries_that_name_the_address_of_a_stranger_cause_few_connections() {
    let (mix, victim) = (Port::open(), "127.0.0.9");
    let entry = |port: usize| gateway(&port.to_string(), mix.address(), &format!("ws://{victim}:{}", 1 + port), None);
    let gateways: Vec<_> = (0..100).map(entry).collect();
    let results = run(&gateways, &IpFamily::ALL, Reach::Machine).await;
    assert_eq!(results.len(), 32, "the others are not tested");
}

#[tokio::test]
async fn a_gateway_is_tested_again_when_its_last_test_has_ended() {
    let (mix, clients) = (Port::open(), Port::open());
    let listed = [gateway("a", mix.address(), &format!("ws://{}", clients.address()), None)];
    let listed: Vec<_> = listed.iter().filter_map(ListedGateway::new).collect();
    let scope = Scope { families: IpFamily::ALL.to_vec(), reach: Reach::Machine };
    let mut tests = GatewayTests::default();
    tests.begin(&listed, scope.clone(), ROUNDS);
    tests.begin(&listed, scope.clone(), ROUNDS);
    assert_eq!((finish(&mut tests).await.len(), mix.dials()), (1, 1));
    tests.begin(&listed, scope, ROUNDS);
    assert_eq!((finish(&mut tests).await.len(), mix.dials()), (1, 1));
}

#[tokio::test]
async fn a_test_that_lasts_holds_up_no_other() {
    let (mix, clients) = (Port::open(), Port::open());
    let url = format!("ws://{}", clients.address());
    let listed = ["now", "later"].map(|identity| gateway(identity, mix.address(), &url, None));
    let listed: Vec<_> = listed.iter().filter_map(ListedGateway::new).collect();
    let scope = Scope { families: IpFamily::ALL.to_vec(), reach: Reach::Machine };
    let mut tests = GatewayTests::default();
    tests.begin(&listed, scope, RoundSettings { every: Duration::from_hours(4), ..ROUNDS });
    let mut results = Vec::new();
    while results.is_empty() {
        sleep(Duration::from_millis(10)).await;
        results = tests.take();
    }
    assert_eq!((results[0].status.pub_key.as_str(), results[0].status.up, tests.pending.len()), ("now", true, 1));
}
