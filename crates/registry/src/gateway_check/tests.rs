//! Tests with real listeners on loopback and a simulated clock.

use std::net::{Shutdown, TcpListener};

use nym_mixnode_api::{GatewayRegistration, signing, testing};
use nym_mixnode_keys::IdentityKeyPair;
use socket2::SockRef;

use super::*;
use crate::admission::Gate;
use crate::caps::Caps;
use crate::check::Rules;
use crate::proof::{Admission, Call};
use crate::reputation::ReputationRules;
use crate::service::{NewNode, Selection};
use crate::store::Role;
use crate::store::tests::Place;

const HOUR: i64 = 3_600 * 1_000_000_000;
const DAY: i64 = 24 * HOUR;
const NOW: i64 = 1_600_000_000 * 1_000_000_000;

/// Local port that accepts connections while the listener exists.
struct Port(TcpListener);

impl Port {
    fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        Self(listener)
    }

    fn closed() -> Self {
        let port = Self::open();
        port.close();
        port
    }

    fn address(&self) -> SocketAddr {
        self.0.local_addr().unwrap()
    }

    /// Refuses connections from now on, and keeps the port reserved.
    fn close(&self) {
        SockRef::from(&self.0).shutdown(Shutdown::Read).unwrap();
    }

    /// Whether a client has connected since the last call. A successful dial is in the accept queue.
    fn was_dialled(&self) -> bool {
        self.0.accept().is_ok()
    }
}

struct World {
    service: Service,
    _place: Place,
}

impl World {
    async fn new() -> Self {
        let place = Place::new().await;
        let store = place.open().await;
        let rules = Rules { reach: Reach::Private, layers: 3 };
        let service = Service::new(store, rules, Gate::default(), Caps::default(), ReputationRules::default(), &[]);
        Self { service, _place: place }
    }

    async fn register(&self, mut gateway: GatewayRegistration, keys: Option<&IdentityKeyPair>, now: i64) {
        if let Some(keys) = keys {
            gateway.identity_key = keys.public_base58();
            gateway = signing::sign(&gateway, keys, self.service.store().key().public(), 1, None).unwrap();
        }
        let from = Some("127.0.0.1".parse().unwrap());
        let node = NewNode {
            role: Role::Gateway,
            layer: 0,
            sphinx_key: &gateway.sphinx_key,
            registration: &gateway,
            hosts: vec![gateway.mix_host.parse().unwrap()],
            call: Call { signed: keys.map(|_| 1), admission: Admission::Open, from, now },
            expires_in: None,
        };
        assert!(self.service.register(&node).await.unwrap().is_empty());
    }

    /// Runs one round of the registry's sweep; returns the remaining gateways.
    async fn sweep(&self, reach: Reach, now: i64) -> Vec<String> {
        renew_silent(&self.service, reach, now).await.unwrap();
        self.service.purge(now).await.unwrap();
        let topology = self.service.topology(Selection::All, now).await.unwrap();
        topology.gateways.into_iter().map(|gateway| gateway.registration.identity_key).collect()
    }
}

fn gateway(identity: &str, mix_host: SocketAddr, clients_host: impl Into<String>) -> GatewayRegistration {
    GatewayRegistration { clients_host: clients_host.into(), ..testing::gateway(identity, mix_host.to_string()) }
}

#[tokio::test]
async fn an_unsigned_gateway_stays_while_both_of_its_ports_answer() {
    let world = World::new().await;
    let (mix, clients) = (Port::open(), Port::open());
    let half = Port::open();
    let [closed, other] = [(); 2].map(|()| Port::closed());
    let url = |address: SocketAddr| format!("ws://{address}");
    world.register(gateway("answers", mix.address(), url(clients.address())), None, NOW).await;
    world.register(gateway("no packets", closed.address(), url(clients.address())), None, NOW).await;
    world.register(gateway("no clients", half.address(), url(other.address())), None, NOW).await;
    for week in 1..4 {
        let last_day = NOW + 7 * DAY - HOUR;
        let left = world.sweep(Reach::Machine, last_day + (week - 1) * (7 * DAY - HOUR)).await;
        assert_eq!(left.len(), if week == 1 { 3 } else { 1 }, "{left:?}");
        assert_eq!(world.sweep(Reach::Machine, NOW + week * 7 * DAY - (week - 1) * HOUR).await, ["answers"]);
        assert!(mix.was_dialled() && clients.was_dialled());
    }
    clients.close();
    world.sweep(Reach::Machine, NOW + 28 * DAY - 4 * HOUR).await;
    assert!(world.sweep(Reach::Machine, NOW + 28 * DAY).await.is_empty(), "it no longer answers");
}

#[tokio::test]
async fn a_gateway_is_dialled_on_its_last_day_once_an_hour() {
    let world = World::new().await;
    let (mix, closed) = (Port::open(), Port::closed());
    world.register(gateway("a", mix.address(), closed.address().to_string()), None, NOW).await;
    for (after, expected) in
        [(6 * DAY - HOUR, false), (6 * DAY, true), (6 * DAY + HOUR / 2, false), (6 * DAY + HOUR, true)]
    {
        world.sweep(Reach::Machine, NOW + after).await;
        assert_eq!(mix.was_dialled(), expected, "{after}");
    }
}

#[tokio::test]
async fn signing_gateways_and_forbidden_addresses_are_not_dialled() {
    let world = World::new().await;
    let keys = IdentityKeyPair::generate().unwrap();
    let [signed, local, named] = [(); 3].map(|()| Port::open());
    let clients = Port::open();
    world.register(gateway("", signed.address(), clients.address().to_string()), Some(&keys), NOW).await;
    world.sweep(Reach::Machine, NOW + 7 * DAY - HOUR).await;
    assert!(!signed.was_dialled() && !clients.was_dialled(), "it registers by itself");
    world.register(gateway("local", local.address(), clients.address().to_string()), None, NOW).await;
    let by_name = format!("ws://localhost:{}", clients.address().port());
    world.register(gateway("name", named.address(), by_name), None, NOW).await;
    for (reach, hours, expected) in [(Reach::Internet, 3, false), (Reach::Private, 2, false), (Reach::Machine, 1, true)]
    {
        world.sweep(reach, NOW + 7 * DAY - hours * HOUR).await;
        assert_eq!([&local, &named, &clients].map(Port::was_dialled), [expected; 3], "{reach}");
    }
    assert!(!signed.was_dialled());
}
