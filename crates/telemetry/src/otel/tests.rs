//! Tests of the exported requests of a window.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::common::v1::any_value;
use opentelemetry_proto::tonic::metrics::v1::{metric, number_data_point};
use opentelemetry_proto::tonic::trace::v1::Span;

use super::*;
use crate::instruments::{METRICS, SPANS};
use crate::readings::{Value, of_losses, of_windows};
use crate::window::{Counts, Levels, Published};

fn window_and_published() -> (Window, Published) {
    let dropped = BTreeMap::from([("replay".to_owned(), 8), ("bad_mac".to_owned(), 16)]);
    let counts = Counts { received: 640, unwrapped: 640, delayed: 576, forwarded: 576, dropped, ..Counts::default() };
    let window = Window {
        started_at: 600,
        ended_at: 660,
        seconds: 60,
        unwrap_cpu_ms: 10,
        counts: counts.clone(),
        levels: Levels::default(),
    };
    let mut published = Published { lag: [256, 8, 0, 0, 0, 0, 8], ..Published::default() };
    published.packets.total = counts;
    published.packets.window = Some(window.clone());
    (window, published)
}

/// Exports one window and returns the captured requests.
async fn captured() -> Vec<Captured> {
    let capture = Capture::default();
    let telemetry = capture.telemetry().unwrap();
    let (window, published) = window_and_published();
    telemetry.window_ended(&window, of_windows(&published));
    telemetry.stop([of_windows(&published), of_losses(&telemetry.losses())].concat()).await;
    capture.take()
}

fn spans(captured: &[Captured]) -> Vec<&Span> {
    let requests = captured.iter().filter_map(|request| match request {
        Captured::Traces(request) => Some(request),
        Captured::Metrics(_) => None,
    });
    let resources = requests.flat_map(|request| &request.resource_spans);
    resources.flat_map(|resource| &resource.scope_spans).flat_map(|scope| &scope.spans).collect()
}

fn number(span: &Span, key: &str) -> Option<i64> {
    let value = span.attributes.iter().find(|attribute| attribute.key == key)?.value.as_ref()?;
    match value.value {
        Some(any_value::Value::IntValue(value)) => Some(value),
        _ => None,
    }
}

#[tokio::test]
async fn a_window_is_a_root_and_four_stages_with_its_own_start_and_end() {
    let captured = captured().await;
    let spans = spans(&captured);
    assert_eq!(spans.len(), 5, "{spans:#?}");
    let root = spans.iter().find(|span| span.name == "mix.window").unwrap();
    for span in &spans {
        assert_eq!((span.start_time_unix_nano, span.end_time_unix_nano), (600_000_000_000, 660_000_000_000));
        assert_eq!(span.trace_id, root.trace_id);
        let parent = if span.name == root.name { &[][..] } else { &root.span_id };
        assert_eq!(span.parent_span_id, parent);
        assert!(span.events.is_empty() && span.links.is_empty());
        let known = SPANS.iter().find(|known| known.name == span.name).unwrap();
        for attribute in &span.attributes {
            let is_known = |key: &&str| {
                key.strip_suffix('*').map_or(**key == attribute.key, |prefix| attribute.key.starts_with(prefix))
            };
            assert!(known.attributes.iter().any(is_known), "{}: {}", span.name, attribute.key);
        }
    }
    let unwrap = spans.iter().find(|span| span.name == "mix.unwrap").unwrap();
    assert_eq!(number(unwrap, "messaging.batch.message_count"), Some(640));
    assert_eq!(number(unwrap, "mix.dropped.bad_mac"), Some(16));
    let status = unwrap.status.as_ref().unwrap();
    assert_eq!((status.code, status.message.as_str()), (2, "bad_mac"), "the commonest reason");
    let forward = spans.iter().find(|span| span.name == "mix.forward").unwrap();
    assert!(forward.status.as_ref().is_none_or(|status| status.code != 2));
}

