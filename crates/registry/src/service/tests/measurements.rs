//! Tests of measurements, reputation and packet counts.

use super::super::measurements::REPUTATION_MAX;
use super::*;

#[tokio::test]
async fn reputation_survives_unregistering_but_does_not_move_meanwhile() {
    let home = Home::new().await;
    home.register("a", &["192.0.2.1:1789"], NOW).await;
    home.measure("a", IpVersion::V4, true, NOW).await;
    home.unregister("a", Some("198.51.100.7"), NOW).await;
    home.measure("a", IpVersion::V4, false, NOW).await;
    home.register("a", &["192.0.2.1:1789"], NOW).await;
    assert_eq!(home.reputation("a").await, 3);
}

#[tokio::test]
async fn reputation_moves_by_measurement_within_its_bounds() {
    let home = Home::new().await;
    home.register("a", &["192.0.2.1:1789"], NOW).await;
    for (up, expected) in [(false, 0), (true, 3), (true, 6), (false, 4), (false, 2), (false, 0), (false, 0)] {
        home.measure("a", IpVersion::V6, up, NOW).await;
        assert_eq!(home.reputation("a").await, expected);
    }
    home.service.set_reputation("a", REPUTATION_MAX).await.unwrap();
    home.measure("a", IpVersion::V4, true, NOW).await;
    assert_eq!(home.reputation("a").await, REPUTATION_MAX);
    assert!(matches!(home.service.set_reputation("unknown", 1).await, Err(Rejection::Unknown(_))));
}

#[tokio::test]
async fn the_active_set_starts_at_a_reputation_of_100() {
    let home = Home::new().await;
    for (identity, host, reputation) in [("a", "192.0.2.1:1", 99), ("b", "192.0.2.2:1", 100)] {
        home.register(identity, &[host], NOW).await;
        home.service.set_reputation(identity, reputation).await.unwrap();
    }
    assert_eq!(identities(&home.service.topology(Selection::Active, NOW).await.unwrap()), ["b"]);
}

#[tokio::test]
async fn uptime_is_in_whole_per_cent_by_window_and_ip_version() {
    let home = Home::new().await;
    assert!(matches!(home.service.report("a", NOW).await, Err(Rejection::Unknown(_))));
    for (ip_version, up, age) in [
        (IpVersion::V4, false, 25 * HOUR),
        (IpVersion::V4, true, 23 * HOUR),
        (IpVersion::V4, false, 30 * MINUTE),
        (IpVersion::V4, true, 4 * MINUTE),
        (IpVersion::V4, true, MINUTE),
        (IpVersion::V6, true, 2 * HOUR),
    ] {
        home.measure("a", ip_version, up, NOW - age).await;
    }
    home.measure("b", IpVersion::V6, false, NOW - 25 * HOUR).await;
    let report = home.service.report("a", NOW).await.unwrap();
    assert!(report.most_recent_ipv4 && report.most_recent_ipv6);
    assert_eq!((report.last_5_minutes_ipv4, report.last_hour_ipv4, report.last_day_ipv4), (100, 66, 75));
    assert_eq!((report.last_5_minutes_ipv6, report.last_hour_ipv6, report.last_day_ipv6), (0, 0, 100));
    assert_eq!(home.service.full_report(NOW).await.unwrap(), [report], "b was not measured in the last day");

    home.measure("a", IpVersion::V4, false, NOW).await;
    assert!(!home.service.report("a", NOW).await.unwrap().most_recent_ipv4);
}

#[tokio::test]
async fn history_is_newest_first_and_old_measurements_are_purged() {
    let home = Home::new().await;
    home.measure("a", IpVersion::V4, true, NOW - 49 * HOUR).await;
    home.measure("a", IpVersion::V6, false, NOW - HOUR).await;
    let times = |history: Vec<nym_mixnode_api::PersistedMixStatus>| {
        history.iter().map(|entry| entry.timestamp).collect::<Vec<_>>()
    };
    assert_eq!(times(home.service.statuses("a").await.unwrap()), [NOW - HOUR, NOW - 49 * HOUR]);
    home.service.purge(NOW).await.unwrap();
    let history = home.service.statuses("a").await.unwrap();
    assert_eq!(history[0].status, MixStatus { pub_key: "a".into(), ip_version: IpVersion::V6, up: false });
    assert_eq!(times(history), [NOW - HOUR]);
}

