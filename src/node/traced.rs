//! A directory whose calls are spans. Made here and not of `tracing`'s spans, so that only what is named below is told.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::api::{MixMetric, MixRegistration, Topology};
use crate::directory::{Directory, DirectoryError, Unregistered};
use crate::telemetry::otel::Telemetry;

/// One thing that is asked of a directory.
struct Route {
    span: &'static str,
    method: &'static str,
    template: &'static str,
    index: usize,
}

const REGISTER: Route =
    Route { span: "directory.register", method: "POST", template: "/api/mixmining/register/mix", index: 0 };
const UNREGISTER: Route =
    Route { span: "directory.unregister", method: "DELETE", template: "/api/mixmining/register/{id}", index: 1 };
const TOPOLOGY: Route =
    Route { span: "directory.topology", method: "GET", template: "/api/mixmining/topology", index: 2 };
const METRICS: Route = Route { span: "directory.metrics", method: "POST", template: "/api/metrics/mixes", index: 3 };

/// Tells of each call: what was asked, what the answer's kind was, and how often it had failed before. Nothing is sent
/// to the directory for it.
#[derive(Debug)]
pub(super) struct Traced<D> {
    directory: D,
    telemetry: Telemetry,
    /// Failures in a row, for each route.
    failures: [AtomicU32; 4],
}

impl<D: Directory> Traced<D> {
    pub(super) fn new(directory: D, telemetry: Telemetry) -> Self {
        Self { directory, telemetry, failures: Default::default() }
    }

    async fn call<T>(
        &self,
        route: &Route,
        request: impl Future<Output = Result<T, DirectoryError>>,
    ) -> Result<T, DirectoryError> {
        let failures = &self.failures[route.index];
        let call = self.telemetry.call(route.span, route.method, route.template, failures.load(Ordering::Relaxed));
        let answer = request.await;
        match &answer {
            Ok(_) => {
                failures.store(0, Ordering::Relaxed);
                call.end(Some(200), None);
            }
            Err(error) => {
                failures.fetch_add(1, Ordering::Relaxed);
                let (status, kind) = kind(error);
                call.end(status, Some(kind));
            }
        }
        answer
    }
}

/// The status of an error, if it has one, and a word for it.
fn kind(error: &DirectoryError) -> (Option<u16>, &'static str) {
    match error {
        DirectoryError::Unreachable { .. } => (None, "unreachable"),
        DirectoryError::ServerFailed { status, .. } => (Some(*status), "server_failed"),
        DirectoryError::TooManyRequests { .. } => (Some(429), "too_many_requests"),
        DirectoryError::Refused { status, .. } => (Some(*status), "refused"),
        DirectoryError::MalformedReply { .. } => (None, "malformed_reply"),
        _ => (None, "other"),
    }
}

impl<D: Directory> Directory for Traced<D> {
    fn location(&self) -> &str {
        self.directory.location()
    }

    async fn register_mix(&self, mix: &MixRegistration) -> Result<(), DirectoryError> {
        self.call(&REGISTER, self.directory.register_mix(mix)).await
    }

    async fn unregister(&self, identity: &str) -> Result<Unregistered, DirectoryError> {
        self.call(&UNREGISTER, self.directory.unregister(identity)).await
    }

    async fn topology(&self) -> Result<Topology, DirectoryError> {
        self.call(&TOPOLOGY, self.directory.topology()).await
    }

    async fn post_metrics(&self, metric: &MixMetric) -> Result<Duration, DirectoryError> {
        self.call(&METRICS, self.directory.post_metrics(metric)).await
    }
}