#[tokio::test]
async fn a_stage_has_an_error_only_for_certain_drops() {
    let status = async |received, dropped: &[(&str, u64)]| {
        let capture = Capture::default();
        let telemetry = capture.telemetry().unwrap();
        let (mut window, published) = window_and_published();
        window.counts = Counts { received, unwrapped: received, ..Counts::default() };
        window.counts.dropped = dropped.iter().map(|(reason, count)| ((*reason).to_owned(), *count)).collect();
        telemetry.window_ended(&window, of_windows(&published));
        telemetry.stop(Vec::new()).await;
        let captured = capture.take();
        let unwrap = spans(&captured).into_iter().find(|span| span.name == "mix.unwrap").unwrap();
        unwrap.status.as_ref().map(|status| status.message.clone()).filter(|message| !message.is_empty())
    };
    // One of more than a hundred, rounded up to 8; two of two hundred, by two reasons.
    assert_eq!(status(128, &[("replay", 8)]).await, None);
    assert_eq!(status(256, &[("replay", 8), ("bad_mac", 8)]).await, None);
    assert_eq!(status(64, &[("replay", 8)]).await.as_deref(), Some("replay"));
    assert_eq!(status(832, &[("replay", 16)]).await.as_deref(), Some("replay"));
    assert_eq!(status(64_000, &[("replay", 640), ("bad_mac", 8)]).await, None);
}

#[tokio::test]
async fn metrics_are_those_of_the_table_with_the_numbers_of_the_readings() {
    let captured = captured().await;
    let request = captured.iter().rev().find_map(|request| match request {
        Captured::Metrics(request) => Some(request),
        Captured::Traces(_) => None,
    });
    let metrics: Vec<_> = request.unwrap().resource_metrics[0].scope_metrics[0].metrics.iter().collect();
    for metric in &metrics {
        let known = METRICS.iter().find(|known| known.name == metric.name).unwrap();
        assert_eq!((metric.unit.as_str(), metric.description.as_str()), (known.unit, known.help));
    }
    let data = |name: &str| metrics.iter().find(|metric| metric.name == name).unwrap().data.as_ref().unwrap();
    let metric::Data::Sum(packets) = data("mix.packets") else { panic!("a sum") };
    assert!(packets.is_monotonic);
    let forwarded = packets.data_points.iter().find(|point| {
        point.attributes[0].value.as_ref().unwrap().value == Some(any_value::Value::StringValue("forwarded".to_owned()))
    });
    assert_eq!(forwarded.unwrap().value, Some(number_data_point::Value::AsInt(576)));
    let metric::Data::Histogram(lag) = data("mix.forward.lag") else { panic!("a histogram") };
    assert_eq!(lag.data_points[0].bucket_counts, [256, 8, 0, 0, 0, 0, 8]);
    assert!(lag.data_points[0].exemplars.is_empty());
    for name in
        ["process.memory.usage", "process.thread.count", "process.unix.file_descriptor.count", "mix.connections"]
    {
        let metric::Data::Sum(sum) = data(name) else { panic!("{name} is no sum") };
        // Cumulative: it is the level itself.
        assert!(!sum.is_monotonic && sum.aggregation_temporality == 2, "{name}");
    }
}

#[tokio::test]
async fn requests_are_spans_and_a_dropped_request_is_cancelled() {
    let capture = Capture::default();
    let telemetry = capture.telemetry().unwrap();
    telemetry.call("directory.topology", "GET", "/api/mixmining/topology", 2).end(Some(503), Some("server_failed"));
    drop(telemetry.call("directory.unregister", "DELETE", "/api/mixmining/register/{id}", 0));
    telemetry.stop(Vec::new()).await;
    let captured = capture.take();
    let spans = spans(&captured);
    assert_eq!(
        spans.iter().map(|span| span.name.as_str()).collect::<Vec<_>>(),
        ["directory.topology", "directory.unregister"]
    );
    assert_eq!(number(spans[0], "http.response.status_code"), Some(503));
    assert_eq!(number(spans[0], "directory.failures_before"), Some(2));
    assert_eq!(spans[1].status.as_ref().unwrap().message, "cancelled");
}

#[tokio::test]
async fn without_exporters_everything_is_a_no_op() {
    let telemetry = Telemetry::default();
    let (window, published) = window_and_published();
    telemetry.window_ended(&window, of_windows(&published));
    telemetry.call("directory.topology", "GET", "/", 0).end(Some(200), None);
    telemetry.stop(Vec::new()).await;
    assert!(of_losses(&telemetry.losses()).iter().all(|reading| reading.value == Value::Whole(0)));
}
