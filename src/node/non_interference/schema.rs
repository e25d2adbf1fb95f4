//! Tests that exports match the tables of metrics and spans: names, keys, and the rounding of values.

use std::time::Duration;

use nym_mixnode_mix::DropReason;
use nym_mixnode_telemetry::instruments::{METRICS, SPANS};
use nym_mixnode_telemetry::window::WINDOW;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{Metric, NumberDataPoint, number_data_point};
use opentelemetry_proto::tonic::trace::v1::Span;

use super::SEED;
use super::exported::{metrics, spans, text};
use super::stage::{Leak, Seen, Stage};
use super::world::World;

/// Enough packets for the lag, which is not exported for few packets.
const MANY: usize = 600;

/// Rounding of span attributes that depend on packets. The other attributes belong to directory requests.
const GRIDS: &[(&str, f64)] = &[
    ("messaging.batch.message_count", 64.0),
    ("mix.final", 64.0),
    ("mix.queue.size", 64.0),
    ("mix.pool.size", 64.0),
    ("mix.bad_frames", 8.0),
    ("mix.dropped.", 8.0),
    ("mix.connections", 4.0),
    ("mix.unwrap.cpu", 0.01),
    ("mix.window.seconds", 1.0),
];

fn play(packets: usize) -> Seen {
    Stage::new().play(&World::random(SEED, packets), Leak::None)
}

#[test]
fn exports_match_the_tables_and_their_rounding() {
    let Seen { exported, .. } = play(MANY);
    assert!(spans(&exported).iter().any(|(_, span)| span.name == "mix.forward"));
    for (resource, span) in spans(&exported) {
        check_span(span);
        assert!(resource.attributes.iter().all(|attribute| !attribute.key.starts_with("process.")));
    }
    let all: Vec<_> = metrics(&exported)
        .flat_map(|request| &request.resource_metrics)
        .flat_map(|resource| &resource.scope_metrics)
        .flat_map(|scope| &scope.metrics)
        .collect();
    for metric in &all {
        check_metric(metric);
    }
    // All metrics of the table are exported, including those of the lag and of the topology.
    for known in METRICS {
        assert!(all.iter().any(|metric| metric.name == known.name), "{} was not exported", known.name);
    }
}

#[test]
fn the_number_and_times_of_spans_are_independent_of_the_traffic() {
    let outline = |packets| {
        let Seen { exported, .. } = play(packets);
        let outline = |(_, span): (_, &Span)| {
            let is_mix = span.name.starts_with("mix.");
            (span.name.clone(), is_mix.then_some((span.start_time_unix_nano, span.end_time_unix_nano)))
        };
        spans(&exported).into_iter().map(outline).collect::<Vec<_>>()
    };
    let quiet = outline(0);
    assert!(quiet.iter().filter(|(name, _)| name == "mix.window").count() >= 3, "{quiet:?}");
    assert_eq!(quiet, outline(MANY));
}

fn check_span(span: &Span) {
    let known = SPANS.iter().find(|known| known.name == span.name);
    let known = known.unwrap_or_else(|| panic!("{} is no span of the table", span.name));
    assert_eq!(span.parent_span_id.is_empty(), known.parent.is_none(), "{}", span.name);
    assert!(span.events.is_empty() && span.links.is_empty() && span.trace_state.is_empty(), "{span:?}");
    for attribute in &span.attributes {
        let key = attribute.key.as_str();
        let is_known = |known: &str| match known.strip_suffix('*') {
            Some(prefix) => DropReason::ALL.iter().any(|reason| key == format!("{prefix}{}", reason.label())),
            None => known == key,
        };
        assert!(known.attributes.iter().any(|known| is_known(known)), "{}: {key}", span.name);
    }
    if span.name.starts_with("mix.") {
        check_window_span(span);
    }
}

fn check_window_span(span: &Span) {
    let window_ns = u64::try_from(WINDOW.as_nanos()).unwrap();
    let (start, end) = (span.start_time_unix_nano, span.end_time_unix_nano);
    assert!(start.is_multiple_of(window_ns) && end == start + window_ns, "{}: {start} to {end}", span.name);
    for attribute in &span.attributes {
        let Some(value) = number(attribute) else {
            // A label, one for each drop reason.
            let (key, word) = text(attribute);
            assert!(key == "error.type" && DropReason::ALL.iter().any(|reason| reason.label() == word), "{word}");
            continue;
        };
        let grid = GRIDS.iter().find(|(key, _)| attribute.key.starts_with(key));
        let (_, grid) = grid.unwrap_or_else(|| panic!("{} has no grid", attribute.key));
        assert_on_grid(value, *grid, &attribute.key);
    }
}

fn check_metric(metric: &Metric) {
    let known = METRICS.iter().find(|known| known.name == metric.name);
    let known = known.unwrap_or_else(|| panic!("{} is no metric of the table", metric.name));
    let check_points = |points: &[NumberDataPoint]| {
        for point in points {
            assert!(point.exemplars.is_empty());
            let attributes: Vec<_> = point.attributes.iter().map(text).collect();
            assert_eq!(attributes.len(), known.attributes.len(), "{}: {attributes:?}", known.name);
            for (key, value) in attributes {
                let allowed = known.attributes.iter().find(|allowed| allowed.key == key);
                assert!(allowed.is_some_and(|allowed| allowed.values.allow(&value)), "{}: {key}={value}", known.name);
            }
            if let Some(grid) = promised_grid(known.safe) {
                assert_on_grid(of_point(point), grid, known.name);
            }
        }
    };
    match metric.data.as_ref().unwrap() {
        Data::Sum(sum) => check_points(&sum.data_points),
        Data::Gauge(gauge) => check_points(&gauge.data_points),
        Data::Histogram(histogram) => {
            let grid = promised_grid(known.safe).unwrap();
            for point in &histogram.data_points {
                assert!(point.exemplars.is_empty() && point.attributes.is_empty());
                for count in &point.bucket_counts {
                    assert_on_grid(whole(*count), grid, known.name);
                }
            }
        }
        other => panic!("{} is {other:?}", known.name),
    }
}

/// The rounding documented in the table: "rounded up to 64", "… 10 ms", "… 1 MiB". `None` for values without packets.
fn promised_grid(safe: &str) -> Option<f64> {
    let Some((_, promise)) = safe.split_once("rounded up to ") else {
        assert_eq!(safe, "contains no packet data");
        return None;
    };
    let mut words = promise.split([' ', ';']);
    let count: u32 = words.next().unwrap().parse().unwrap();
    Some(match words.next() {
        Some("ms") => Duration::from_millis(count.into()).as_secs_f64(),
        Some("MiB") => f64::from(count << 20),
        _ => count.into(),
    })
}

fn assert_on_grid(value: f64, grid: f64, name: &str) {
    let steps = value / grid;
    assert!((steps - steps.round()).abs() < 1e-6, "{name}: {value} is no multiple of {grid}");
}

fn number(attribute: &KeyValue) -> Option<f64> {
    match attribute.value {
        Some(AnyValue { value: Some(any_value::Value::IntValue(value)) }) => Some(whole(value.try_into().unwrap())),
        Some(AnyValue { value: Some(any_value::Value::DoubleValue(value)) }) => Some(value),
        _ => None,
    }
}

fn of_point(point: &NumberDataPoint) -> f64 {
    match point.value.unwrap() {
        number_data_point::Value::AsInt(value) => whole(value.try_into().unwrap()),
        number_data_point::Value::AsDouble(value) => value,
    }
}

#[expect(clippy::cast_precision_loss, reason = "no number of the test is near 2^53")]
fn whole(value: u64) -> f64 {
    value as f64
}
