//! Tests with real listeners on loopback.

use std::net::TcpListener;

use nym_mixnode_api::{GatewayRegistration, IpVersion};

use super::*;

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
        proof: None,
    };
    RegisteredGateway { registration, registration_time: 0, reputation: 0 }
}

async fn run(gateways: &[RegisteredGateway], families: &[IpFamily], reach: Reach) -> Vec<(String, IpVersion, bool)> {
    let gateways: Vec<_> = gateways.iter().filter_map(ListedGateway::new).collect();
    let scope = Scope { families: families.to_vec(), reach };
    let mut results: Vec<_> = test_all(gateways, scope, Duration::from_millis(50))
        .await
        .into_iter()
        .map(|status| (status.pub_key, status.ip_version, status.up))
        .collect();
    results.sort_by(|one, other| one.0.cmp(&other.0));
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
async fn entries_that_name_the_address_of_a_stranger_cause_few_connections() {
    let (mix, victim) = (Port::open(), "127.0.0.9");
    let entry = |port: usize| gateway(&port.to_string(), mix.address(), &format!("ws://{victim}:{}", 1 + port), None);
    let gateways: Vec<_> = (0..100).map(entry).collect();
    let results = run(&gateways, &IpFamily::ALL, Reach::Machine).await;
    assert_eq!(results.len(), 32, "the others are not tested");
}

#[tokio::test]
async fn a_run_begins_only_after_the_one_before() {
    let (mix, clients) = (Port::open(), Port::open());
    let listed = gateway("a", mix.address(), &format!("ws://{}", clients.address()), None);
    let listed = || vec![ListedGateway::new(&listed).unwrap()];
    let scope = Scope { families: IpFamily::ALL.to_vec(), reach: Reach::Machine };
    let mut tests = GatewayTests::default();
    tests.begin(listed(), scope.clone(), Duration::ZERO);
    tests.begin(listed(), scope.clone(), Duration::ZERO);
    let mut results = Vec::new();
    while results.is_empty() {
        sleep(Duration::from_millis(10)).await;
        results = tests.take();
    }
    assert_eq!((results.len(), mix.dials()), (1, 1));
    tests.begin(listed(), scope, Duration::ZERO);
    while tests.take().is_empty() {
        sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(mix.dials(), 1);
}
