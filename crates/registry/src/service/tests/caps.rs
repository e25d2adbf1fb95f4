//! Tests of the limits on entries and of their lifetimes.

use super::*;

/// The store of a public network with these limits.
pub(super) async fn capped(per_subscriber: u64, per_network: u64, total: u64) -> Home {
    Home::with(Caps { per_subscriber, per_network, total }).await
}

impl Home {
    /// Registers from a public address; returns whether the limits allowed it.
    async fn register_from(&self, from: &str, identity: &str, port: u16, now: i64) -> bool {
        match self.call(identity, &[&format!("{from}:{port}")], from, now).await {
            Outcome::Done => true,
            Outcome::Full(_) => false,
            other => panic!("{other:?}, although each has a port of its own"),
        }
    }
}

#[tokio::test]
async fn entries_per_address_and_per_network_are_limited() {
    let home = capped(2, 3, 100).await;
    assert!(home.register_from("36.68.1.1", "a", 1, NOW).await);
    assert!(home.register_from("36.68.1.1", "b", 2, NOW).await);
    assert!(!home.register_from("36.68.1.1", "c", 3, NOW).await, "the limit per address is 2");
    assert!(home.register_from("36.68.1.1", "a", 1, NOW).await, "listed nodes may register again");
    assert!(home.register_from("36.68.1.2", "c", 3, NOW).await);
    assert!(!home.register_from("36.68.1.3", "d", 4, NOW).await, "the limit per network is 3");
    home.service.set_reputation("a", 100).await.unwrap();
    assert!(home.register_from("36.68.1.3", "d", 4, NOW).await, "the active set does not count");
    assert!(home.register_from("36.68.2.1", "e", 5, NOW).await);
    home.unregister("e", Some("36.68.2.1"), NOW).await;
    for port in 10..20 {
        assert!(home.register_from("10.0.0.1", &format!("private{port}"), port, NOW).await);
    }
}

#[tokio::test]
async fn a_full_registry_removes_the_oldest_of_the_largest_network() {
    let home = capped(10, 10, 4).await;
    assert!(home.register_from("36.68.1.1", "active", 1, NOW).await);
    home.service.set_reputation("active", 100).await.unwrap();
    for (from, identity, at) in [("36.68.2.1", "first", 1), ("36.68.3.1", "flood1", 2), ("36.68.3.2", "flood2", 3)] {
        assert!(home.register_from(from, identity, 1, NOW + at).await);
    }
    assert!(home.register_from("36.68.4.1", "new", 1, NOW + 4).await);
    assert_eq!(home.identities(NOW + 5).await, ["active", "first", "flood2", "new"]);
    for identity in ["first", "flood2", "new"] {
        home.service.set_reputation(identity, 100).await.unwrap();
    }
    assert!(!home.register_from("36.68.5.1", "late", 1, NOW + 5).await, "no entry can be evicted");
}

#[tokio::test]
async fn entries_that_nothing_renews_are_deleted_and_others_stay() {
    let home = Home::new().await;
    home.register("idle", &["192.0.2.1:1789"], NOW).await;
    home.register("renewed", &["192.0.2.2:1789"], NOW).await;
    home.register_gateway("gateway", "192.0.2.3:1789", 30 * 24 * 3600, NOW).await;
    home.call("pending", &["192.0.2.4:1789"], "203.0.113.9", NOW).await;
    let count = async || home.service.store().node_count().await.unwrap();
    assert_eq!(count().await, 4);
    home.service.purge(NOW + 2 * HOUR).await.unwrap();
    assert_eq!(count().await, 3, "unproved entries are deleted first");
    home.register("renewed", &["192.0.2.2:1789"], NOW + 20 * HOUR).await;
    let generation = home.service.generation();
    home.service.purge(NOW + 25 * HOUR).await.unwrap();
    assert_eq!(home.identities(NOW + 25 * HOUR).await, ["renewed", "gateway"]);
    assert!(home.service.generation() > generation, "the list is rebuilt");
    home.service.purge(NOW + 8 * 24 * HOUR).await.unwrap();
    assert_eq!(count().await, 0);
}
