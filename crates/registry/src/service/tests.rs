//! Tests of the service on a real database, with a simulated clock.

use std::net::IpAddr;
use std::time::Duration;

use nym_mixnode_api::{
    Announced, GatewayRegistration, IpVersion, MixRegistration, MixStatus, PendingAddress, Topology, signing, testing,
};
use nym_mixnode_keys::IdentityKeyPair;
use nym_mixnode_net::Reach;

use super::registration::NewNode;
use super::*;
use crate::majority::Reporter;
use crate::proof::{Admission, Call};
use crate::store::Role;
use crate::store::tests::Place;

mod caps;
mod clock;
mod history;
mod identities;
mod measurements;
mod monitor_lease;
mod readers;
mod replicas;
mod several_monitors;

const SECOND: i64 = 1_000_000_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const NOW: i64 = 1_600_000_000 * SECOND;

/// Result of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Outcome {
    Done,
    /// Registered, without these addresses.
    Pending(Vec<String>),
    Refused(Refusal),
    Full(String),
    Unknown,
}

impl Outcome {
    fn of(result: Result<Vec<PendingAddress>, Rejection>) -> Self {
        match result {
            Ok(pending) if pending.is_empty() => Self::Done,
            Ok(pending) => Self::Pending(pending.into_iter().map(|pending| pending.address).collect()),
            Err(Rejection::Refused(refusal)) => Self::Refused(refusal),
            Err(Rejection::Full(full)) => Self::Full(full.to_string()),
            Err(Rejection::Unknown(_)) => Self::Unknown,
            Err(other) => panic!("{other}"),
        }
    }
}

struct Home {
    place: Place,
    service: Service,
}

/// A service of a private network on this store.
fn service(store: Store, caps: Caps, reputation: ReputationRules) -> Service {
    let rules = Rules { reach: Reach::Private, layers: 3 };
    Service::new(store, rules, Gate::default(), caps, reputation, &[])
}

impl Home {
    async fn new() -> Self {
        Self::with(Caps::default()).await
    }

    async fn with(caps: Caps) -> Self {
        Self::with_rules(caps, ReputationRules::default()).await
    }

    async fn with_rules(caps: Caps, reputation: ReputationRules) -> Self {
        let place = Place::new().await;
        let service = service(place.open().await, caps, reputation);
        Self { place, service }
    }

    async fn register(&self, identity: &str, hosts: &[&str], now: i64) -> Outcome {
        register(&self.service, identity, hosts, now).await
    }

    async fn register_gateway(&self, identity: &str, host: &str, expires_in_s: u64, now: i64) -> Outcome {
        let registration = GatewayRegistration { expires_in: Some(expires_in_s), ..testing::gateway(identity, host) };
        let node = NewNode {
            role: Role::Gateway,
            layer: 0,
            sphinx_key: "s",
            registration: &registration,
            hosts: vec![host.parse().unwrap()],
            call: admitted(now),
            expires_in: Some(Duration::from_secs(expires_in_s)),
        };
        Outcome::of(self.service.register(&node).await)
    }

    /// Registers with a call from this address, at an open registry.
    async fn call(&self, identity: &str, hosts: &[&str], from: &str, now: i64) -> Outcome {
        let call = Call { admission: Admission::Open, from: Some(ip(from)), ..admitted(now) };
        register_by(&self.service, &mix(identity, hosts), hosts, call).await
    }

    /// Registers with a signed call from this address.
    async fn sign(&self, keys: &IdentityKeyPair, hosts: &[&str], from: &str, counter: u64, now: i64) -> Outcome {
        let unsigned = mix(&keys.public_base58(), hosts);
        let signed = signing::sign(&unsigned, keys, self.service.store().key().public(), counter, None).unwrap();
        let call = Call { signed: Some(counter), admission: Admission::Open, from: Some(ip(from)), now };
        register_by(&self.service, &signed, hosts, call).await
    }

    async fn unregister(&self, identity: &str, from: Option<&str>, now: i64) -> Outcome {
        let call = Call { from: from.map(ip), ..admitted(now) };
        self.remove(identity, &call, false).await
    }

    async fn remove(&self, identity: &str, call: &Call, is_privileged: bool) -> Outcome {
        Outcome::of(self.service.remove(identity, call, is_privileged, false).await.map(|()| Vec::new()))
    }

    async fn identities(&self, now: i64) -> Vec<String> {
        identities(&self.service.topology(Selection::All, now).await.unwrap())
    }

    async fn reputation(&self, identity: &str) -> i64 {
        self.service.topology(Selection::All, NOW).await.unwrap().mix(identity).unwrap().reputation
    }

