//! OpenTelemetry instruments, created from the table and fed with readings.

use std::sync::Arc;

use arc_swap::ArcSwap;
use opentelemetry::metrics::{AsyncInstrumentBuilder, Histogram, Meter, MeterProvider};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkError;
use opentelemetry_sdk::metrics::data::ResourceMetrics;
use opentelemetry_sdk::metrics::reader::MetricReader;
use opentelemetry_sdk::metrics::{InstrumentKind, ManualReader, Pipeline, SdkMeterProvider, Temporality};
use std::sync::Weak;
use std::time::Duration;

use super::SCOPE;
use crate::exposition::bucket_lag;
use crate::instruments::{FORWARD_LAG, Kind, METRICS, Metric};
use crate::readings::{Reading, Value};
use crate::window::Lag;

type Current = Arc<ArcSwap<Vec<Reading>>>;

/// All instruments, and the reader that collects them.
pub(super) struct Meters {
    current: Current,
    reader: Shared,
    lag: Histogram<f64>,
    /// The lag already recorded in the histogram.
    recorded: Lag,
    _provider: SdkMeterProvider,
}

/// A reader shared with the meter provider.
#[derive(Debug, Clone)]
struct Shared(Arc<ManualReader>);

impl Meters {
    pub(super) fn new(resource: Resource, temporality: Temporality) -> Self {
        let reader = Shared(Arc::new(ManualReader::builder().with_temporality(temporality).build()));
        let provider = SdkMeterProvider::builder().with_resource(resource).with_reader(reader.clone()).build();
        let scope = InstrumentationScope::builder(SCOPE).with_version(env!("CARGO_PKG_VERSION")).build();
        let meter = provider.meter_with_scope(scope);
        let current = Current::default();
        for &metric in METRICS {
            observe(&meter, metric, &current);
        }
        let bounds = match FORWARD_LAG.kind {
            Kind::Histogram(bounds) => bounds.to_vec(),
            _ => Vec::new(),
        };
        let lag = meter.f64_histogram(FORWARD_LAG.name).with_unit(FORWARD_LAG.unit).with_description(FORWARD_LAG.help);
        let lag = lag.with_boundaries(bounds).build();
        Self { current, reader, lag, recorded: Lag::default(), _provider: provider }
    }

    /// Collects the metrics of these readings.
    pub(super) fn collect(&mut self, readings: Vec<Reading>) -> Result<ResourceMetrics, OTelSdkError> {
        for reading in &readings {
            if let Value::Buckets(lag) = reading.value {
                self.record(lag);
            }
        }
        self.current.store(Arc::new(readings));
        let mut metrics = ResourceMetrics::default();
        self.reader.0.collect(&mut metrics)?;
        Ok(metrics)
    }

    /// The SDK's histogram takes single values only: record one for each exported packet, at its bucket's bound.
    fn record(&mut self, lag: Lag) {
        for (bucket, count) in lag.iter().enumerate() {
            for _ in self.recorded[bucket]..*count {
                self.lag.record(bucket_lag(bucket), &[]);
            }
        }
        self.recorded = lag;
    }
}

/// Creates the instrument of a metric; histograms are recorded instead of observed.
fn observe(meter: &Meter, metric: &'static Metric, current: &Current) {
    match (metric.kind, metric.unit) {
        (Kind::Histogram(_), _) => {}
        (Kind::Counter, _) => {
            observed(meter.u64_observable_counter(metric.name), metric, current, whole).build();
        }
        (Kind::Seconds, _) => {
            observed(meter.f64_observable_counter(metric.name), metric, current, seconds).build();
        }
        (Kind::UpDown, _) => {
            let signed = |value: &Value| i64::try_from(whole(value)).unwrap_or(i64::MAX);
            observed(meter.i64_observable_up_down_counter(metric.name), metric, current, signed).build();
        }
        (Kind::Gauge, "s") => {
            observed(meter.f64_observable_gauge(metric.name), metric, current, seconds).build();
        }
        (Kind::Gauge, _) => {
            observed(meter.u64_observable_gauge(metric.name), metric, current, whole).build();
        }
    }
}

/// Creates an instrument that observes the current readings of its metric.
fn observed<'meter, I, N: 'static>(
    builder: AsyncInstrumentBuilder<'meter, I, N>,
    metric: &'static Metric,
    current: &Current,
    number: fn(&Value) -> N,
) -> AsyncInstrumentBuilder<'meter, I, N> {
    let current = Arc::clone(current);
    builder.with_unit(metric.unit).with_description(metric.help).with_callback(move |observer| {
        for Reading { attributes, value, .. } in
            current.load().iter().filter(|reading| reading.metric.name == metric.name)
        {
            let attributes: Vec<_> = attributes.iter().map(|(key, value)| KeyValue::new(*key, value.clone())).collect();
            observer.observe(number(value), &attributes);
        }
    })
}

fn whole(value: &Value) -> u64 {
    match value {
        Value::Whole(value) => *value,
        Value::Seconds(_) | Value::Buckets(_) => 0,
    }
}

fn seconds(value: &Value) -> f64 {
    match value {
        Value::Seconds(value) => *value,
        Value::Whole(_) | Value::Buckets(_) => 0.0,
    }
}

impl MetricReader for Shared {
    fn register_pipeline(&self, pipeline: Weak<Pipeline>) {
        self.0.register_pipeline(pipeline);
    }

    fn collect(&self, metrics: &mut ResourceMetrics) -> Result<(), OTelSdkError> {
        self.0.collect(metrics)
    }

    fn force_flush(&self) -> Result<(), OTelSdkError> {
        self.0.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> Result<(), OTelSdkError> {
        self.0.shutdown_with_timeout(timeout)
    }

    fn temporality(&self, kind: InstrumentKind) -> Temporality {
        self.0.temporality(kind)
    }
}
