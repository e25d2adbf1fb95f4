//! What would have been exported, kept for those who look at it: tests, above all those of the rule.

use std::sync::{Arc, Mutex, PoisonError};

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::data::ResourceMetrics;
use opentelemetry_sdk::trace::SpanData;
use prost::Message;

/// Keeps every request, in order; clones share them.
#[derive(Debug, Clone, Default)]
pub struct Capture {
    requests: Arc<Mutex<Vec<Captured>>>,
    resource: Arc<ResourceAttributesWithSchema>,
}

/// A request as a collector would get it.
#[derive(Debug, Clone, PartialEq)]
pub enum Captured {
    Traces(ExportTraceServiceRequest),
    Metrics(ExportMetricsServiceRequest),
}

impl Captured {
    /// Its bytes on the wire.
    #[must_use]
    pub fn encoded(&self) -> Vec<u8> {
        match self {
            Self::Traces(request) => request.encode_to_vec(),
            Self::Metrics(request) => request.encode_to_vec(),
        }
    }
}

impl Capture {
    /// What was captured since the last call.
    #[must_use]
    pub fn take(&self) -> Vec<Captured> {
        std::mem::take(&mut *self.requests.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn set_resource(&mut self, resource: &Resource) {
        self.resource = Arc::new(resource.into());
    }

    pub(super) fn spans(&self, batch: Vec<SpanData>) {
        let resource_spans = group_spans_by_resource_and_scope(batch, &self.resource);
        self.push(Captured::Traces(ExportTraceServiceRequest { resource_spans }));
    }

    pub(super) fn metrics(&self, metrics: &ResourceMetrics) {
        self.push(Captured::Metrics(metrics.into()));
    }

    fn push(&self, request: Captured) {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).push(request);
    }
}
