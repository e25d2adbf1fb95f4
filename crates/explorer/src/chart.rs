//! Charts as inline SVG. Their sizes are numbers of this program; no text of a stranger occurs in them.

use maud::{Markup, html};

use super::model::Share;
use super::text::percent;

/// Size of a chart in its own units.
const WIDTH: usize = 960;
const HEIGHT: u64 = 48;

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
    }
}
