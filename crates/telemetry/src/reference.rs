//! The reference of all metrics and spans, for people (`docs/metrics.md`) and for programs.

use nym_mixnode_mix::DropReason;
use serde_json::{Value, json};

use super::instruments::{Attribute, Kind, METRICS, Metric, SPANS, Span, Values};

/// The reference in Markdown.
#[must_use]
pub fn markdown() -> String {
    let metrics: String = METRICS.iter().copied().map(metric_row).collect();
    let spans: String = SPANS.iter().map(span_row).collect();
    let reasons: Vec<_> = DropReason::ALL.iter().map(|reason| format!("`{reason}`")).collect();
    let reasons = reasons.join(", ");
    format!("{HEAD}{metrics}\nThe reasons: {reasons}.\n{SPANS_HEAD}{spans}")
}

/// The same as JSON.
#[must_use]
pub fn json() -> String {
    let metrics: Vec<_> = METRICS.iter().copied().map(metric_json).collect();
    let spans: Vec<_> = SPANS.iter().map(span_json).collect();
    format!("{:#}", json!({ "metrics": metrics, "spans": spans }))
}

const HEAD: &str = "\
<!-- Made by `nym-mixnode telemetry reference`; `make docs` makes it anew. -->

# Metrics and spans

All that a node tells in numbers. The metrics are at `/metrics` on `http.listen` for Prometheus, and go to a collector
by OTLP once an endpoint is set; the numbers are the same. Counts of packets are of closed windows (`telemetry.window`)
and rounded up, so that they cannot tell which packet that left is which packet that came; a counter is the sum of such
windows. An up-down counter is one in OpenTelemetry only. Nothing else is exported, and nothing by peer.
`nym-mixnode telemetry reference --json` is for programs.

| Prometheus | OpenTelemetry | type | unit | attributes | meaning | why it is safe |
|---|---|---|---|---|---|---|
";

const SPANS_HEAD: &str = "
## Spans

The spans of the mix are made by the clock and not by packets: each window ends at a multiple of its length by the
wall clock and gives one `mix.window` with its four children, all with the same start and end, whatever the traffic. A
span of a stage has the status error when the stage gave up 1 % of its packets or more for certain, without what
rounding may have added (7 for each reason); `error.type` is then the commonest reason. Spans of the directory and of
address detection are real requests; no trace context goes with them.

| span | child of | attributes | meaning |
|---|---|---|---|
";

fn metric_row(metric: &Metric) -> String {
    let Metric { name, prometheus, unit, kind, attributes, help, safe } = metric;
    let attributes: Vec<_> = attributes.iter().map(attribute_words).collect();
    let kind = match kind {
        Kind::Histogram(bounds) => format!("histogram ({})", numbers(bounds)),
        Kind::UpDown => "gauge (up-down counter)".to_owned(),
        kind => kind.word().to_owned(),
    };
    format!("| `{prometheus}` | `{name}` | {kind} | `{unit}` | {} | {help} | {safe} |\n", attributes.join("; "))
}

fn numbers(bounds: &[f64]) -> String {
    bounds.iter().map(f64::to_string).collect::<Vec<_>>().join(", ")
}

fn attribute_words(Attribute { key, values }: &Attribute) -> String {
    match values {
        Values::Words(words) => format!("`{key}`: {}", words.join(", ")),
        Values::DropReasons => format!("`{key}`: see below"),
        Values::Constant => format!("`{key}`"),
    }
}

fn span_row(span: &Span) -> String {
    let attributes: Vec<_> = span.attributes.iter().map(|key| format!("`{key}`")).collect();
    let parent = span.parent.map(|name| format!("`{name}`")).unwrap_or_default();
    format!("| `{}` | {parent} | {} | {} |\n", span.name, attributes.join(", "), span.help)
}

fn metric_json(metric: &Metric) -> Value {
    let attributes: serde_json::Map<_, _> =
        metric.attributes.iter().map(|attribute| (attribute.key.to_owned(), values_json(&attribute.values))).collect();
    let buckets = match metric.kind {
        Kind::Histogram(bounds) => json!(bounds),
        _ => Value::Null,
    };
    json!({
        "name": metric.name, "prometheus": metric.prometheus, "type": metric.kind.word(), "unit": metric.unit,
        "attributes": attributes, "buckets": buckets, "help": metric.help,
    })
}

/// Null where there is no list.
fn values_json(values: &Values) -> Value {
    match values {
        Values::Words(words) => json!(words),
        Values::DropReasons => DropReason::ALL.iter().map(|reason| reason.label()).collect(),
        Values::Constant => Value::Null,
    }
}

fn span_json(span: &Span) -> Value {
    json!({ "name": span.name, "parent": span.parent, "attributes": span.attributes, "help": span.help })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_is_the_one_of_these_tables() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/metrics.md");
        let document = std::fs::read_to_string(path).unwrap_or_default();
        assert!(document == markdown(), "docs/metrics.md is not as the tables are: run `make docs`");
    }
}
