//! Charts as inline SVG. Their sizes are numbers of this program; no text of a stranger occurs in them.

use maud::{Markup, html};

use super::model::{ReputationPoint, Share};
use super::text::percent;

/// Size of a chart in its own units.
const WIDTH: usize = 960;
const HEIGHT: u64 = 48;
const LINE_HEIGHT: u64 = 120;

/// Bars of test results, oldest first: how much of a bar is filled is the share of passed tests.
pub(crate) fn test_bars(shares: &[Share], label: &str) -> Markup {
    let step = WIDTH / shares.len().max(1);
    let width = step.saturating_sub(3).max(1);
    html! {
        svg.chart viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } preserveAspectRatio="none" role="img" aria-label=(label) {
            @for (at, share) in shares.iter().enumerate() {
                (test_bar(*share, at * step, width))
            }
        }
    }
}

fn test_bar(share: Share, x: usize, width: usize) -> Markup {
    if share.total == 0 {
        return html! { rect.missing x=(x) y=(HEIGHT - 4) width=(width) height="4" {} };
    }
    // At least a little of each kind is visible if there is any.
    let least = |part: u64| if part > 0 { 4 } else { 0 };
    let failed = share.total.saturating_sub(share.passed);
    let passed_height =
        (HEIGHT.saturating_mul(share.passed) / share.total).clamp(least(share.passed), HEIGHT - least(failed));
    html! {
        rect.failed x=(x) y="0" width=(width) height=(HEIGHT - passed_height) {}
        rect.passed x=(x) y=(HEIGHT - passed_height) width=(width) height=(passed_height) {}
    }
}

/// Bars of amounts, oldest first; the highest possible bar is `most`.
pub(crate) fn amount_bars(amounts: &[u64], most: u64, label: &str) -> Markup {
    let step = WIDTH / amounts.len().max(1);
    let width = step.saturating_sub(3).max(1);
    html! {
        svg.chart.low viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } preserveAspectRatio="none" role="img" aria-label=(label) {
            @for (at, amount) in amounts.iter().enumerate() {
                @let height = part(*amount, most, HEIGHT).max(if *amount > 0 { 3 } else { 1 });
                rect class=(if *amount > 0 { "amount" } else { "missing" }) x=(at * step) y=(HEIGHT - height) width=(width) height=(height) {}
            }
        }
    }
}

/// Line of a reputation, and the one from which on a node is active.
pub(crate) fn reputation_line(points: &[ReputationPoint], active_at: i64, now: i64, label: &str) -> Markup {
    let from = points.first().map_or(now, |point| point.at);
    let span = positive(now.saturating_sub(from));
    let most = points.iter().map(|point| point.reputation).chain([active_at]).max().unwrap_or(active_at);
    // The highest value is a little below the upper edge.
    let most = positive(most.saturating_add(most / 8));
    let x = |at: i64| part(positive(at.saturating_sub(from)), span, WIDTH as u64);
    let y = |value: i64| LINE_HEIGHT - part(positive(value), most, LINE_HEIGHT);
    let end = points.last().map(|last| ReputationPoint { at: now, ..*last });
    let line: Vec<String> =
        points.iter().chain(end.as_ref()).map(|point| format!("{},{}", x(point.at), y(point.reputation))).collect();
    html! {
        svg.chart.line viewBox={ "0 0 " (WIDTH) " " (LINE_HEIGHT) } preserveAspectRatio="none" role="img" aria-label=(label) {
            line.limit x1="0" x2=(WIDTH) y1=(y(active_at)) y2=(y(active_at)) {}
            polyline.value points=(line.join(" ")) {}
        }
    }
}

/// A part of `size`, in proportion.
fn part(value: u64, most: u64, size: u64) -> u64 {
    let scaled = u128::from(value.min(most)) * u128::from(size) / u128::from(most.max(1));
    u64::try_from(scaled).unwrap_or(size)
}

fn positive(value: i64) -> u64 {
    u64::try_from(value).unwrap_or_default()
}

/// Share of passed tests in words.
pub(crate) fn share(share: Share) -> Markup {
    html! {
        @if share.total == 0 { span.quiet { "no tests" } }
        @else { (percent(share.passed, share.total)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heights(passed: u64, total: u64) -> Vec<u64> {
        let html = test_bar(Share { passed, total }, 0, 10).into_string();
        html.split("height=\"").skip(1).map(|rest| rest.split_once('"').unwrap().0.parse().unwrap()).collect()
    }

    #[test]
    fn bars_show_every_failure_and_every_success() {
        for (passed, total, expected) in [
            (0, 0, vec![4]),
            (10, 10, vec![0, 48]),
            (0, 10, vec![48, 0]),
            (5, 10, vec![24, 24]),
            (9_999, 10_000, vec![4, 44]),
            (1, 10_000, vec![44, 4]),
        ] {
            assert_eq!(heights(passed, total), expected, "{passed} of {total}");
        }
    }

    #[test]
    fn a_chart_without_data_is_empty() {
        assert!(!test_bars(&[], "none").into_string().contains("rect"));
        assert!(!amount_bars(&[], 0, "none").into_string().contains("rect"));
        assert!(reputation_line(&[], 100, 0, "none").into_string().contains("points=\"\""));
    }

    #[test]
    fn a_line_goes_from_its_first_point_to_now() {
        let points = [(1000, 0), (1500, 160)].map(|(at, reputation)| ReputationPoint { at, reputation });
        let html = reputation_line(&points, 100, 2000, "reputation").into_string();
        assert!(html.contains("points=\"0,120 480,14 960,14\""), "{html}");
        assert!(html.contains("y1=\"54\""), "{html}");
        let extreme = [ReputationPoint { at: i64::MIN, reputation: i64::MAX }];
        assert!(reputation_line(&extreme, i64::MAX, i64::MAX, "").into_string().contains("0,0 960,0"));
    }

    #[test]
    fn amounts_are_in_proportion_and_visible() {
        let html = amount_bars(&[0, 1, 500, 1000, u64::MAX], 1000, "packets").into_string();
        let heights: Vec<&str> = html.split("height=\"").skip(1).map(|rest| rest.split_once('"').unwrap().0).collect();
        assert_eq!(heights, ["1", "3", "24", "48", "48"]);
    }
}
