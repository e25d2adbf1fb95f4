//! Captures exports for tests.
#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "for tests alone")]

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::metrics::Temporality;
use opentelemetry_sdk::metrics::data::ResourceMetrics;
use opentelemetry_sdk::metrics::exporter::PushMetricExporter;
use opentelemetry_sdk::trace::{Sampler, SpanData, SpanExporter};

use super::outbox::Route;
use super::settings::Batches;
use super::{Background, Settings, Telemetry};

const TIMEOUT: Duration = Duration::from_secs(30);

/// An exporter that keeps every request, in order; clones share the requests.
#[derive(Debug, Clone, Default)]
pub struct Capture {
    requests: Arc<Mutex<Vec<Captured>>>,
    resource: Arc<ResourceAttributesWithSchema>,
}

/// A request as received by a collector.
#[derive(Debug, Clone, PartialEq)]
pub enum Captured {
    Traces(ExportTraceServiceRequest),
    Metrics(ExportMetricsServiceRequest),
}

impl Capture {
    /// Starts telemetry that exports every window to this capture.
    pub fn telemetry(&self) -> io::Result<Telemetry> {
        let batches = Batches { delay: Duration::from_millis(1), queue_max: 2048, batch_max: 512, timeout: TIMEOUT };
        let settings = Settings {
            traces: None,
            metrics: None,
            sampler: Sampler::AlwaysOn,
            batches,
            metric_interval: Duration::ZERO,
            metric_timeout: TIMEOUT,
            temporality: Temporality::Cumulative,
            resource: Vec::new(),
        };
        let runtime = Background::new()?;
        Telemetry::with_routes(&settings, None, runtime, Some(self.route()), Some(self.route()))
    }

    fn route(&self) -> Route<Self> {
        Route { exporter: self.clone(), timeout: TIMEOUT, endpoint: String::new(), last_error: Arc::default() }
    }

    /// The requests since the last call.
    pub fn take(&self) -> Vec<Captured> {
        std::mem::take(&mut *self.requests.lock().unwrap())
    }
}

impl SpanExporter for Capture {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let resource_spans = group_spans_by_resource_and_scope(batch, &self.resource);
        self.requests.lock().unwrap().push(Captured::Traces(ExportTraceServiceRequest { resource_spans }));
        Ok(())
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.resource = Arc::new(resource.into());
    }
}

impl PushMetricExporter for Capture {
    async fn export(&self, metrics: &ResourceMetrics) -> OTelSdkResult {
        self.requests.lock().unwrap().push(Captured::Metrics(metrics.into()));
        Ok(())
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }

    fn temporality(&self) -> Temporality {
        Temporality::Cumulative
    }
}
