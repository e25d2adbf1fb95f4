//! Tests of the standard variables and of the errors in them.

use std::fs;

use super::*;

fn parse(variables: &[(&str, &str)]) -> Result<Option<Settings>, Vec<String>> {
    parse_over(&TelemetryConfig::default(), variables)
}

fn parse_over(config: &TelemetryConfig, variables: &[(&str, &str)]) -> Result<Option<Settings>, Vec<String>> {
    let variables = variables.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
    Settings::parse(variables, config).map_err(|errors| errors.iter().map(ToString::to_string).collect())
}

const COLLECTOR: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318");

fn endpoints(variables: &[(&str, &str)]) -> (Option<String>, Option<String>) {
    let settings = parse(variables).unwrap();
    let url = |signal: &Option<SignalSettings>| signal.as_ref().map(|signal| signal.endpoint.to_string());
    settings.map_or((None, None), |settings| (url(&settings.traces), url(&settings.metrics)))
}

fn both(traces: &str, metrics: &str) -> (Option<String>, Option<String>) {
    (Some(traces.to_owned()), Some(metrics.to_owned()))
}

#[test]
fn nothing_is_exported_until_an_endpoint_is_set() {
    assert!(parse(&[]).unwrap().is_none());
    assert!(parse(&[("OTEL_SERVICE_NAME", "mix")]).unwrap().is_none());
    assert!(parse(&[COLLECTOR, ("OTEL_SDK_DISABLED", "true")]).unwrap().is_none());
    for word in ["true", "True", "TRUE", " true "] {
        assert!(parse(&[COLLECTOR, ("OTEL_SDK_DISABLED", word)]).unwrap().is_none(), "{word:?}");
    }
    for word in ["false", "False", "", " "] {
        assert!(parse(&[COLLECTOR, ("OTEL_SDK_DISABLED", word)]).unwrap().is_some(), "{word:?}");
    }
    for word in ["1", "0", "yes", "on", "disabled"] {
        let problems = parse(&[COLLECTOR, ("OTEL_SDK_DISABLED", word)]).unwrap_err();
        let [problem] = &problems[..] else { panic!("{problems:?}") };
        assert!(problem.starts_with(&format!("OTEL_SDK_DISABLED: {word:?} ")), "{problem}");
    }
    assert!(
        parse(&[COLLECTOR, ("OTEL_TRACES_EXPORTER", "none"), ("OTEL_METRICS_EXPORTER", "none")]).unwrap().is_none()
    );
}

#[test]
fn endpoints_get_the_signals_paths_and_own_ones_stay_as_they_are() {
    assert_eq!(endpoints(&[COLLECTOR]), both("http://collector:4318/v1/traces", "http://collector:4318/v1/metrics"));
    let own = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://other/here");
    assert_eq!(endpoints(&[COLLECTOR, own]), both("https://other/here", "http://collector:4318/v1/metrics"));
    assert_eq!(endpoints(&[own]), (Some("https://other/here".to_owned()), None));
    let grpc = ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc");
    assert_eq!(endpoints(&[COLLECTOR, grpc]), both("http://collector:4318/", "http://collector:4318/"));
    let bare = ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4317");
    assert_eq!(endpoints(&[bare, grpc]), both("https://collector:4317/", "https://collector:4317/"));
    let insecure = ("OTEL_EXPORTER_OTLP_INSECURE", "true");
    assert_eq!(endpoints(&[bare, grpc, insecure]), both("http://collector:4317/", "http://collector:4317/"));
}

#[test]
fn the_variables_win_over_the_settings() {
    let config = TelemetryConfig { otlp_endpoint: "http://file:1/".parse().ok(), ..TelemetryConfig::default() };
    let endpoint = |variables: &[_]| parse_over(&config, variables).unwrap().unwrap().traces.unwrap().endpoint;
    assert_eq!(endpoint(&[]).as_str(), "http://file:1/v1/traces");
    assert_eq!(endpoint(&[COLLECTOR]).as_str(), "http://collector:4318/v1/traces");
}