    async fn measure(&self, identity: &str, ip_version: IpVersion, up: bool, at: i64) {
        let status = MixStatus { pub_key: identity.into(), ip_version, up };
        self.service.add_statuses(&Reporter::Unnamed, &[status], at).await.unwrap();
    }
}

/// A call that the registry admits, from the default address of the tests.
fn admitted(now: i64) -> Call {
    Call { signed: None, admission: Admission::Admitted, from: Some(ip("198.51.100.7")), now }
}

/// The addresses that a registration leaves pending.
fn pending(registered: Outcome) -> Vec<String> {
    match registered {
        Outcome::Done => Vec::new(),
        Outcome::Pending(addresses) => addresses,
        other => panic!("{other:?}"),
    }
}

fn mix(identity: &str, hosts: &[&str]) -> MixRegistration {
    let all = hosts.iter().map(ToString::to_string).collect();
    MixRegistration {
        mix_hosts: if hosts.len() > 1 { all } else { Vec::new() },
        sphinx_key: bs58::encode([8; 32]).into_string(),
        location: "here".into(),
        layer: 3,
        ..testing::mix(identity, hosts[0])
    }
}

async fn register(service: &Service, identity: &str, hosts: &[&str], now: i64) -> Outcome {
    register_by(service, &mix(identity, hosts), hosts, admitted(now)).await
}

async fn register_by(service: &Service, registration: &MixRegistration, hosts: &[&str], call: Call) -> Outcome {
    let node = NewNode {
        role: Role::Mix,
        layer: registration.layer,
        sphinx_key: &registration.sphinx_key,
        registration,
        hosts: hosts.iter().map(|host| host.parse().unwrap()).collect(),
        call,
        expires_in: None,
    };
    Outcome::of(service.register(&node).await)
}

