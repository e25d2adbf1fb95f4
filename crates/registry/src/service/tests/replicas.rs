//! Tests of registries that share a database.

use std::collections::HashSet;
use std::net::SocketAddr;

use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::*;

/// Generous: everything takes milliseconds on an idle machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Two services with different return addresses.
async fn replicas(place: &Place) -> [Service; 2] {
    let rules = Rules { reach: Reach::Private, layers: 3 };
    let [one, other]: [SocketAddr; 2] = ["192.0.2.101:1".parse().unwrap(), "192.0.2.102:1".parse().unwrap()];
    let new = |store, address| {
        Service::new(store, rules, Gate::default(), Caps::default(), ReputationRules::default(), &[address])
    };
    [new(place.open().await, one), new(place.open().await, other)]
}

#[tokio::test]
#[ignore = "needs PostgreSQL: `make kit`"]
async fn replicas_have_one_key_and_notice_the_changes_of_each_other() {
    let place = Place::new().await;
    let [one, other] = replicas(&place).await;
    assert_eq!(one.store().key().public(), other.store().key().public());
    for service in [&one, &other] {
        service.purge(NOW).await.unwrap();
    }
    for service in [&one, &other] {
        assert_eq!(
            service.topology(Selection::All, NOW).await.unwrap().test_addresses,
            ["192.0.2.101:1", "192.0.2.102:1"]
        );
    }
    let before = other.all(NOW).await.unwrap();
    let follower = other.clone();
    let following = tokio::spawn(async move { follower.follow_changes().await });
    assert_eq!(register(&one, "a", &["192.0.2.1:1789"], NOW).await, Outcome::Done);
    let noticed = async {
        while other.all(NOW).await.unwrap().tag == before.tag {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, noticed).await.unwrap();
    assert_eq!(one.all(NOW).await.unwrap().json, other.all(NOW).await.unwrap().json);
    following.abort();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: `make kit`"]
async fn concurrent_calls_to_two_replicas_lose_and_double_nothing() {
    const NODES: usize = 100;
    let place = Place::new().await;
    let replicas = replicas(&place).await;
    let mut calls = JoinSet::new();
    // Each node registers at both replicas at the same time, and two nodes claim each address.
    for call in 0..2 * NODES {
        let service = replicas[call % 2].clone();
        calls.spawn(async move {
            let (node, host) = (call / 2, format!("192.0.2.{}:1789", call / 4));
            let from = Some(ip(host.split(':').next().unwrap()));
            let call = Call { admission: Admission::Open, from, ..admitted(NOW) };
            register_by(&service, &mix(&format!("node{node}"), &[&host]), &[&host], call).await
        });
    }
    while let Some(outcome) = calls.join_next().await {
        assert!(matches!(outcome.unwrap(), Outcome::Done | Outcome::Pending(_)));
    }
    for service in &replicas {
        let listed = identities(&service.topology(Selection::All, NOW).await.unwrap());
        assert_eq!(listed.len(), NODES / 2, "one of both has each address");
        assert_eq!(listed.iter().collect::<HashSet<_>>().len(), NODES / 2);
        assert_eq!(service.store().node_count().await.unwrap(), NODES as u64);
    }
    let pending = replicas[0].pending().await.unwrap();
    assert_eq!(pending.len(), NODES / 2);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: `make kit`"]
async fn measurements_at_two_replicas_all_count() {
    let place = Place::new().await;
    let replicas = replicas(&place).await;
    assert_eq!(register(&replicas[0], "a", &["192.0.2.1:1789"], NOW).await, Outcome::Done);
    let mut calls = JoinSet::new();
    for call in 0..60 {
        let service = replicas[call % 2].clone();
        let status = MixStatus { pub_key: "a".into(), ip_version: IpVersion::V4, up: true };
        calls.spawn(async move { service.add_statuses(&Reporter::Unnamed, &[status], NOW).await.unwrap() });
    }
    while let Some(done) = calls.join_next().await {
        done.unwrap();
    }
    assert_eq!(replicas[1].topology(Selection::All, NOW).await.unwrap().mix("a").unwrap().reputation, 180);
}