#[test]
fn values_are_those_of_the_specification() {
    let variables = [
        COLLECTOR,
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "2000"),
        ("OTEL_EXPORTER_OTLP_METRICS_TIMEOUT", "3000"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
        ("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"),
        ("OTEL_TRACES_SAMPLER_ARG", "0.25"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "10"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "15000"),
        ("OTEL_METRIC_EXPORT_TIMEOUT", "4000"),
        ("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "delta"),
        ("OTEL_RESOURCE_ATTRIBUTES", "cloud.region=eu%2C1, host.name=a"),
        ("OTEL_SERVICE_NAME", "mix"),
    ];
    let settings = parse(&variables).unwrap().unwrap();
    let (traces, metrics) = (settings.traces.unwrap(), settings.metrics.unwrap());
    assert_eq!((traces.timeout.as_secs(), metrics.timeout.as_secs(), traces.gzip), (2, 3, true));
    assert_eq!(format!("{:?}", settings.sampler), "ParentBased(TraceIdRatioBased(0.25))");
    assert_eq!((settings.batches.queue_max, settings.batches.batch_max), (10, 10));
    assert_eq!((settings.metric_interval.as_secs(), settings.metric_timeout.as_secs()), (15, 4));
    assert_eq!(settings.temporality, Temporality::Delta);
    let expected = [("cloud.region", "eu,1"), ("host.name", "a"), ("service.name", "mix")];
    assert_eq!(settings.resource, expected.map(|(key, value)| (key.to_owned(), value.to_owned())));
}

#[test]
fn a_signals_own_variables_win_over_the_general_ones() {
    let folder = tempfile::tempdir().unwrap();
    let pem = |name: &str| {
        let path = folder.path().join(name);
        fs::write(&path, format!("-----BEGIN {name}-----")).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (authority, own_authority, certificate, key) = (pem("CA"), pem("OWN"), pem("CERTIFICATE"), pem("KEY"));
    let variables = [
        COLLECTOR,
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", &authority),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
        ("OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE", &own_authority),
        ("OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE", &certificate),
        ("OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY", &key),
        ("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "none"),
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "grpc"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "traces:4317"),
        ("OTEL_EXPORTER_OTLP_TRACES_INSECURE", "true"),
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "7"),
        ("OTEL_SERVICE_NAME", "mix"),
        ("OTEL_RESOURCE_ATTRIBUTES", "service.name=another"),
    ];
    let settings = parse(&variables).unwrap().unwrap();
    let (traces, metrics) = (settings.traces.unwrap(), settings.metrics.unwrap());
    assert_eq!(
        (traces.endpoint.as_str(), traces.protocol, traces.gzip),
        ("http://traces:4317/", OtlpProtocol::Grpc, false)
    );
    assert_eq!((metrics.protocol, metrics.gzip), (OtlpProtocol::Http, true));
    let text = |pem: &[u8]| String::from_utf8(pem.to_owned()).unwrap();
    let client = traces.tls.client.unwrap();
    assert_eq!(
        (text(&client.0), text(&client.1)),
        ("-----BEGIN CERTIFICATE-----".into(), "-----BEGIN KEY-----".into())
    );
    assert_eq!(text(&traces.tls.authority.unwrap()), "-----BEGIN OWN-----");
    assert_eq!(
        (text(&metrics.tls.authority.unwrap()), metrics.tls.client.is_none()),
        ("-----BEGIN CA-----".into(), true)
    );
    assert_eq!(settings.batches.batch_max, 7);
    let resource = crate::otel::resource::resource(None, &settings.resource);
    let name = resource.get(&opentelemetry::Key::from_static_str("service.name"));
    assert_eq!(name.map(|name| name.to_string()).as_deref(), Some("mix"));
}

#[test]
fn every_invalid_value_is_reported_once_without_secrets() {
    let problems = parse(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "me:secret@collector"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "api-key=a,secret"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "10s"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "brotli"),
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/nowhere"),
        ("OTEL_TRACES_SAMPLER", "jaeger_remote"),
        ("OTEL_TRACES_EXPORTER", "console"),
        ("OTEL_BSP_SCHEDULE_DELAY", "-1"),
        ("OTEL_RESOURCE_ATTRIBUTES", "a"),
    ])
    .unwrap_err();
    // The traces exporter is not supported, so the other errors are those of the metrics.
    assert_eq!(problems.len(), 10, "{problems:#?}");
    assert!(
        problems.iter().all(|problem| problem.starts_with("OTEL_") && !problem.contains("secret")),
        "{problems:#?}"
    );
    assert!(problems.contains(&"OTEL_EXPORTER_OTLP_HEADERS: header 2 is not KEY=VALUE".to_owned()), "{problems:#?}");
}