#[tokio::test]
async fn the_latest_metric_of_each_registered_node_is_kept() {
    let home = Home::new().await;
    let unknown = home.service.add_metric("a", 1, None, NOW).await;
    assert!(matches!(unknown, Err(Rejection::Unknown(_))), "unknown nodes report nothing");
    home.register("a", &["192.0.2.1:1789"], NOW).await;
    home.service.add_metric("a", 1, None, NOW).await.unwrap();
    home.service.add_metric("a", u64::MAX, None, NOW + 1).await.unwrap();
    let metrics = home.service.metrics().await.unwrap();
    assert_eq!(metrics.len(), 1);
    assert_eq!((metrics[0].timestamp, metrics[0].metric.received), (NOW + 1, i64::MAX as u64));
    home.register("a", &["192.0.2.1:1789"], NOW).await;
    assert_eq!(home.service.metrics().await.unwrap().len(), 1, "a keep-alive keeps the metrics");
    home.unregister("a", Some("198.51.100.7"), NOW).await;
    assert!(home.service.metrics().await.unwrap().is_empty());
}

#[tokio::test]
async fn the_rules_for_reputation_are_those_of_the_operator() {
    let rules = ReputationRules { passed: 5, failed: 1, active: 9, uptime_min: 0 };
    let home = Home::with_rules(Caps::default(), rules).await;
    home.register("a", &["192.0.2.1:1"], NOW).await;
    for (up, expected, active) in [(true, 5, 0), (false, 4, 0), (true, 9, 1)] {
        home.measure("a", IpVersion::V4, up, NOW).await;
        let topology = home.service.topology(Selection::Active, NOW).await.unwrap();
        assert_eq!((home.reputation("a").await, topology.mix_nodes.len()), (expected, active));
        assert_eq!(topology.active_reputation, Some(9));
    }
}

#[tokio::test]
async fn nodes_that_were_down_most_of_the_last_day_are_removed_from_the_active_set_until_they_recover() {
    let home = Home::new().await;
    for (identity, host) in [("a", "192.0.2.1:1"), ("six", "192.0.2.2:1"), ("new", "192.0.2.3:1")] {
        home.register(identity, &[host], NOW).await;
        home.service.set_reputation(identity, 1000).await.unwrap();
    }
    let listed = async |selection, at| identities(&home.service.topology(selection, at).await.unwrap());
    for (up, at) in [(true, NOW), (false, NOW + HOUR)] {
        home.measure("a", IpVersion::V4, up, at).await;
        // Only IPv4 counts, for nodes that are measured over it.
        home.measure("a", IpVersion::V6, true, at).await;
        home.measure("six", IpVersion::V6, up, at).await;
    }
    assert_eq!(listed(Selection::Active, NOW + HOUR).await, ["a", "new", "six"], "half of the day is enough");
    home.measure("a", IpVersion::V4, false, NOW + 2 * HOUR).await;
    home.measure("six", IpVersion::V6, false, NOW + 2 * HOUR).await;
    assert_eq!(listed(Selection::Active, NOW + 2 * HOUR).await, ["new"]);
    assert_eq!(listed(Selection::Removed, NOW + 2 * HOUR).await, ["a", "six"]);
    assert_eq!(listed(Selection::All, NOW + 2 * HOUR).await.len(), 3, "nodes still forward to them");
    home.measure("a", IpVersion::V4, true, NOW + 3 * HOUR).await;
    assert_eq!(listed(Selection::Active, NOW + 3 * HOUR).await, ["a", "new"]);
    home.service.purge(NOW + 10 * HOUR).await.unwrap();
    assert_eq!(listed(Selection::Active, NOW + 10 * HOUR).await, ["a", "new"]);
    assert_eq!(listed(Selection::Active, NOW + 27 * HOUR).await.len(), 3, "earlier measurements do not count");
}

#[tokio::test]
async fn an_entry_that_expires_is_never_in_the_active_set() {
    let home = Home::new().await;
    home.register_gateway("prober", "192.0.2.1:1789", 90, NOW).await;
    home.register("a", &["192.0.2.2:1789"], NOW).await;
    for identity in ["prober", "a"] {
        home.service.set_reputation(identity, 100).await.unwrap();
    }
    assert_eq!(identities(&home.service.topology(Selection::Active, NOW).await.unwrap()), ["a"]);
}
