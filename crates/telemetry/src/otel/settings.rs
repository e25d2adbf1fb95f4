//! How telemetry is exported: the standard `OTEL_…` variables over the settings of the section `telemetry`.
//!
//! The specification would ignore a value that it doesn't allow; here that is an error as everywhere in this program,
//! because telemetry that silently goes nowhere is found out when it is needed. A node that nobody asks to export
//! anything only warns: operators of clusters and images set such variables for all programs. Variables that are not
//! about traces and metrics are left alone.

mod variables;

use std::env;
use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use nym_mixnode_base::file;
use nym_mixnode_base::redact::redacted;
use opentelemetry_sdk::metrics::Temporality;
use opentelemetry_sdk::trace::Sampler;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use tracing::warn;
use url::Url;

use super::super::losses::Signal;
use crate::{OtlpProtocol, TelemetryConfig};
pub use variables::VariableError;
use variables::{GENERIC, Variables, items, pair};

/// Longest file of certificates or keys: the bundle of all public authorities has a quarter of it.
const PEM_BYTES_MAX: u64 = 1 << 20;

/// How everything is exported.
#[derive(Debug)]
pub struct Settings {
    pub(super) traces: Option<SignalSettings>,
    pub(super) metrics: Option<SignalSettings>,
    pub(super) sampler: Sampler,
    pub(super) batches: Batches,
    /// Time between two exports of metrics, at least.
    pub(super) metric_interval: Duration,
    /// The longest that an export of metrics takes.
    pub(super) metric_timeout: Duration,
    pub(super) temporality: Temporality,
    /// The attributes of the resource that somebody has given.
    pub(super) resource: Vec<(String, String)>,
}

/// How one signal is exported.
#[derive(Debug)]
pub(super) struct SignalSettings {
    pub(super) endpoint: Url,
    pub(super) protocol: OtlpProtocol,
    pub(super) timeout: Duration,
    pub(super) gzip: bool,
    /// Marked as secrets, so that nothing prints them.
    pub(super) headers: HeaderMap,
    pub(super) tls: Tls,
}

/// Whom to trust and who to be; PEM.
#[derive(Default)]
pub(super) struct Tls {
    pub(super) authority: Option<Vec<u8>>,
    pub(super) client: Option<(Vec<u8>, Vec<u8>)>,
}

/// How spans are collected before they are sent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Batches {
    pub(super) delay: Duration,
    pub(super) queue_max: usize,
    pub(super) batch_max: usize,
    pub(super) timeout: Duration,
}

/// Without the key.
impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").field("client", &self.client.is_some()).finish_non_exhaustive()
    }
}

impl SignalSettings {
    /// The endpoint without a password.
    pub(super) fn endpoint_for_people(&self) -> String {
        redacted(&self.endpoint)
    }
}

impl Settings {
    /// Those of this process; none when nothing is to be exported.
    ///
    /// # Errors
    /// With every variable whose value is not allowed, if something is to be exported.
    pub fn of_process(config: &TelemetryConfig) -> Result<Option<Self>, Vec<VariableError>> {
        Self::parse(env::vars_os(), config)
    }

    /// The settings in these variables, over those of the configuration.
    ///
    /// # Errors
    /// As [`Settings::of_process`].
    pub fn parse(
        variables: impl Iterator<Item = (OsString, OsString)>,
        config: &TelemetryConfig,
    ) -> Result<Option<Self>, Vec<VariableError>> {
        let mut reader = Reader(Variables::new(variables));
        let settings = reader.settings(config);
        if reader.0.problems.is_empty() {
            return Ok(settings);
        }
        let is_asked_for = reader.is_asked_for(config);
        let problems = reader.0.problems;
        if is_asked_for {
            return Err(problems);
        }
        for problem in problems {
            warn!("{problem}; ignored, for nothing is exported");
        }
        Ok(None)
    }
}

/// What the variables say of the export of traces and metrics.
struct Reader(Variables);

const MS: fn(u64) -> Duration = Duration::from_millis;

impl Reader {
    fn settings(&mut self, config: &TelemetryConfig) -> Option<Settings> {
        if self.0.switch("OTEL_SDK_DISABLED") == Some(true) {
            return None;
        }
        self.refuse_unsupported();
        let traces = self.signal(Signal::Traces, config);
        let metrics = self.signal(Signal::Metrics, config);
        let settings = Settings {
            sampler: self.sampler(),
            batches: self.batches(),
            metric_interval: self.0.duration("OTEL_METRIC_EXPORT_INTERVAL", MS(60_000)),
            metric_timeout: self.0.timeout("OTEL_METRIC_EXPORT_TIMEOUT", MS(30_000)),
            temporality: self.temporality(),
            resource: self.resource(),
            traces,
            metrics,
        };
        (settings.traces.is_some() || settings.metrics.is_some()).then_some(settings)
    }

