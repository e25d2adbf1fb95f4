//! Normalises exported data: removes values that depend on the machine, the real clock or randomness.

use nym_mixnode_telemetry::instruments as i;
use nym_mixnode_telemetry::otel::Captured;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{HistogramDataPoint, Metric, NumberDataPoint};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;

/// Metrics that are compared without their values.
pub(super) static MACHINE: &[&i::Metric] = &[
    // Measured for the test process, in which other tests run. They depend on packets by the work for these, which is
    // nearly the same in all worlds; the parent module describes the difference.
    &i::UNWRAP_CPU,
    &i::PROCESS_CPU,
    &i::PROCESS_MEMORY,
    &i::PROCESS_VIRTUAL,
    &i::PROCESS_OPEN_FDS,
    &i::PROCESS_THREADS,
    // From the real clock.
    &i::PROCESS_START,
    // Progress of the export thread, which uses the real clock. All data that it has exported at the end is compared.
    &i::EXPORTED,
];

/// The text of `/metrics` without the values of [`MACHINE`].
pub(super) fn without_the_machine(text: &str) -> String {
    let is_machine = |name: &str| MACHINE.iter().any(|metric| metric.prometheus == name);
    let lines = text.lines().map(|line| match line.rsplit_once(' ') {
        Some((name, _)) if is_machine(name.split('{').next().unwrap_or(name)) => name,
        _ => line,
    });
    lines.flat_map(|line| [line, "\n"]).collect()
}

/// Each span and each set of metrics as bytes, sorted within a name: the batches of spans depend on the real clock, and
/// the order of simultaneous requests is random.
pub(super) fn outputs(captured: &[Captured]) -> impl Iterator<Item = (&'static str, String)> {
    let bytes = |message: Vec<u8>| message.escape_ascii().to_string();
    let spans = spans(captured).into_iter().map(move |(resource, span)| {
        let resource = comparable_resource(resource.clone()).encode_to_vec();
        ("traces", bytes([resource, comparable_span(span.clone()).encode_to_vec()].concat()))
    });
    let metrics = metrics(captured).map(move |request| ("metrics", bytes(comparable(request.clone()).encode_to_vec())));
    spans.chain(metrics)
}

/// All spans, each with its resource, by name.
pub(super) fn spans(captured: &[Captured]) -> Vec<(&Resource, &Span)> {
    let requests = captured.iter().filter_map(|request| match request {
        Captured::Traces(request) => Some(request),
        Captured::Metrics(_) => None,
    });
    let spans = requests.flat_map(|request| &request.resource_spans).flat_map(|of_resource| {
        let resource = of_resource.resource.as_ref().unwrap();
        of_resource.scope_spans.iter().flat_map(|scope| &scope.spans).map(move |span| (resource, span))
    });
    let mut spans: Vec<_> = spans.collect();
    spans.sort_by(|(_, one), (_, other)| one.name.cmp(&other.name));
    spans
}

/// All sets of metrics.
pub(super) fn metrics(captured: &[Captured]) -> impl Iterator<Item = &ExportMetricsServiceRequest> {
    captured.iter().filter_map(|request| match request {
        Captured::Metrics(request) => Some(request),
        Captured::Traces(_) => None,
    })
}

/// Removes the random id of the run, and sorts: the library keeps attributes in a hash map.
fn comparable_resource(mut resource: Resource) -> Resource {
    resource.attributes.retain(|attribute| attribute.key != "service.instance.id");
    resource.attributes.sort_by(|one, other| one.key.cmp(&other.key));
    resource
}

fn comparable_span(mut span: Span) -> Span {
    span.trace_id.clear();
    span.span_id.clear();
    // Keep whether it has a parent.
    span.parent_span_id.truncate(1);
    span.parent_span_id.fill(0);
    if !span.name.starts_with("mix.") {
        // Spans of requests have times of the real clock.
        (span.start_time_unix_nano, span.end_time_unix_nano) = (0, 0);
    }
    for attribute in span.attributes.iter_mut().filter(|attribute| attribute.key == i::UNWRAP_CPU.name) {
        attribute.value = None;
    }
    span
}

fn comparable(mut request: ExportMetricsServiceRequest) -> ExportMetricsServiceRequest {
    for of_resource in &mut request.resource_metrics {
        of_resource.resource = of_resource.resource.take().map(comparable_resource);
        let metrics = of_resource.scope_metrics.iter_mut().flat_map(|scope| &mut scope.metrics);
        metrics.for_each(comparable_metric);
    }
    request
}

fn comparable_metric(metric: &mut Metric) {
    let is_machine = MACHINE.iter().any(|machine| machine.name == metric.name);
    match metric.data.as_mut().unwrap() {
        Data::Sum(sum) => comparable_points(&mut sum.data_points, is_machine),
        Data::Gauge(gauge) => comparable_points(&mut gauge.data_points, is_machine),
        Data::Histogram(histogram) => histogram.data_points.iter_mut().for_each(without_times),
        other => panic!("no metric is of this kind: {other:?}"),
    }
}

/// Removes times of the real clock, and sorts: the library keeps points in a hash map.
fn comparable_points(points: &mut [NumberDataPoint], is_machine: bool) {
    for point in points.iter_mut() {
        (point.start_time_unix_nano, point.time_unix_nano) = (0, 0);
        point.attributes.sort_by(|one, other| one.key.cmp(&other.key));
        if is_machine {
            point.value = None;
        }
    }
    points.sort_by_key(|point| point.attributes.iter().map(text).collect::<Vec<_>>());
}

fn without_times(point: &mut HistogramDataPoint) {
    (point.start_time_unix_nano, point.time_unix_nano) = (0, 0);
}

/// A text attribute. All attributes of metrics are texts.
pub(super) fn text(attribute: &KeyValue) -> (String, String) {
    match &attribute.value {
        Some(AnyValue { value: Some(any_value::Value::StringValue(value)) }) => (attribute.key.clone(), value.clone()),
        other => panic!("{} is no text: {other:?}", attribute.key),
    }
}
