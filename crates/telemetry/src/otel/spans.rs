//! The spans: aligned windows of the mix, and requests to the directory.

use std::time::{Duration, UNIX_EPOCH};

use nym_mixnode_address::Detection;
use nym_mixnode_mix::DropReason;
use opentelemetry::trace::{Span, SpanKind, Status, TraceContextExt, Tracer};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::SdkTracer;

use crate::instruments::{FAILURES_BEFORE, MESSAGE_COUNT, MIX_WINDOW};
use crate::window::{ROUNDED_UP_MAX, Window};

/// A stage has an error if it drops at least one packet in this many, not counting what rounding may have added.
const ERROR_SHARE: u64 = 100;

/// Drop reasons on the way to the next hop; all others belong to unwrapping.
const ON_THE_WAY: [DropReason; 4] =
    [DropReason::NextHopQueueFull, DropReason::NextHopUnreachable, DropReason::TooManyNextHops, DropReason::Shutdown];

/// One stage of a window.
struct Stage {
    name: &'static str,
    messages: u64,
    attributes: Vec<KeyValue>,
    /// Dropped packets, by reason.
    dropped: Vec<(DropReason, u64)>,
}

/// Emits a window and its four stages, all with the same start and end.
pub(super) fn window(tracer: &SdkTracer, window: &Window) {
    let (start, end) = (at(window.started_at), at(window.ended_at));
    let root = tracer
        .span_builder(MIX_WINDOW)
        .with_kind(SpanKind::Internal)
        .with_start_time(start)
        .with_attributes([KeyValue::new("mix.window.seconds", signed(window.seconds))])
        .start_with_context(tracer, &Context::new());
    let context = Context::new().with_span(root);
    for stage in stages(window) {
        let mut span = tracer
            .span_builder(stage.name)
            .with_kind(SpanKind::Internal)
            .with_start_time(start)
            .with_attributes(stage.attributes())
            .start_with_context(tracer, &context);
        if let Some(reason) = stage.error() {
            span.set_attribute(KeyValue::new("error.type", reason.label()));
            span.set_status(Status::error(reason.label()));
        }
        span.end_with_timestamp(end);
    }
    context.span().end_with_timestamp(end);
}

fn stages(window: &Window) -> [Stage; 4] {
    let Window { counts, levels, .. } = window;
    let dropped = |on_the_way: bool| {
        let of_stage = DropReason::ALL.iter().filter(|reason| ON_THE_WAY.contains(reason) == on_the_way);
        of_stage.filter_map(|reason| Some((*reason, *counts.dropped.get(reason.label())?))).collect()
    };
    let number = |key: &'static str, value: u64| KeyValue::new(key, signed(value));
    let cpu = Duration::from_millis(window.unwrap_cpu_ms).as_secs_f64();
    [
        Stage {
            name: "mix.receive",
            messages: counts.received,
            attributes: vec![
                number("mix.bad_frames", counts.bad_frames),
                number("mix.connections", levels.connections_in),
            ],
            dropped: Vec::new(),
        },
        Stage {
            name: "mix.unwrap",
            messages: counts.unwrapped,
            attributes: vec![
                number("mix.final", counts.final_hop),
                number("mix.queue.size", levels.queue_unwrap),
                KeyValue::new("mix.unwrap.cpu", cpu),
            ],
            dropped: dropped(false),
        },
        Stage {
            name: "mix.delay",
            messages: counts.delayed,
            attributes: vec![number("mix.pool.size", levels.pool)],
            dropped: Vec::new(),
        },
        Stage {
            name: "mix.forward",
            messages: counts.forwarded,
            attributes: vec![
                number("mix.connections", levels.connections_out),
                number("mix.queue.size", levels.queue_forward),
            ],
            dropped: dropped(true),
        },
    ]
}

impl Stage {
    fn attributes(&self) -> Vec<KeyValue> {
        let mut all = vec![KeyValue::new(MESSAGE_COUNT, signed(self.messages))];
        all.extend(self.attributes.iter().cloned());
        let by_reason = |(reason, count): &(DropReason, u64)| {
            KeyValue::new(format!("mix.dropped.{}", reason.label()), signed(*count))
        };
        all.extend(self.dropped.iter().map(by_reason));
        all
    }

    /// The most frequent reason, if more packets than the limit were certainly dropped.
    fn error(&self) -> Option<DropReason> {
        let sum: u64 = self.dropped.iter().map(|(_, count)| count.saturating_sub(ROUNDED_UP_MAX)).sum();
        let is_error = sum > 0 && sum * ERROR_SHARE >= self.messages;
        self.dropped.iter().max_by_key(|(_, count)| *count).filter(|_| is_error).map(|(reason, _)| *reason)
    }
}

fn at(seconds: u64) -> std::time::SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// A request in progress, and its span. Dropping it before its end marks the span as cancelled.
#[derive(Debug)]
pub struct Call(Option<opentelemetry_sdk::trace::Span>);

impl Call {
    pub(super) fn begin(
        tracer: Option<&SdkTracer>,
        name: &'static str,
        method: &'static str,
        route: &'static str,
        failures_before: u32,
    ) -> Self {
        let mut attributes = vec![KeyValue::new("http.request.method", method), KeyValue::new("url.template", route)];
        if failures_before > 0 {
            attributes.push(KeyValue::new(FAILURES_BEFORE, i64::from(failures_before)));
        }
        Self::start(tracer, name, attributes)
    }

    pub(super) fn detection(tracer: Option<&SdkTracer>) -> Self {
        Self::start(tracer, "address.detect", Vec::new())
    }

    fn start(tracer: Option<&SdkTracer>, name: &'static str, attributes: Vec<KeyValue>) -> Self {
        Self(tracer.map(|tracer| {
            let builder = tracer.span_builder(name).with_kind(SpanKind::Client).with_attributes(attributes);
            builder.start_with_context(tracer, &Context::new())
        }))
    }

    /// Ends the request with its status and, if it failed, the type of the error.
    pub fn end(mut self, status: Option<u16>, error: Option<&'static str>) {
        let status = status.map(|status| KeyValue::new("http.response.status_code", i64::from(status)));
        self.finish(status, error);
    }

    pub(super) fn detected(&mut self, detection: &Detection) {
        let count = |key, count: usize| KeyValue::new(key, i64::try_from(count).unwrap_or(i64::MAX));
        let counts = [count("address.count", detection.announce.len()), count("address.steps", detection.steps.len())];
        let nothing = detection.announce.is_empty().then_some("nothing_found");
        self.finish(counts, nothing.or(detection.has_failures().then_some("no_answer")));
    }

    fn finish(&mut self, attributes: impl IntoIterator<Item = KeyValue>, error: Option<&'static str>) {
        let Some(mut span) = self.0.take() else { return };
        span.set_attributes(attributes);
        if let Some(error) = error {
            span.set_attribute(KeyValue::new("error.type", error));
            span.set_status(Status::error(error));
        }
        span.end();
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.finish([], Some("cancelled"));
    }
}