    /// What would change the export of traces and metrics in other programs.
    fn refuse_unsupported(&mut self) {
        for name in ["OTEL_CONFIG_FILE", "OTEL_EXPERIMENTAL_CONFIG_FILE"] {
            if self.0.text(name).is_some() {
                self.0.refuse::<()>(name, "is not supported: set the single variables instead");
            }
        }
        let name = "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION";
        if let Some(text) = self.0.text(name) {
            self.0.choose(name, &text, &[("explicit_bucket_histogram", ())]);
        }
    }

    /// Whether something is to be exported, rightly or wrongly described.
    fn is_asked_for(&mut self, config: &TelemetryConfig) -> bool {
        [Signal::Traces, Signal::Metrics].into_iter().any(|signal| {
            let has_endpoint = config.otlp_endpoint.is_some() || self.0.of_signal(signal, "ENDPOINT").is_some();
            has_endpoint && self.is_exported(signal)
        })
    }

    fn signal(&mut self, signal: Signal, config: &TelemetryConfig) -> Option<SignalSettings> {
        if !self.is_exported(signal) {
            return None;
        }
        let protocols = [("grpc", OtlpProtocol::Grpc), ("http/protobuf", OtlpProtocol::Http)];
        let protocol = self.choice(signal, "PROTOCOL", &protocols).unwrap_or(config.otlp_protocol);
        let endpoint = self.endpoint(signal, protocol, config);
        let timeout = self.0.of_signal(signal, "TIMEOUT").and_then(|(name, text)| self.0.parse_timeout(&name, &text));
        let gzip = self.choice(signal, "COMPRESSION", &[("gzip", true), ("none", false)]);
        let headers = self.headers(signal);
        let tls = self.tls(signal);
        Some(SignalSettings {
            endpoint: endpoint?,
            protocol,
            timeout: timeout.unwrap_or(MS(10_000)),
            gzip: gzip.unwrap_or(false),
            headers,
            tls,
        })
    }

    fn choice<T: Copy>(&mut self, signal: Signal, what: &str, choices: &[(&str, T)]) -> Option<T> {
        let (name, text) = self.0.of_signal(signal, what)?;
        self.0.choose(&name, &text, choices)
    }

    /// Whether there is an exporter for the signal; Prometheus has `/metrics` anyway.
    fn is_exported(&mut self, signal: Signal) -> bool {
        let name = format!("OTEL_{}_EXPORTER", signal.name().to_uppercase());
        let Some(text) = self.0.text(&name) else { return true };
        let mut choices = vec![("otlp", true), ("none", false)];
        if signal == Signal::Metrics {
            choices.push(("prometheus", false));
        }
        let chosen: Vec<_> = items(&text).map(|word| self.0.choose(&name, word, &choices)).collect();
        chosen.is_empty() || chosen.contains(&Some(true))
    }

    /// Where the signal goes: its own variable as it stands, or the general one with the signal's path.
    fn endpoint(&mut self, signal: Signal, protocol: OtlpProtocol, config: &TelemetryConfig) -> Option<Url> {
        let own = format!("{GENERIC}{}_ENDPOINT", signal.name().to_uppercase());
        let general = format!("{GENERIC}ENDPOINT");
        if let Some(text) = self.0.text(&own) {
            return self.parse_endpoint(&own, &text, signal, protocol);
        }
        let mut url = match self.0.text(&general) {
            Some(text) => self.parse_endpoint(&general, &text, signal, protocol)?,
            None => config.otlp_endpoint.clone()?,
        };
        if protocol == OtlpProtocol::Http {
            // Never fails: URLs of http and https have a path.
            if let Ok(mut path) = url.path_segments_mut() {
                path.pop_if_empty().extend(["v1", signal.name()]);
            }
        }
        Some(url)
    }

    /// gRPC also knows `host:port`, and whether that is secure says a variable of its own.
    fn parse_endpoint(&mut self, name: &str, text: &str, signal: Signal, protocol: OtlpProtocol) -> Option<Url> {
        let insecure = self.choice(signal, "INSECURE", &[("true", true), ("false", false)]);
        let full = match (protocol, insecure) {
            (OtlpProtocol::Grpc, Some(true)) if !text.contains("://") => format!("http://{text}"),
            (OtlpProtocol::Grpc, _) if !text.contains("://") => format!("https://{text}"),
            _ => text.to_owned(),
        };
        let url = full.parse::<Url>().ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        if url.is_none() {
            // Without the value, which may hold a password.
            self.0.refuse::<()>(name, "is not a URL such as http://collector:4318");
        }
        url
    }

