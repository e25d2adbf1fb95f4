//! Export of telemetry by the real program to working and faulty collectors.

use std::net::SocketAddr;
use std::time::Duration;

use nym_mixnode_telemetry::otel::STOP_TIMEOUT;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;
use tokio::time::{Instant, timeout};
use url::Url;

use super::collector::{Collector, Manner};
use super::gateway_tls::GatewayProcess;
use super::process::{NodeFiles, NodeProcess, eventually};
use super::support::{ACK, NOWHERE, PATIENCE, Sink, hop, packet_via, send};

/// Nothing listens there, so each call of a node to it fails at once and yields a span.
/// Number of packets sent through a node at one time.
const PACKETS: usize = 20;
/// Far more memory than an idle node needs, and far less than an endless answer would take.
const RESIDENT_KIB_MAX: u64 = 128 << 10;

async fn files() -> NodeFiles {
    NodeFiles::init(&Url::parse(&NOWHERE).unwrap()).await
}

fn run(files: &NodeFiles, variables: &[(&str, &str)]) -> NodeProcess {
    NodeProcess::spawn(files, &["--forward-policy", "any"], |command| {
        command.env("OTEL_BSP_SCHEDULE_DELAY", "50").envs(variables.iter().copied());
    })
}

async fn metrics(http: SocketAddr) -> Option<String> {
    let client = reqwest::Client::builder().no_proxy().tls_certs_only([]).build().unwrap();
    client.get(format!("http://{http}/metrics")).send().await.ok()?.text().await.ok()
}

/// Sum of all samples with this prefix.
fn sum(text: &str, beginning: &str) -> u64 {
    let samples = text.lines().filter(|line| line.starts_with(beginning));
    samples.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
}

fn resident_kib(node: &NodeProcess) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", node.child.id().unwrap())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Sends packets through a node, some delayed by a second, and waits until all have left.
async fn packets_pass(files: &NodeFiles) {
    let mut sink = Sink::start().await;
    let hop = hop(files.address, *files.keys().sphinx.public());
    let delays = [Duration::ZERO, Duration::from_secs(1)].into_iter().cycle().take(PACKETS);
    let packets: Vec<_> = delays.map(|delay| packet_via(&hop, sink.address, delay, ACK)).collect();
    let _connection = send(files.address, &packets).await;
    sink.take(PACKETS).await;
}

/// Checks that a node with such a collector counts the lost telemetry, keeps mixing and stops in order.
async fn survives(endpoint: String, protocol: &str, timeout_ms: &str) {
    let files = files().await;
    let mut node = run(
        &files,
        &[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", timeout_ms),
        ],
    );
    let http = node.http().await;
    packets_pass(&files).await;
    let text = eventually("losses are counted", async || {
        metrics(http).await.filter(|text| sum(text, "telemetry_lost_total{signal=\"traces\"") > 0)
    })
    .await;
    packets_pass(&files).await;
    assert_eq!(sum(&text, "mixnode_live"), 1, "{text}");
    assert_eq!(sum(&text, "telemetry_exported_total"), 0, "{text}");
    // The counter may change before the line is written; the line appears once however often data is lost.
    let told = || node.log().matches("traces cannot be exported and are lost").count();
    eventually("the loss is logged", async || (told() > 0).then_some(())).await;
    assert_eq!(told(), 1, "{}", node.log());
    assert!(resident_kib(&node) < RESIDENT_KIB_MAX, "{} KiB", resident_kib(&node));
    assert!(node.stop().await.success());
}

const HTTP: &str = "http/protobuf";
const GRPC: &str = "grpc";

/// Runs the check over both protocols, at once: the nodes mostly wait.
async fn survives_both(manner: Manner, timeout_ms: &str) {
    let (over_http, over_grpc) = (Collector::start(manner).await, Collector::start_grpc(manner).await);
    tokio::join!(survives(over_http.endpoint(), HTTP, timeout_ms), survives(over_grpc.endpoint(), GRPC, timeout_ms),);
}

#[tokio::test]
async fn on_a_busy_core_packets_come_before_telemetry() {
    let files = files().await;
    let mut node = run(&files, &[("OTEL_EXPORTER_OTLP_ENDPOINT", NOWHERE.as_str())]);
    node.http().await;
    let tasks = format!("/proc/{}/task", node.child.id().unwrap());
    let nice_of = |name: &str| {
        let stats = std::fs::read_dir(&tasks).unwrap().map(|task| std::fs::read_to_string(task?.path().join("stat")));
        let stat = stats.filter_map(Result::ok).find(|stat| stat.contains(name))?;
        // Field 19; the first two end with the name.
        stat.rsplit_once(") ")?.1.split(' ').nth(16)?.parse::<i32>().ok()
    };
    // A new thread starts with the name of its parent.
    let usual = eventually("a worker", async || nice_of("(mix-worker-0)")).await;
    eventually("telemetry stands back", async || (nice_of("(telemetry)")? == 19).then_some(())).await;
    assert_eq!(nice_of("(mix-worker-0)"), Some(usual));
    assert!(usual < 19);
    assert!(node.stop().await.success());
}

