//! An OpenTelemetry collector that receives from nodes over gRPC and HTTP, with and without TLS, and a trace store.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use nym_mixnode_telemetry::instruments::METRICS;
use serde_json::Value;

use super::certificates::Certificates;
use super::network::Network;
use super::process::{Process, free_port};
use super::received::Received;
use super::shipped;
use crate::http::get;
use crate::part::{part, root};
use crate::waiting::eventually;

/// A running collector with the configuration of the kit.
struct Collector {
    process: Process,
    grpc: u16,
    http: u16,
    prometheus: u16,
    file: PathBuf,
}

impl Collector {
    fn start(folder: &Path, name: &str, more: &[(&str, String)], tls: Option<&Certificates>) -> Self {
        let [grpc, http, prometheus, health, own] = [(); 5].map(|()| free_port());
        let file = folder.join(format!("{name}.jsonl"));
        let local = |port: u16| format!("127.0.0.1:{port}");
        let mut process = Process::start(name, &part("otelcol"), folder, |command| {
            command.arg("--config").arg(shipped::folder("collector/config.yaml"));
            command.env("COLLECTOR_GRPC", local(grpc)).env("COLLECTOR_HTTP", local(http));
            command.env("COLLECTOR_PROMETHEUS", local(prometheus)).env("COLLECTOR_HEALTH", local(health));
            command.env("COLLECTOR_SELF_HOST", "127.0.0.1").env("COLLECTOR_SELF_PORT", own.to_string());
            command.env("COLLECTOR_FILE", &file).env("COLLECTOR_BATCH", "200ms");
            command.env("COLLECTOR_TRACES_TO", "[file]").env("COLLECTOR_METRICS_TO", "[file, prometheus]");
            command.envs(more.iter().map(|(name, value)| (name, value)));
            if let Some(tls) = tls {
                command.arg("--config").arg(shipped::folder("collector/tls.yaml"));
                command.env("COLLECTOR_TLS_CERTIFICATE", &tls.certificate).env("COLLECTOR_TLS_KEY", &tls.key);
            }
        });
        process.wait_for(&format!("http://127.0.0.1:{health}/"));
        Self { process, grpc, http, prometheus, file }
    }

    fn received(&self, node: &str) -> Received {
        Received::read(&self.file).of(node)
    }
}

/// A trace store and its URL.
fn start_trace_store(folder: &Path) -> (Process, u16, String) {
    let [otlp, http, grpc] = [(); 3].map(|()| free_port());
    let local = |port: u16| format!("127.0.0.1:{port}");
    let mut process = Process::start("jaeger", &part("jaeger"), folder, |command| {
        command.arg("--config").arg(root().join("tests/kit/telemetry/jaeger.yaml"));
        command.env("OTLP_GRPC", local(otlp)).env("QUERY_HTTP", local(http)).env("QUERY_GRPC", local(grpc));
        // It must not send traces of its own.
        command.env("OTEL_TRACES_SAMPLER", "always_off");
    });
    let url = format!("http://{}", local(http));
    process.wait_for(&format!("{url}/api/services"));
    (process, otlp, url)
}

/// Variables of a node: only the standard ones of OpenTelemetry.
fn variables<'a>(name: &str, protocol: &str, endpoint: String, authority: Option<&Path>) -> Vec<(&'a str, String)> {
    let mut variables = vec![
        ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol.to_owned()),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip".to_owned()),
        ("OTEL_SERVICE_NAME", "mixnode-of-the-test".to_owned()),
        ("OTEL_RESOURCE_ATTRIBUTES", format!("test.node={name}")),
        ("OTEL_METRIC_EXPORT_INTERVAL", "2000".to_owned()),
        ("OTEL_BSP_SCHEDULE_DELAY", "500".to_owned()),
    ];
    variables.extend(authority.map(|path| ("OTEL_EXPORTER_OTLP_CERTIFICATE", path.to_str().unwrap().to_owned())));
    variables
}

const OF_EVERY_RUN: [&str; 3] = ["directory.register", "directory.topology", "directory.unregister"];