    /// Their values, which may be secrets, are not repeated.
    fn headers(&mut self, signal: Signal) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let Some((name, text)) = self.0.of_signal(signal, "HEADERS") else { return headers };
        for (number, item) in items(&text).enumerate() {
            let header = pair(item).and_then(|(key, value)| {
                let mut value = HeaderValue::from_str(&value).ok()?;
                value.set_sensitive(true);
                Some((key.parse::<HeaderName>().ok()?, value))
            });
            match header {
                Some((key, value)) => drop(headers.insert(key, value)),
                None => drop(self.0.refuse::<()>(&name, format_args!("header {} is not KEY=VALUE", number + 1))),
            }
        }
        headers
    }

    fn tls(&mut self, signal: Signal) -> Tls {
        let authority = self.file_of_signal(signal, "CERTIFICATE");
        let certificate = self.file_of_signal(signal, "CLIENT_CERTIFICATE");
        let key = self.file_of_signal(signal, "CLIENT_KEY");
        let client = match (certificate, key) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            (Some(_), None) => {
                self.0.refuse(&format!("{GENERIC}CLIENT_KEY"), "is not set, and the certificate needs it")
            }
            (None, Some(_)) => {
                self.0.refuse(&format!("{GENERIC}CLIENT_CERTIFICATE"), "is not set, and the client's key needs it")
            }
        };
        Tls { authority, client }
    }

    fn file_of_signal(&mut self, signal: Signal, what: &str) -> Option<Vec<u8>> {
        let (name, path) = self.0.of_signal(signal, what)?;
        match file::read(Path::new(&path), PEM_BYTES_MAX) {
            Ok(pem) if pem.windows(11).any(|part| part == b"-----BEGIN ") => Some(pem),
            Ok(_) => self.0.refuse(&name, format_args!("{path} is not a PEM file")),
            Err(error) => self.0.refuse(&name, format_args!("{path} cannot be read: {error}")),
        }
    }

    fn sampler(&mut self) -> Sampler {
        const SAMPLER: &str = "OTEL_TRACES_SAMPLER";
        let parent_based = |sampler| Sampler::ParentBased(Box::new(sampler));
        let text = self.0.text(SAMPLER).unwrap_or_else(|| "parentbased_always_on".to_owned());
        match text.to_ascii_lowercase().as_str() {
            "always_on" => Sampler::AlwaysOn,
            "always_off" => Sampler::AlwaysOff,
            "traceidratio" => Sampler::TraceIdRatioBased(self.ratio()),
            "parentbased_always_on" => parent_based(Sampler::AlwaysOn),
            "parentbased_always_off" => parent_based(Sampler::AlwaysOff),
            "parentbased_traceidratio" => parent_based(Sampler::TraceIdRatioBased(self.ratio())),
            _ => {
                let known = "always_on, always_off, traceidratio, or one of these after parentbased_";
                self.0.refuse(SAMPLER, format_args!("{text:?} is not {known}")).unwrap_or(Sampler::AlwaysOff)
            }
        }
    }

    fn ratio(&mut self) -> f64 {
        const ARGUMENT: &str = "OTEL_TRACES_SAMPLER_ARG";
        let Some(text) = self.0.text(ARGUMENT) else { return 1.0 };
        match text.parse::<f64>() {
            Ok(ratio) if (0.0..=1.0).contains(&ratio) => ratio,
            _ => self.0.refuse(ARGUMENT, format_args!("{text:?} is not a number from 0 to 1")).unwrap_or(1.0),
        }
    }

    fn batches(&mut self) -> Batches {
        let queue_max = self.0.count("OTEL_BSP_MAX_QUEUE_SIZE", 2048);
        let batch_max = self.0.count("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", 512.min(queue_max));
        if batch_max > queue_max {
            self.0.refuse::<()>("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "is more than OTEL_BSP_MAX_QUEUE_SIZE");
        }
        Batches {
            delay: self.0.duration("OTEL_BSP_SCHEDULE_DELAY", MS(5000)),
            queue_max,
            batch_max,
            timeout: self.0.timeout("OTEL_BSP_EXPORT_TIMEOUT", MS(30_000)),
        }
    }

    fn temporality(&mut self) -> Temporality {
        const PREFERENCE: &str = "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE";
        let choices = [
            ("cumulative", Temporality::Cumulative),
            ("delta", Temporality::Delta),
            ("lowmemory", Temporality::LowMemory),
        ];
        let chosen = self.0.text(PREFERENCE).and_then(|text| self.0.choose(PREFERENCE, &text, &choices));
        chosen.unwrap_or(Temporality::Cumulative)
    }

    /// The attributes that are given; the service's name has a variable, too, which wins.
    fn resource(&mut self) -> Vec<(String, String)> {
        const ATTRIBUTES: &str = "OTEL_RESOURCE_ATTRIBUTES";
        let mut attributes = Vec::new();
        for item in items(&self.0.text(ATTRIBUTES).unwrap_or_default()) {
            match pair(item) {
                Some(attribute) => attributes.push(attribute),
                None => drop(self.0.refuse::<()>(ATTRIBUTES, format_args!("{item:?} is not key=value"))),
            }
        }
        attributes.extend(self.0.text("OTEL_SERVICE_NAME").map(|name| ("service.name".to_owned(), name)));
        attributes
    }
}

#[cfg(test)]
#[path = "settings_tests.rs"]
mod tests;
