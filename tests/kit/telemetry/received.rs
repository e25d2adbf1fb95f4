//! The data that a collector received, from its output file, and checks that all of it may be exported.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use nym_mixnode_mix::DropReason;
use nym_mixnode_telemetry::instruments::{Kind, METRICS, Metric, SPANS};
use serde_json::Value;

/// The windows of the nodes.
pub(super) const WINDOW_NS: u64 = 10 * 1_000_000_000;

/// Spans and metrics with the attributes of their resource.
#[derive(Debug, Default)]
pub(super) struct Received {
    pub(super) spans: Vec<Item>,
    pub(super) metrics: Vec<Item>,
    pub(super) text: String,
}

/// A span or a metric.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) resource: BTreeMap<String, Value>,
    pub(super) value: Value,
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().map_or(&[], Vec::as_slice)
}

/// OTLP encodes the value of an attribute in an object that names its type.
fn attributes(of: &Value) -> BTreeMap<String, Value> {
    let pair = |pair: &Value| {
        let value = pair["value"].as_object().and_then(|value| value.values().next()).cloned().unwrap_or_default();
        (pair["key"].as_str().unwrap_or_default().to_owned(), value)
    };
    list(of, "attributes").iter().map(pair).collect()
}

/// OTLP encodes 64-bit integers as text.
fn number(value: &Value) -> u64 {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    text.parse().unwrap_or_else(|_| panic!("not a whole number: {value}"))
}

impl Received {
    /// Reads all complete lines.
    pub(super) fn read(file: &Path) -> Self {
        let mut received = Self { text: fs::read_to_string(file).unwrap_or_default(), ..Self::default() };
        let batches: Vec<Value> = received.text.lines().map_while(|line| serde_json::from_str(line).ok()).collect();
        for batch in &batches {
            received.spans.extend(items(batch, "resourceSpans", "scopeSpans", "spans"));
            received.metrics.extend(items(batch, "resourceMetrics", "scopeMetrics", "metrics"));
        }
        received
    }

    /// The data of the node with this name.
    pub(super) fn of(self, node: &str) -> Self {
        let own = |item: &Item| item.resource.get("test.node").is_some_and(|name| name == node);
        let spans = self.spans.into_iter().filter(own).collect();
        let metrics = self.metrics.into_iter().filter(own).collect();
        Self { spans, metrics, text: self.text }
    }

    pub(super) fn spans_named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Value> {
        self.spans.iter().map(|item| &item.value).filter(move |span| span["name"] == name)
    }

