//! Tests of what the registry remembers of the past.

use super::super::history::{LayerPoint, NodePoint};
use super::*;

const DAY: i64 = 24 * HOUR;
const HOST: &str = "192.0.2.1:1789";

/// Beginning of an hour and of a day.
const START: i64 = 1_600_041_600 * SECOND;

async fn tests(home: &Home, hours: i64, now: i64) -> Vec<(i64, i64, i64, i64, i64)> {
    let points = home.service.node_history("a", hours, now).await.unwrap();
    let tuple = |point: NodePoint| (point.at, point.hours, point.passed, point.total, point.reputation);
    points.into_iter().map(tuple).collect()
}

#[tokio::test]
async fn tests_of_a_node_are_counted_per_hour_and_ip_version() {
    let home = Home::new().await;
    home.register("a", &[HOST], START).await;
    let status = |identity: &str, ip_version, up| MixStatus { pub_key: identity.into(), ip_version, up };
    let batch = [
        status("a", IpVersion::V4, true),
        status("a", IpVersion::V6, false),
        status("a", IpVersion::V4, true),
        status("unregistered", IpVersion::V4, true),
    ];
    home.service.add_statuses(&Reporter::Unnamed, &batch, START).await.unwrap();
    home.measure("a", IpVersion::V4, false, START + HOUR - 1).await;
    home.measure("a", IpVersion::V4, true, START + HOUR).await;
    let at = START / SECOND;
    let expected = [
        NodePoint { at, hours: 1, ip_version: 4, passed: 2, total: 3, reputation: 2 },
        NodePoint { at, hours: 1, ip_version: 6, passed: 0, total: 1, reputation: 4 },
        NodePoint { at: at + 3600, hours: 1, ip_version: 4, passed: 1, total: 1, reputation: 5 },
    ];
    assert_eq!(home.service.node_history("a", 24, START + HOUR).await.unwrap(), expected);
    assert_eq!(home.service.node_history("a", 1, START + 2 * HOUR).await.unwrap(), expected[2..]);
    assert_eq!(home.service.node_history("unregistered", 24, START).await.unwrap(), []);
    for hours in [0, -1, 721] {
        let refused = home.service.node_history("a", hours, START).await;
        assert!(matches!(refused, Err(Rejection::OutOfRange(_))), "{hours}");
    }
}

#[tokio::test]
async fn hours_become_days_after_a_week_and_vanish_after_a_month() {
    let home = Home::new().await;
    home.register("a", &[HOST], START).await;
    for (hour, up) in [(0, true), (1, true), (23, false), (24, true)] {
        home.measure("a", IpVersion::V4, up, START + hour * HOUR).await;
    }
    let at = START / SECOND;
    let hours = [(at, 1, 1, 1, 3), (at + 3600, 1, 1, 1, 6), (at + 23 * 3600, 1, 0, 1, 4), (at + 24 * 3600, 1, 1, 1, 7)];
    let now = START + 9 * DAY - 1;
    home.service.purge(now).await.unwrap();
    assert_eq!(tests(&home, 720, now).await, hours);
    for now in [START + 9 * DAY, START + 9 * DAY + HOUR] {
        home.service.purge(now).await.unwrap();
        assert_eq!(tests(&home, 720, now).await, [(at, 24, 2, 3, 6), hours[3]], "once, and without loss");
    }
    let now = START + 30 * DAY;
    home.service.purge(now).await.unwrap();
    let days = [(at, 24, 2, 3, 6), (at + 24 * 3600, 24, 1, 1, 7)];
    assert_eq!(tests(&home, 720, now).await, days);
    home.service.purge(START + 32 * DAY).await.unwrap();
    assert_eq!(home.service.store().rows("uptime").await, 1);
    home.service.purge(START + 33 * DAY).await.unwrap();
    assert_eq!((home.service.store().rows("uptime").await, home.service.store().rows("layer_hour").await), (0, 0));
}

#[tokio::test]
async fn nodes_packets_and_tests_are_counted_per_layer_and_hour() {
    let home = Home::new().await;
    home.register("a", &[HOST], START).await;
    home.register_gateway("g", "192.0.2.2:1789", 3600, START).await;
    home.service.add_metric("a", 123_456, None, START).await.unwrap();
    home.service.add_metric("a", 100_000, None, START + 1).await.unwrap();
    home.measure("g", IpVersion::V4, false, START).await;
    home.service.purge(START + MINUTE).await.unwrap();
    home.service.purge(START + HOUR).await.unwrap();
    let at = START / SECOND;
    let expected = [
        LayerPoint { at, layer: 0, nodes: 1, packets: 0, passed: 0, total: 1 },
        LayerPoint { at, layer: 3, nodes: 1, packets: 220_000, passed: 0, total: 0 },
        LayerPoint { at: at + 3600, layer: 3, nodes: 1, packets: 0, passed: 0, total: 0 },
    ];
    let history = async |now| home.service.network_history(24, now).await.unwrap();
    assert_eq!(history(START + 2 * HOUR).await, expected);
    assert_eq!(
        history(START + 2 * HOUR - 1).await,
        expected[..2],
        "the hour that has not ended would show each report"
    );
    assert_eq!(history(START + HOUR - 1).await, []);
}