#[test]
fn values_may_be_written_as_the_specification_has_them() {
    let variables = [
        COLLECTOR,
        ("OTEL_EXPORTER_OTLP_HEADERS", " api-key = a%20b%25 ,,tenant=1,"),
        // An empty variable of the signal does not hide the general one.
        ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", ""),
        ("OTEL_EXPORTER_OTLP_METRICS_HEADERS", "tenant=2,"),
        ("OTEL_RESOURCE_ATTRIBUTES", "a=1,b%2Cc=2,,"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "GZIP"),
        ("OTEL_EXPORTER_OTLP_METRICS_COMPRESSION", "None"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "HTTP/Protobuf"),
        ("OTEL_EXPORTER_OTLP_INSECURE", "False"),
        ("OTEL_TRACES_EXPORTER", "OTLP,"),
        ("OTEL_METRICS_EXPORTER", ","),
        ("OTEL_TRACES_SAMPLER", "TraceIdRatio"),
        ("OTEL_TRACES_SAMPLER_ARG", " "),
        ("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "LowMemory"),
        ("OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION", "explicit_bucket_histogram"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "0"),
        ("OTEL_BSP_SCHEDULE_DELAY", "0"),
        ("OTEL_BSP_EXPORT_TIMEOUT", ""),
    ];
    let settings = parse(&variables).unwrap().unwrap();
    let (traces, metrics) = (settings.traces.unwrap(), settings.metrics.unwrap());
    assert_eq!((traces.gzip, metrics.gzip, traces.protocol), (true, false, OtlpProtocol::Http));
    assert_eq!(
        (traces.headers["api-key"].to_str().unwrap(), &traces.headers["tenant"]),
        ("a b%", &"1".parse().unwrap())
    );
    assert_eq!((metrics.headers.len(), &metrics.headers["tenant"]), (1, &"2".parse().unwrap()));
    assert!(!format!("{traces:?}").contains("a b%"), "{traces:?}");
    assert_eq!(settings.resource, [("a", "1"), ("b,c", "2")].map(|(key, value)| (key.to_owned(), value.to_owned())));
    assert_eq!(format!("{:?} {:?}", settings.sampler, settings.temporality), "TraceIdRatioBased(1.0) LowMemory");
    assert!(traces.timeout > Duration::from_hours(1), "0 is no limit");
    assert_eq!((settings.batches.delay, settings.batches.timeout.as_secs()), (Duration::ZERO, 30));
}

#[test]
fn unsupported_export_variables_are_rejected() {
    for (name, text) in [
        ("OTEL_CONFIG_FILE", "/etc/otel.yaml"),
        ("OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION", "base2_exponential_bucket_histogram"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "a=b%0Ac"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "=b"),
        ("OTEL_EXPORTER_OTLP_TRACES_INSECURE", "1"),
        ("OTEL_TRACES_EXPORTER", "otlp,console"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "99999999999999"),
    ] {
        let problems = parse(&[COLLECTOR, (name, text)]).unwrap_err();
        assert!(problems.len() == 1 && problems[0].starts_with(name), "{problems:?}");
    }
}

#[test]
fn variables_for_others_do_not_stop_a_node_that_exports_nothing() {
    let foreign = [
        ("OTEL_TRACES_SAMPLER", "parentbased_jaeger_remote"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
        ("OTEL_METRICS_EXPORTER", "console"),
        ("OTEL_BSP_SCHEDULE_DELAY", "5s"),
    ];
    let nothing = |others: &[(&'static str, &'static str)]| parse(&[&foreign, others].concat()).unwrap().is_none();
    assert!(nothing(&[]));
    assert!(nothing(&[COLLECTOR, ("OTEL_TRACES_EXPORTER", "none")]));
    assert!(nothing(&[COLLECTOR, ("OTEL_SDK_DISABLED", "true")]));
    // Once something is exported, they are errors, also if the endpoint is invalid or comes from the file.
    for endpoint in [COLLECTOR, ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "collector")] {
        assert!(parse(&[&foreign[..], &[endpoint]].concat()).is_err(), "{endpoint:?}");
    }
    let config = TelemetryConfig { otlp_endpoint: "http://file:1/".parse().ok(), ..TelemetryConfig::default() };
    assert!(parse_over(&config, &foreign).is_err());
}