#[tokio::test]
async fn a_collector_that_is_not_there_costs_only_telemetry() {
    tokio::join!(survives(NOWHERE.clone(), HTTP, "10000"), survives(NOWHERE.clone(), GRPC, "10000"));
}

#[tokio::test]
async fn a_collector_that_is_unavailable_costs_only_telemetry() {
    survives_both(Manner::Unavailable, "10000").await;
}

#[tokio::test]
async fn a_collector_that_answers_garbage_costs_only_telemetry() {
    let not_http_2 = Collector::start(Manner::Garbage).await;
    tokio::join!(survives_both(Manner::Garbage, "10000"), survives(not_http_2.endpoint(), GRPC, "2000"));
}

#[tokio::test]
async fn a_collector_that_answers_a_byte_a_second_costs_only_telemetry() {
    survives_both(Manner::Slow, "1000").await;
}

#[tokio::test]
async fn a_collector_that_answers_without_an_end_costs_only_telemetry_and_no_memory() {
    survives_both(Manner::Huge, "3000").await;
}

#[tokio::test]
async fn a_collector_that_never_answers_costs_only_telemetry() {
    let without_preface = Collector::start(Manner::BlackHole).await;
    tokio::join!(survives_both(Manner::BlackHole, "1000"), survives(without_preface.endpoint(), GRPC, "1000"));
}

/// Duration of the stop of a node that has mixed.
async fn time_of_stop(variables: &[(&str, &str)], collector: Option<&mut Collector>) -> Duration {
    let files = files().await;
    let mut node = run(&files, variables);
    node.http().await;
    packets_pass(&files).await;
    if let Some(collector) = collector {
        // The collector has received the first spans, and the exporter waits for its answer.
        timeout(PATIENCE, collector.requests.recv()).await.expect("an export").unwrap();
    }
    let began = Instant::now();
    assert!(node.stop().await.success());
    began.elapsed()
}

#[tokio::test]
async fn a_stop_waits_five_seconds_and_no_more_for_a_collector_that_may_take_an_hour() {
    // Allowance for a busy machine; the wait itself is five seconds.
    const SLACK: Duration = Duration::from_secs(15);
    let without = time_of_stop(&[], None).await;
    for protocol in [HTTP, GRPC] {
        let mut collector = match protocol {
            HTTP => Collector::start(Manner::Silent).await,
            _ => Collector::start_grpc(Manner::Silent).await,
        };
        let endpoint = collector.endpoint();
        let hour = "3600000";
        let variables = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", hour),
            ("OTEL_BSP_EXPORT_TIMEOUT", hour),
            ("OTEL_METRIC_EXPORT_TIMEOUT", hour),
        ];
        let with = time_of_stop(&variables, Some(&mut collector)).await;
        assert!(with >= STOP_TIMEOUT, "{protocol}: it did not wait, {with:?}");
        assert!(with < without + STOP_TIMEOUT + SLACK, "{protocol}: {with:?} instead of {without:?}");
    }
}

#[tokio::test]
async fn a_collector_gets_spans_and_metrics_with_headers_and_the_resource_over_http() {
    let mut collector = Collector::start(Manner::Works).await;
    let files = files().await;
    let endpoint = collector.endpoint();
    let variables = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()),
        ("OTEL_EXPORTER_OTLP_HEADERS", "api-key=s%20ecret,x-tenant=mix"),
        ("OTEL_SERVICE_NAME", "under-test"),
        ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=ci"),
    ];
    let mut node = run(&files, &variables);
    let http = node.http().await;
    let request = collector.request("/v1/traces").await;
    let head = request.head.to_lowercase();
    assert!(head.contains("api-key: s ecret") && head.contains("x-tenant: mix"), "{head}");
    assert!(!head.contains("traceparent"), "{head}");
    let spans = ExportTraceServiceRequest::decode(request.body.as_slice()).unwrap();
    let resource = format!("{:?}", spans.resource_spans[0].resource);
    for part in ["under-test", "deployment.environment.name", "service.instance.id", "host.name"] {
        assert!(resource.contains(part), "{part} is not in {resource}");
    }
    assert!(!resource.contains(&files.identity()) && !resource.contains("process."), "{resource}");
    let span = &spans.resource_spans[0].scope_spans[0].spans[0];
    assert_eq!(span.name, "directory.counter");
    assert!(format!("{:?}", span.attributes).contains("unreachable"), "{span:?}");
    eventually("exports are counted", async || {
        metrics(http).await.filter(|text| sum(text, "telemetry_exported_total{signal=\"traces\"") > 0)
    })
    .await;
    // Metrics arrive at the end of each window and at the stop.
    assert!(node.stop().await.success());
    let request = collector.request("/v1/metrics").await;
    let metrics = ExportMetricsServiceRequest::decode(request.body.as_slice()).unwrap();
    let names: Vec<_> = metrics.resource_metrics[0].scope_metrics[0].metrics.iter().map(|m| m.name.as_str()).collect();
    assert!(names.contains(&"mix.packets") && names.contains(&"process.memory.usage"), "{names:?}");
}