fn identities(topology: &Topology) -> Vec<String> {
    let mixes = topology.mix_nodes.iter().map(|mix| mix.registration.identity_key.clone());
    mixes.chain(topology.gateways.iter().map(|gateway| gateway.registration.identity_key.clone())).collect()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[tokio::test]
async fn a_registered_mix_is_listed_as_it_registered() {
    let home = Home::new().await;
    assert_eq!(home.register("a", &["192.0.2.1:1789"], NOW).await, Outcome::Done);
    let topology = home.service.topology(Selection::All, NOW).await.unwrap();
    let mix = topology.mix("a").unwrap();
    assert_eq!((mix.registration_time, mix.reputation, mix.registration.layer), (NOW, 0, 3));
    assert_eq!(topology.validators, serde_json::json!({"block_height": 0, "validators": []}));
}

#[tokio::test]
async fn hosts_are_compared_exactly_and_a_claim_of_a_proven_one_is_pending() {
    let home = Home::new().await;
    assert_eq!(home.call("a", &["1.1.1.1:1789"], "1.1.1.1", NOW).await, Outcome::Done);
    for (free, from) in [("11.1.1.10:1789", "11.1.1.10"), ("1.1.1.1:1790", "1.1.1.1")] {
        assert_eq!(home.call(free, &[free], from, NOW).await, Outcome::Done, "{free}");
    }
    assert_eq!(pending(home.call("b", &["1.1.1.1:1789"], "1.1.1.1", NOW).await), ["1.1.1.1:1789"]);
    assert!(!home.identities(NOW).await.contains(&"b".to_owned()), "a pending claim is listed nowhere");
    assert!(home.identities(NOW).await.contains(&"a".to_owned()), "and takes nothing from the holder");
    let listed = home.service.pending().await.unwrap();
    assert_eq!((&listed[0].identity_key[..], &listed[0].pending.address[..]), ("b", "1.1.1.1:1789"));
}

#[tokio::test]
async fn an_unproven_claim_does_not_block_others() {
    let home = Home::new().await;
    assert_eq!(pending(home.call("squatter", &["192.0.2.1:1789"], "203.0.113.9", NOW).await), ["192.0.2.1:1789"]);
    assert_eq!(home.call("a", &["192.0.2.1:1789"], "192.0.2.1", NOW).await, Outcome::Done);
    assert_eq!(home.identities(NOW).await, ["a"]);
    home.call("squatter", &["192.0.2.1:1789"], "203.0.113.9", NOW + HOUR).await;
    assert_eq!(home.identities(NOW).await, ["a"], "an old claim is still unproven");
}

#[tokio::test]
async fn a_holder_keeps_its_address_for_two_minutes_after_its_last_call() {
    let home = Home::new().await;
    let host = ["192.0.2.1:1789"];
    home.call("a", &host, "192.0.2.1", NOW).await;
    assert_eq!(pending(home.call("b", &host, "192.0.2.1", NOW + MINUTE).await).len(), 1);
    home.service.add_metric("a", 1, Some(ip("192.0.2.1")), NOW + MINUTE).await.unwrap();
    home.service.add_metric("a", 1, Some(ip("203.0.113.9")), NOW + 10 * MINUTE).await.unwrap();
    assert_eq!(pending(home.call("b", &host, "192.0.2.1", NOW + 3 * MINUTE - SECOND).await).len(), 1);
    assert_eq!(home.call("b", &host, "192.0.2.1", NOW + 3 * MINUTE).await, Outcome::Done);
    assert_eq!(home.identities(NOW).await, ["b"]);
    assert_eq!(home.service.pending().await.unwrap()[0].identity_key, "a");
}

#[tokio::test]
async fn a_test_packet_proves_an_address_only_with_the_claimed_key() {
    let home = Home::new().await;
    let host = ["192.0.2.1:1789"];
    home.call("a", &host, "192.0.2.1", NOW).await;
    home.call("b", &host, "203.0.113.9", NOW).await;
    assert!(home.service.due_claims(9, NOW).await.unwrap().is_empty(), "not at once");
    let due = home.service.due_claims(9, NOW + SECOND).await.unwrap();
    assert_eq!((due.len(), &due[0].identity[..]), (1, "b"));
    assert!(home.service.due_claims(9, NOW + SECOND).await.unwrap().is_empty(), "one packet, not one in each tick");
    let of_another_key = DueClaim { sphinx_key: [9; 32], ..due[0].clone() };
    assert!(!home.service.prove_by_packet(&of_another_key, NOW + SECOND).await.unwrap());
    assert_eq!(home.identities(NOW).await, ["a"]);
    assert!(home.service.prove_by_packet(&due[0], NOW + SECOND).await.unwrap());
    assert_eq!(home.identities(NOW).await, ["b"]);
    assert_eq!(pending(home.call("a", &host, "192.0.2.1", NOW + 5 * MINUTE).await).len(), 1, "it answers there");
}

#[tokio::test]
async fn the_interval_between_test_packets_to_one_claim_grows() {
    let home = Home::new().await;
    let host = ["192.0.2.1:1789"];
    let mut sent = 0;
    for second in 0..3600 {
        let now = NOW + second * SECOND;
        if second % 30 == 0 {
            home.call("a", &host, "203.0.113.9", now).await;
        }
        sent += home.service.due_claims(9, now).await.unwrap().len();
    }
    assert!((8..25).contains(&sent), "{sent} in an hour, although it registers again and again");
}

#[tokio::test]
async fn an_entry_is_listed_with_its_proven_addresses_and_the_signature_over_all() {
    let home = Home::new().await;
    let keys = IdentityKeyPair::generate().unwrap();
    let hosts = ["192.0.2.1:1789", "[2001:db8::1]:1789"];
    assert_eq!(pending(home.sign(&keys, &hosts, "2001:db8::1", 1, NOW).await), ["192.0.2.1:1789"]);
    let topology = home.service.topology(Selection::All, NOW).await.unwrap();
    let listed = &topology.mix_nodes[0].registration;
    assert_eq!((&listed.mix_host[..], listed.mix_hosts.len()), ("[2001:db8::1]:1789", 0));
    let all = Announced { mix_host: hosts[0].into(), mix_hosts: hosts.map(String::from).to_vec() };
    assert_eq!(listed.proof.as_ref().unwrap().announced, Some(all));
    assert_eq!(signing::signed_counter(listed, home.service.store().key().public()), Some(1));

    assert_eq!(home.sign(&keys, &hosts, "192.0.2.1", 2, NOW + MINUTE).await, Outcome::Done);
    let topology = home.service.topology(Selection::All, NOW).await.unwrap();
    assert_eq!(topology.mix_nodes[0].registration.mix_hosts, hosts);
    assert_eq!(topology.mix_nodes[0].registration.proof.as_ref().unwrap().announced, None);
}

#[tokio::test]
async fn a_signer_is_remembered_after_unregistering_and_restarts_of_the_registry() {
    let home = Home::new().await;
    let keys = IdentityKeyPair::generate().unwrap();
    let (identity, hosts) = (keys.public_base58(), ["192.0.2.1:1789"]);
    assert_eq!(home.service.store().counter(&identity).await.unwrap(), 0);
    assert_eq!(home.sign(&keys, &hosts, "192.0.2.1", 3, NOW).await, Outcome::Done);
    let stale = Outcome::Refused(Refusal::NewerStart { used: 3, last: 3 });
    assert_eq!(home.sign(&keys, &hosts, "192.0.2.1", 3, NOW).await, stale);
    let unsigned = Outcome::Refused(Refusal::NotSigned);
    assert_eq!(home.call(&identity, &hosts, "192.0.2.1", NOW).await, unsigned);
    assert_eq!(home.register_gateway(&identity, hosts[0], 1, NOW).await, unsigned, "nor as a gateway");
    assert_eq!(home.unregister(&identity, Some("192.0.2.1"), NOW).await, Outcome::Refused(Refusal::NotSigned));

    let by_hand = Call { signed: Some(4), ..admitted(NOW) };
    assert_eq!(home.remove(&identity, &by_hand, false).await, Outcome::Done);
    let gone = Outcome::Refused(Refusal::WasUnregistered { used: 4, last: 4 });
    assert_eq!(home.sign(&keys, &hosts, "192.0.2.1", 4, NOW).await, gone);
    let key = *home.service.store().key().public();
    home.service.close().await;
    let reopened = home.place.open().await;
    assert_eq!((*reopened.key().public(), reopened.counter(&identity).await.unwrap()), (key, 4));
}

#[tokio::test]
async fn a_node_replaces_its_registration_frees_its_old_hosts_and_keeps_its_reputation() {
    let home = Home::new().await;
    home.register("a", &["192.0.2.1:1789"], NOW).await;
    home.service.set_reputation("a", 50).await.unwrap();
    assert_eq!(home.register("a", &["192.0.2.2:1789"], NOW + 1).await, Outcome::Done);
    assert_eq!(home.register("b", &["192.0.2.1:1789"], NOW + 2).await, Outcome::Done);
    assert_eq!(home.identities(NOW).await, ["a", "b"]);
    assert_eq!(home.reputation("a").await, 50);

    home.register_gateway("a", "192.0.2.2:1789", 60, NOW).await;
    let topology = home.service.topology(Selection::All, NOW).await.unwrap();
    assert_eq!((topology.mix_nodes.len(), topology.gateways.len()), (1, 1), "a mix may become a gateway");
}

#[tokio::test]
async fn only_the_node_and_its_registrar_may_unregister_it_unsigned() {
    let home = Home::new().await;
    let hosts = ["192.0.2.1:1789", "[2001:db8::1]:1789"];
    let not_the_node = Outcome::Refused(Refusal::NotTheNode);
    for (caller, expected) in [
        (None, &not_the_node),
        (Some("192.0.2.2"), &not_the_node),
        (Some("92.0.2.1"), &not_the_node),
        (Some("127.0.0.1"), &not_the_node),
        (Some("::1"), &not_the_node),
        (Some("192.0.2.1"), &Outcome::Done),
        (Some("2001:db8::1"), &Outcome::Done),
        (Some("198.51.100.7"), &Outcome::Done),
    ] {
        home.register("a", &hosts, NOW).await;
        assert_eq!(home.unregister("a", caller, NOW).await, *expected, "{caller:?}");
        assert_eq!(home.identities(NOW).await.is_empty(), *expected == Outcome::Done);
    }
    assert_eq!(home.unregister("a", Some("192.0.2.1"), NOW).await, Outcome::Unknown);
    home.register("a", &hosts, NOW).await;
    let call = Call { from: None, ..admitted(NOW) };
    assert_eq!(home.remove("a", &call, true).await, Outcome::Done, "by right");
}

#[tokio::test]
async fn a_gateway_vanishes_when_it_expires_unless_it_registers_again() {
    let home = Home::new().await;
    home.register_gateway("g", "192.0.2.1:1789", 60, NOW).await;
    home.register_gateway("g", "192.0.2.1:1789", 60, NOW + 30 * SECOND).await;
    assert_eq!(home.identities(NOW + 89 * SECOND).await, ["g"]);
    let expired = NOW + 90 * SECOND;
    assert!(home.identities(expired).await.is_empty(), "on read, before any purge");
    assert_eq!(home.service.store().node_count().await.unwrap(), 1);
    home.service.purge(expired).await.unwrap();
    assert_eq!(home.service.store().node_count().await.unwrap(), 0);

    home.register_gateway("g", "192.0.2.1:1789", 60, NOW).await;
    assert_eq!(home.register("a", &["192.0.2.1:1789"], expired).await, Outcome::Done, "its host is free at once");
    assert_eq!(home.unregister("g", Some("198.51.100.7"), expired).await, Outcome::Unknown);
}

#[tokio::test]
async fn concurrent_registrations_of_one_host_have_one_winner() {
    let home = Home::new().await;
    let attempts = (0..16).map(|index| {
        let service = home.service.clone();
        tokio::spawn(async move {
            let call = Call { admission: Admission::Open, from: Some(ip("192.0.2.1")), ..admitted(NOW) };
            let hosts = ["192.0.2.1:1789"];
            register_by(&service, &mix(&format!("node{index}"), &hosts), &hosts, call).await
        })
    });
    let mut winners = 0;
    for attempt in attempts.collect::<Vec<_>>() {
        winners += usize::from(attempt.await.unwrap() == Outcome::Done);
    }
    assert_eq!(winners, 1);
}
