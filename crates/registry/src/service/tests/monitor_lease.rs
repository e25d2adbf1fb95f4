//! Tests of the lease of the network monitor.

use tokio::time::{Instant, sleep, timeout};

use super::*;
use crate::monitor_lease::MonitorLease;

const LENGTH: i64 = 15 * SECOND;

fn lease(service: &Service, owner: &str) -> Arc<MonitorLease> {
    Arc::new(MonitorLease::new(service.clone(), owner.to_owned()))
}

async fn take(service: &Service, owner: &str, now: i64) -> bool {
    let mut transaction = service.store().begin().await.unwrap();
    let is_taken = transaction.take_monitor_lease(owner, now, now + LENGTH).await.unwrap();
    transaction.commit_unlisted().await.unwrap();
    is_taken
}

#[tokio::test]
async fn one_owner_keeps_the_lease_until_it_stops_renewing() {
    let home = Home::new().await;
    for (owner, after, expected) in [
        ("a", 0, true),
        ("b", 1, false),
        ("a", 10, true),
        ("b", 24, false),
        ("b", 25, true),
        ("a", 26, false),
        ("b", 26 + 3600, true),
    ] {
        assert_eq!(take(&home.service, owner, NOW + after * SECOND).await, expected, "{owner} after {after} s");
    }
    assert!(take(&home.service, "a", NOW).await, "a clock that was set back by an hour does not lock others out");
    assert_eq!(home.service.store().rows("monitor_lease").await, 1);
}

#[tokio::test]
async fn an_ended_lease_is_free_at_once() {
    let home = Home::new().await;
    let (service, long) = (&home.service, Duration::from_mins(60));
    assert!(service.take_monitor_lease("a", long).await.unwrap());
    service.end_monitor_lease("b").await.unwrap();
    assert!(!service.take_monitor_lease("b", long).await.unwrap(), "only the owner can end it");
    service.end_monitor_lease("a").await.unwrap();
    assert!(service.take_monitor_lease("b", long).await.unwrap());
}

#[tokio::test]
async fn the_database_has_a_clock() {
    let home = Home::new().await;
    let mut times = Vec::new();
    for _ in 0..2 {
        let mut transaction = home.service.store().begin().await.unwrap();
        times.push(transaction.time().await.unwrap());
        transaction.rollback().await.unwrap();
    }
    assert!(times[0] <= times[1], "{times:?}");
    // The database runs on this machine.
    assert!((times[0] - crate::now_ns()).abs() < HOUR, "{times:?}");
}

#[tokio::test]
#[ignore = "needs PostgreSQL: `make kit`"]
async fn one_of_two_registries_has_the_turn_and_the_other_gets_it_when_that_ends() {
    let place = Place::new().await;
    let mut services = Vec::new();
    for _ in 0..2 {
        services.push(service(place.open().await, Caps::default(), ReputationRules::default()));
    }
    let [one, other] = [("one", &services[0]), ("other", &services[1])].map(|(owner, service)| lease(service, owner));
    let has_turn = |lease: &MonitorLease| lease.turn().has_come(Instant::now());
    let turn_of = async |lease: &MonitorLease| {
        let coming = async {
            while !has_turn(lease) {
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(Duration::from_secs(60), coming).await.unwrap();
    };
    let keep = |lease: &Arc<MonitorLease>| {
        let lease = Arc::clone(lease);
        tokio::spawn(async move { lease.keep().await })
    };
    let kept = keep(&one);
    turn_of(&one).await;
    let waiting = keep(&other);
    sleep(Duration::from_secs(1)).await;
    assert!(has_turn(&one) && !has_turn(&other));
    kept.abort();
    one.end().await;
    assert!(!has_turn(&one));
    turn_of(&other).await;
    waiting.abort();
}

#[tokio::test]
async fn a_registry_with_a_file_needs_no_lease() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("registry.sqlite")).await.unwrap();
    let service = service(store, Caps::default(), ReputationRules::default());
    let lease = lease(&service, "a");
    assert!(lease.turn().has_come(Instant::now()));
    assert_eq!(service.store().rows("monitor_lease").await, 0);
}