#[tokio::test]
async fn a_collector_by_grpc_gets_spans_and_metrics() {
    let mut collector = Collector::start_grpc(Manner::Works).await;
    let files = files().await;
    let endpoint = collector.endpoint();
    let mut node = run(&files, &[("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint), ("OTEL_EXPORTER_OTLP_PROTOCOL", GRPC)]);
    let http = node.http().await;
    collector.request("/opentelemetry.proto.collector.trace.v1.TraceService/Export").await;
    let text = eventually("exports are counted", async || {
        metrics(http).await.filter(|text| sum(text, "telemetry_exported_total{signal=\"traces\"") > 0)
    })
    .await;
    assert_eq!(sum(&text, "telemetry_lost_total"), 0, "{text}");
    assert!(node.stop().await.success());
    collector.request("/opentelemetry.proto.collector.metrics.v1.MetricsService/Export").await;
}

#[tokio::test]
async fn requests_are_compressed_where_that_is_asked_for() {
    let mut collector = Collector::start(Manner::Works).await;
    let files = files().await;
    let endpoint = format!("{}/mine", collector.endpoint());
    let variables =
        [("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", endpoint.as_str()), ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")];
    let mut node = run(&files, &variables);
    node.http().await;
    let request = collector.request("/mine").await;
    assert!(request.head.to_lowercase().contains("content-encoding: gzip"), "{}", request.head);
    assert_eq!(request.body[..2], [0x1f, 0x8b]);
    assert!(node.stop().await.success());
}

#[tokio::test]
async fn a_variable_that_is_not_allowed_stops_the_start() {
    let files = files().await;
    for (variable, value) in [
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "carrier-pigeon"),
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/nowhere/ca.pem"),
        ("OTEL_TRACES_SAMPLER_ARG", "half"),
    ] {
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", NOWHERE.as_str());
        let node = run(&files, &[endpoint, (variable, value), ("OTEL_TRACES_SAMPLER", "traceidratio")]);
        let (code, line) = node.end().await;
        assert_eq!(code, Some(78), "{line}");
        assert!(line.starts_with(&format!("nym-mixnode: {variable}: ")) && line.contains(value), "{line}");
    }
}

#[tokio::test]
async fn otel_variables_cause_a_warning_but_no_failure_without_an_export() {
    let files = files().await;
    let foreign = [("OTEL_TRACES_SAMPLER", "parentbased_jaeger_remote"), ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json")];
    let mut node = run(&files, &foreign);
    node.http().await;
    for (variable, value) in foreign {
        let line = eventually("the variable is named", async || {
            node.log().lines().find(|line| line.contains(variable)).map(str::to_owned)
        })
        .await;
        assert!(line.contains("WARN") && line.contains(value) && line.ends_with("nothing is exported"), "{line}");
    }
    assert!(node.stop().await.success());
}

#[tokio::test]
async fn nothing_is_exported_without_an_endpoint_or_with_the_sdk_disabled() {
    let collector = Collector::start(Manner::Works).await;
    let files = files().await;
    let endpoint = collector.endpoint();
    for variables in [
        vec![("OTEL_SERVICE_NAME", "mix")],
        vec![("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()), ("OTEL_SDK_DISABLED", "true")],
    ] {
        let mut node = run(&files, &variables);
        node.http().await;
        let log = node.log();
        assert!(node.stop().await.success());
        assert!(!log.contains("Exporting"), "{log}");
    }
    assert!(collector.requests.is_empty());
}

#[tokio::test]
async fn a_gateway_exports_its_metrics_at_the_end_of_each_window() {
    let mut collector = Collector::start(Manner::Works).await;
    let home = tempfile::tempdir().unwrap();
    let endpoint = collector.endpoint();
    let flags = ["--telemetry-window", "10s", "--telemetry-otlp-endpoint", &endpoint];
    let _running = GatewayProcess::start(home.path(), NOWHERE.as_str(), &flags).await;
    let request = collector.request("/v1/metrics").await;
    let metrics = ExportMetricsServiceRequest::decode(request.body.as_slice()).unwrap();
    let names: Vec<_> = metrics.resource_metrics[0].scope_metrics[0].metrics.iter().map(|m| m.name.as_str()).collect();
    for name in ["mixnode.ready", "mix.limits.reached", "directory.failures", "telemetry.window"] {
        assert!(names.contains(&name), "{name} is not in {names:?}");
    }
    assert!(names.iter().all(|name| *name == "mix.limits.reached" || !name.starts_with("mix.")), "{names:?}");
}
