//! Uptime, reputation and traffic over time, from points for hours and days.

use nym_mixnode_explorer::{History, LayerHistory, ReputationPoint, Share, Window};

use crate::service::{LayerPoint, NodePoint};

/// Complete hours of traffic on the page about the network.
pub(super) const LAYER_HOURS: i64 = 24;

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;
const MONTH_DAYS: usize = 30;

/// Lengths of the periods for uptime, in hours.
const WINDOWS: [i64; 3] = [24, 7 * 24, 30 * 24];

/// Uptime of each period that ends now.
pub(super) fn windows(points: &[NodePoint], now: i64) -> Vec<Window> {
    let window = |hours| {
        let from = (now / HOUR - hours) * HOUR;
        let of = |ip_version| sum(points.iter().filter(|point| point.at >= from && point.ip_version == ip_version));
        Window { hours, v4: of(4), v6: of(6) }
    };
    WINDOWS.map(window).to_vec()
}

/// Tests of each of the last 30 days; empty if all of them are in the last day.
pub(super) fn month(points: &[NodePoint], now: i64) -> History {
    if points.iter().all(|point| point.at >= now - DAY) {
        return History::default();
    }
    let first_day = now / DAY - i64::try_from(MONTH_DAYS).unwrap_or_default() + 1;
    let (mut v4, mut v6) = (vec![Share::default(); MONTH_DAYS], vec![Share::default(); MONTH_DAYS]);
    for point in points {
        let days = if point.ip_version == 4 { &mut v4 } else { &mut v6 };
        let day = usize::try_from(point.at / DAY - first_day).ok().and_then(|day| days.get_mut(day));
        if let Some(day) = day {
            *day = day.plus(share(point));
        }
    }
    History { from: first_day * DAY, interval: DAY, v4, v6 }
}

/// Reputation at the end of each hour or day.
pub(super) fn reputation(points: &[NodePoint]) -> Vec<ReputationPoint> {
    let mut reputation: Vec<ReputationPoint> = Vec::new();
    for point in points {
        // Both IP versions have points for the same time.
        match reputation.last_mut() {
            Some(last) if last.at == point.at => last.reputation = last.reputation.max(point.reputation),
            _ => reputation.push(ReputationPoint { at: point.at, reputation: point.reputation }),
        }
    }
    reputation
}

/// Traffic and tests of each layer and of the gateways in the last complete hours.
pub(super) fn layers(points: &[LayerPoint], layers: u64, now: i64) -> Vec<LayerHistory> {
    let last = now / HOUR;
    let of_layer = |layer: Option<u64>| {
        let number = layer.and_then(|layer| i64::try_from(layer).ok()).unwrap_or_default();
        let hours = usize::try_from(LAYER_HOURS).unwrap_or_default();
        let mut history = LayerHistory { layer, packets: vec![0; hours], tests: vec![Share::default(); hours] };
        for point in points.iter().filter(|point| point.layer == number) {
            let hour = usize::try_from(point.at / HOUR - last + LAYER_HOURS).ok();
            let Some(hour) = hour.filter(|hour| *hour < hours) else { continue };
            history.packets[hour] = history.packets[hour].saturating_add(count(point.packets));
            let tests = Share { passed: count(point.passed), total: count(point.total) };
            history.tests[hour] = history.tests[hour].plus(tests);
        }
        history
    };
    (1..=layers).map(Some).chain([None]).map(of_layer).collect()
}

fn sum<'a>(points: impl Iterator<Item = &'a NodePoint>) -> Share {
    points.map(share).fold(Share::default(), Share::plus)
}

fn share(point: &NodePoint) -> Share {
    Share { passed: count(point.passed), total: count(point.total) }
}

fn count(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 100 * DAY + 5 * HOUR + 17;

    fn point(hours_ago: i64, ip_version: i64, passed: i64, total: i64, reputation: i64) -> NodePoint {
        NodePoint { at: (NOW / HOUR - hours_ago) * HOUR, hours: 1, ip_version, passed, total, reputation }
    }

    #[test]
    fn uptime_is_summed_per_period_and_ip_version() {
        let points = [point(700, 4, 1, 8, 0), point(100, 4, 1, 4, 0), point(24, 6, 1, 1, 0), point(0, 4, 2, 2, 0)];
        let shares = windows(&points, NOW)
            .into_iter()
            .map(|window| (window.hours, (window.v4.passed, window.v4.total), (window.v6.passed, window.v6.total)));
        let expected = [(24, (2, 2), (1, 1)), (168, (3, 6), (1, 1)), (720, (4, 14), (1, 1))];
        assert_eq!(shares.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_month_has_a_share_for_each_day() {
        let points = [point(2000, 4, 1, 1, 0), point(30, 4, 1, 2, 0), point(29, 4, 1, 2, 0), point(0, 6, 3, 3, 0)];
        let month = month(&points, NOW);
        assert_eq!((month.from, month.interval, month.v4.len()), (71 * DAY, DAY, 30));
        assert_eq!(month.v4[27..], [Share { passed: 1, total: 2 }, Share { passed: 1, total: 2 }, Share::default()]);
        assert_eq!(month.v6[29], Share { passed: 3, total: 3 });
        assert!(super::month(&points[3..], NOW).v4.is_empty(), "the chart of the day shows it all");
    }

    #[test]
    fn both_ip_versions_make_one_line_of_reputation() {
        let points = [point(2, 4, 1, 1, 3), point(2, 6, 1, 1, 6), point(1, 4, 1, 1, 9)];
        let values = reputation(&points).into_iter().map(|point| point.reputation);
        assert_eq!(values.collect::<Vec<_>>(), [6, 9]);
    }

    #[test]
    fn layers_show_complete_hours_alone() {
        let point = |hours_ago: i64, layer, packets| LayerPoint {
            at: (NOW / HOUR - hours_ago) * HOUR,
            layer,
            nodes: 1,
            packets,
            passed: 1,
            total: 2,
        };
        let points = [point(25, 1, 7), point(24, 1, 100), point(1, 1, 200), point(0, 1, 300), point(1, 0, 50)];
        let layers = layers(&points, 2, NOW);
        let names: Vec<Option<u64>> = layers.iter().map(|layer| layer.layer).collect();
        assert_eq!(names, [Some(1), Some(2), None]);
        assert_eq!((layers[0].packets[0], layers[0].packets[23], layers[0].packets.iter().sum()), (100, 200, 300u64));
        let (once, never) = (Share { passed: 1, total: 2 }, Share::default());
        assert_eq!((layers[0].tests[0], layers[0].tests[22], layers[0].tests[23]), (once, never, once));
        assert!(layers[1].tests.iter().all(|tests| *tests == never));
        assert_eq!(layers[2].packets[23], 50);
    }
}