    pub(super) fn metric_names(&self) -> BTreeSet<String> {
        self.metrics.iter().map(|item| item.value["name"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// The number of windows with packets.
    pub(super) fn busy_windows(&self) -> usize {
        let count = |span: &Value| attributes(span).get("messaging.batch.message_count").map_or(0, number);
        self.spans_named("mix.receive").filter(|span| count(span) > 0).count()
    }

    /// Checks that every name, key, value and time may be exported.
    pub(super) fn assert_allowed(&self) {
        for Item { resource, value } in &self.spans {
            assert_resource(resource);
            assert_span(value);
        }
        for Item { resource, value } in &self.metrics {
            assert_resource(resource);
            assert_metric(value);
        }
        self.assert_windows();
    }

    /// Checks that each window is one trace of five spans with the same start and end on the grid.
    fn assert_windows(&self) {
        let children: BTreeSet<&str> =
            SPANS.iter().filter(|span| span.parent == Some("mix.window")).map(|span| span.name).collect();
        let mut starts = BTreeMap::new();
        for root in self.spans_named("mix.window") {
            let (start, end) = (number(&root["startTimeUnixNano"]), number(&root["endTimeUnixNano"]));
            assert!(start % WINDOW_NS == 0 && end % WINDOW_NS == 0 && start < end, "off the grid: {root:#}");
            assert!(starts.insert(start, end).is_none(), "a window that was told twice: {root:#}");
            let of_trace = self.spans.iter().map(|item| &item.value).filter(|span| span["traceId"] == root["traceId"]);
            let others: Vec<&Value> = of_trace.filter(|span| span["spanId"] != root["spanId"]).collect();
            let names: BTreeSet<&str> = others.iter().filter_map(|span| span["name"].as_str()).collect();
            assert_eq!((names, others.len()), (children.clone(), children.len()), "{root:#}");
            for span in others {
                assert_eq!(span["parentSpanId"], root["spanId"], "{span:#}");
                assert_eq!(span["startTimeUnixNano"], root["startTimeUnixNano"], "{span:#}");
                assert_eq!(span["endTimeUnixNano"], root["endTimeUnixNano"], "{span:#}");
            }
        }
        let ends: Vec<u64> = starts.values().copied().collect();
        assert!(starts.keys().skip(1).zip(&ends).all(|(start, end)| start >= end), "windows overlap: {starts:?}");
    }
}

fn items(batch: &Value, resources: &str, scopes: &str, name: &str) -> Vec<Item> {
    let mut items = Vec::new();
    for of_resource in list(batch, resources) {
        let resource = attributes(&of_resource["resource"]);
        for scope in list(of_resource, scopes) {
            let own = list(scope, name).iter();
            items.extend(own.map(|value| Item { resource: resource.clone(), value: value.clone() }));
        }
    }
    items
}

/// Checks the attributes of the resource: no key of the node, no process arguments.
fn assert_resource(resource: &BTreeMap<String, Value>) {
    const KEYS: [&str; 4] = ["service.name", "service.version", "service.instance.id", "test.node"];
    const FAMILIES: [&str; 5] = ["telemetry.sdk.", "cloud.", "host.", "os.", "k8s."];
    for key in resource.keys() {
        let allowed = KEYS.contains(&key.as_str()) || FAMILIES.iter().any(|family| key.starts_with(family));
        assert!(allowed, "{key} in the resource {resource:?}");
    }
    assert_eq!(resource.get("service.name").and_then(Value::as_str), Some("mixnode-of-the-test"));
    for key in ["service.version", "service.instance.id"] {
        assert!(resource.get(key).is_some_and(Value::is_string), "no {key} in {resource:?}");
    }
}

fn assert_span(span: &Value) {
    let name = span["name"].as_str().unwrap_or_default();
    let allowed = SPANS.iter().find(|allowed| allowed.name == name);
    let allowed = allowed.unwrap_or_else(|| panic!("a span that there should not be: {span:#}"));
    assert!(list(span, "events").is_empty() && list(span, "links").is_empty(), "{span:#}");
    assert_eq!(allowed.parent.is_none(), span["parentSpanId"].as_str().is_none_or(str::is_empty), "{span:#}");
    for (key, value) in attributes(span) {
        let of_reason =
            key.strip_prefix("mix.dropped.").map(|label| DropReason::ALL.iter().any(|r| r.label() == label));
        let listed = match of_reason {
            Some(is_reason) => is_reason && allowed.attributes.contains(&"mix.dropped.*"),
            None => allowed.attributes.contains(&key.as_str()),
        };
        assert!(listed, "{key} in {span:#}");
        let grid = match key.as_str() {
            "messaging.batch.message_count" | "mix.final" | "mix.pool.size" | "mix.queue.size" => 64,
            "mix.connections" => 4,
            "mix.bad_frames" => 8,
            _ if of_reason.is_some() => 8,
            _ => continue,
        };
        assert_eq!(number(&value) % grid, 0, "{key} of {span:#}");
    }
}

fn assert_metric(metric: &Value) {
    let name = metric["name"].as_str().unwrap_or_default();
    let allowed = METRICS.iter().find(|allowed| allowed.name == name);
    let allowed = allowed.unwrap_or_else(|| panic!("a metric that there should not be: {metric:#}"));
    assert_eq!(metric["unit"].as_str().unwrap_or_default(), allowed.unit, "{metric:#}");
    let kind = match allowed.kind {
        Kind::Counter | Kind::Seconds | Kind::UpDown => "sum",
        Kind::Gauge => "gauge",
        Kind::Histogram(_) => "histogram",
    };
    let points = list(&metric[kind], "dataPoints");
    assert!(!points.is_empty(), "no {kind} in {metric:#}");
    for point in points {
        assert!(list(point, "exemplars").is_empty(), "{metric:#}");
        assert_point(allowed, point);
    }
}

fn assert_point(metric: &Metric, point: &Value) {
    for (key, value) in attributes(point) {
        let attribute = metric.attributes.iter().find(|attribute| attribute.key == key);
        let attribute = attribute.unwrap_or_else(|| panic!("{key} in {}: {point:#}", metric.name));
        let words = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        assert!(attribute.values.allow(&words), "{key}={words} in {}", metric.name);
    }
    let grid = match metric.name {
        "mix.packets" | "mix.pool.size" | "mix.queue.size" => 64,
        "mix.dropped" | "mix.bad_frames" => 8,
        "mix.connections" => 4,
        _ => 1,
    };
    if let Some(value) = point["asInt"].as_str() {
        assert_eq!(number(&Value::from(value)) % grid, 0, "{}: {point:#}", metric.name);
    }
    for count in list(point, "bucketCounts") {
        assert_eq!(number(count) % 8, 0, "{}: {point:#}", metric.name);
    }
}
