//! Spans for directory calls, made here instead of with `tracing` so that only the listed attributes are exported.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use nym_mixnode_api::{
    CounterReply, GatewayRegistration, IpVersion, MixMetric, MixRegistration, Proof, RegistrationReply, Topology,
};
use nym_mixnode_directory::{Directory, DirectoryError, Unregistered, with_status};
use nym_mixnode_telemetry::otel::Telemetry;

/// A request to a directory.
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
const REGISTER_GATEWAY: Route =
    Route { span: "directory.register", method: "POST", template: "/api/mixmining/register/gateway", index: 0 };
const COUNTER: Route =
    Route { span: "directory.counter", method: "GET", template: "/api/mixmining/counter/{id}", index: 4 };

/// A directory client that exports a span for each call: the request, the kind of result, and the previous failures.
/// Adds nothing to the requests.
#[derive(Debug)]
pub(super) struct TracedDirectory<D> {
    directory: D,
    telemetry: Telemetry,
    /// Consecutive failures, by route.
    failures: [AtomicU32; 5],
}

impl<D: Directory> TracedDirectory<D> {
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
        let (answer, status) = with_status(request).await;
        match &answer {
            Ok(_) => {
                failures.store(0, Ordering::Relaxed);
                call.end(status, None);
            }
            Err(error) => {
                failures.fetch_add(1, Ordering::Relaxed);
                call.end(status, Some(kind(error)));
            }
        }
        answer
    }
}

/// Label of an error.
fn kind(error: &DirectoryError) -> &'static str {
    match error {
        DirectoryError::Unreachable { .. } | DirectoryError::Tls { .. } => "unreachable",
        DirectoryError::ServerFailed { .. } => "server_failed",
        DirectoryError::TooManyRequests { .. } => "too_many_requests",
        DirectoryError::Refused { .. } => "refused",
        DirectoryError::MalformedReply { .. } => "malformed_reply",
        _ => "other",
    }
}

impl<D: Directory> Directory for TracedDirectory<D> {
    fn location(&self) -> &str {
        self.directory.location()
    }

    async fn counter(&self, identity: &str, nonce: &str) -> Result<Option<CounterReply>, DirectoryError> {
        self.call(&COUNTER, self.directory.counter(identity, nonce)).await
    }

    async fn register_mix(
        &self,
        mix: &MixRegistration,
        over: Option<IpVersion>,
    ) -> Result<RegistrationReply, DirectoryError> {
        self.call(&REGISTER, self.directory.register_mix(mix, over)).await
    }

    async fn register_gateway(
        &self,
        gateway: &GatewayRegistration,
        over: Option<IpVersion>,
    ) -> Result<RegistrationReply, DirectoryError> {
        self.call(&REGISTER_GATEWAY, self.directory.register_gateway(gateway, over)).await
    }

    async fn unregister(&self, identity: &str, proof: Option<&Proof>) -> Result<Unregistered, DirectoryError> {
        self.call(&UNREGISTER, self.directory.unregister(identity, proof)).await
    }

    async fn topology(&self) -> Result<Topology, DirectoryError> {
        self.call(&TOPOLOGY, self.directory.topology()).await
    }

    async fn post_metrics(&self, metric: &MixMetric) -> Result<Duration, DirectoryError> {
        self.call(&METRICS, self.directory.post_metrics(metric)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nym_mixnode_directory::Client;
    use nym_mixnode_telemetry::otel::{Capture, Captured};
    use opentelemetry_proto::tonic::common::v1::any_value::Value;
    use opentelemetry_proto::tonic::trace::v1::Span;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    /// Answers requests one by one with the next of `answers`.
    async fn answer(listener: TcpListener, answers: Vec<(&'static str, &'static str)>) {
        for (status, body) in answers {
            let (mut connection, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.windows(4).any(|four| four == b"\r\n\r\n") {
                assert!(connection.read_buf(&mut request).await.unwrap() > 0);
            }
            let text =
                format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len());
            connection.write_all(text.as_bytes()).await.unwrap();
        }
    }

    fn attribute(span: &Span, key: &str) -> Option<Value> {
        span.attributes.iter().find(|attribute| attribute.key == key)?.value.as_ref()?.value.clone()
    }

    #[tokio::test]
    async fn a_span_has_the_status_of_the_reply_or_none_without_a_reply() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
        let answers = vec![
            ("201 Created", "{\"nextReportIn\":5}"),
            ("404 Not Found", "{\"error\":\"no\"}"),
            ("302 Found", ""),
            ("503 Service Unavailable", ""),
        ];
        let answered = tokio::spawn(answer(listener, answers));
        let capture = Capture::default();
        let telemetry = capture.telemetry().unwrap();
        let directory = TracedDirectory::new(Client::new(&url, &url).unwrap(), telemetry.clone());
        let metric = MixMetric { pub_key: String::new(), received: 0, sent: std::collections::BTreeMap::new() };
        directory.post_metrics(&metric).await.unwrap();
        assert_eq!(directory.unregister("key", None).await.unwrap(), Unregistered::NotListed);
        directory.topology().await.unwrap_err();
        directory.topology().await.unwrap_err();
        answered.await.unwrap();
        directory.topology().await.unwrap_err();
        telemetry.stop(Vec::new()).await;

        let captured = capture.take();
        let requests = captured.iter().filter_map(|request| match request {
            Captured::Traces(request) => Some(request),
            Captured::Metrics(_) => None,
        });
        let scopes = requests.flat_map(|request| &request.resource_spans).flat_map(|of| &of.scope_spans);
        let spans: Vec<_> = scopes.flat_map(|scope| &scope.spans).collect();
        let status = |span: &&Span| match attribute(span, "http.response.status_code") {
            Some(Value::IntValue(status)) => Some(status),
            _ => None,
        };
        let error = |span: &&Span| match attribute(span, "error.type") {
            Some(Value::StringValue(error)) => error,
            _ => String::new(),
        };
        assert_eq!(spans.iter().map(status).collect::<Vec<_>>(), [Some(201), Some(404), Some(302), Some(503), None]);
        let errors: Vec<_> = spans.iter().map(error).collect();
        assert_eq!(errors, ["", "", "malformed_reply", "server_failed", "unreachable"]);
    }
}