#[test]
fn a_collector_gets_windows_and_numbers_by_grpc_and_http_and_tls_and_nothing_that_may_not_be_told() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let (tls, strangers) = (Certificates::make(folder, "own"), Certificates::make(folder, "strangers"));
    let (_store, store_otlp, store_url) = start_trace_store(folder);
    let to_store = [
        ("COLLECTOR_TRACES_TO", "[file, otlp_grpc]".to_owned()),
        ("COLLECTOR_OTLP_TO", format!("127.0.0.1:{store_otlp}")),
        ("COLLECTOR_OTLP_INSECURE", "true".to_owned()),
    ];
    let plain = Collector::start(folder, "plain", &to_store, None);
    let secure = Collector::start(folder, "secure", &[], Some(&tls));

    let (grpc, http) = ("grpc", "http/protobuf");
    let secure_grpc = || format!("https://localhost:{}", secure.grpc);
    let mut network = Network::start(
        folder,
        &[
            variables("by-grpc", grpc, format!("http://127.0.0.1:{}", plain.grpc), None),
            variables("by-http", http, format!("http://127.0.0.1:{}", plain.http), None),
            variables("by-grpc-tls", grpc, secure_grpc(), Some(&tls.authority)),
            variables("by-http-tls", http, format!("https://localhost:{}", secure.http), Some(&tls.authority)),
            variables("mistrusting", grpc, secure_grpc(), Some(&strangers.authority)),
        ],
    );
    network.send_packets();
    let nodes = [("by-grpc", &plain), ("by-http", &plain), ("by-grpc-tls", &secure), ("by-http-tls", &secure)];
    for (node, collector) in nodes {
        eventually(&format!("the collector has two busy windows and the lag of the node {node}"), || {
            let received = collector.received(node);
            (received.busy_windows() >= 2 && received.metric_names().contains("mix.forward.lag")).then_some(())
        });
    }
    let scraped = get(&format!("http://127.0.0.1:{}/metrics", plain.prometheus)).expect("metrics of the collector");
    assert_same_names_behind_the_collector(&scraped);
    assert_the_store_shows_windows(&store_url);
    for node in &mut network.nodes {
        node.process.stop();
    }

    for (node, collector) in nodes {
        eventually(&format!("the collector has the last words of the node {node}"), || {
            let received = collector.received(node);
            OF_EVERY_RUN.iter().all(|name| received.spans_named(name).next().is_some()).then_some(())
        });
        let received = collector.received(node);
        received.assert_allowed();
        let told = received.metric_names();
        let missing: Vec<&str> =
            METRICS.iter().map(|metric| metric.name).filter(|name| !told.contains(*name)).collect();
        assert!(missing.is_empty(), "the node {node} never told {missing:?}");
    }
    for canary in network.nodes.iter().map(|node| node.identity.as_str()).chain(["127.0.0.1", "::1"]) {
        for collector in [&plain, &secure] {
            assert!(!collector.received("").text.contains(canary), "{canary} is in what the collector received");
        }
    }
    let of_mistrusting = secure.received("mistrusting");
    assert!(of_mistrusting.spans.is_empty() && of_mistrusting.metrics.is_empty(), "sent to a stranger");
    let log = network.nodes[4].process.log();
    assert!(log.to_lowercase().contains("certificate"), "it does not say why nothing arrives:\n{log}");
    for collector in [&plain, &secure] {
        let log = collector.process.log();
        assert!(!log.contains("\terror\t"), "{log}");
    }
}

/// Dashboards show the same data, whether Prometheus scrapes the nodes or the collector. Metrics of processes have
/// other names by the conventions of OpenTelemetry.
fn assert_same_names_behind_the_collector(scraped: &str) {
    let types = scraped.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    let types: BTreeSet<&str> = types.collect();
    let own = METRICS.iter().filter(|metric| !metric.name.starts_with("process."));
    let missing: Vec<&str> = own.map(|metric| metric.prometheus).filter(|name| !types.contains(name)).collect();
    assert!(missing.is_empty(), "the collector does not serve {missing:?}, but {types:?}");
}

fn assert_the_store_shows_windows(url: &str) {
    let query = format!("{url}/api/traces?service=mixnode-of-the-test&operation=mix.window&limit=50");
    let windows = eventually("the trace store shows windows", || {
        let answer = get(&query).expect("an answer of the trace store");
        let answer: Value = serde_json::from_str(&answer).unwrap();
        answer["data"].as_array().filter(|windows| windows.len() >= 4).cloned()
    });
    for window in windows {
        let spans = window["spans"].as_array().unwrap().iter();
        let names: BTreeSet<&str> = spans.map(|span| span["operationName"].as_str().unwrap()).collect();
        let expected = ["mix.delay", "mix.forward", "mix.receive", "mix.unwrap", "mix.window"];
        assert_eq!(names, BTreeSet::from(expected), "{window:#}");
    }
}
