//! Settings of the telemetry export: the standard `OTEL_…` variables over the section `telemetry`.
//!
//! The specification says to ignore invalid values; this program rejects them, as everywhere else, because a missing
//! export would be noticed only when the data is needed. A node without an export only warns: operators of clusters and
//! images set such variables for all programs. Variables that do not concern traces and metrics are ignored.

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

/// Size limit of certificate and key files: four times the bundle of all public authorities.
const PEM_BYTES_MAX: u64 = 1 << 20;

/// Settings of the whole export.
#[derive(Debug)]
pub struct Settings {
    pub(super) traces: Option<SignalSettings>,
    pub(super) metrics: Option<SignalSettings>,
    pub(super) sampler: Sampler,
    pub(super) batches: Batches,
    /// Minimum interval between two exports of metrics.
    pub(super) metric_interval: Duration,
    /// Timeout of an export of metrics.
    pub(super) metric_timeout: Duration,
    pub(super) temporality: Temporality,
    /// Configured resource attributes.
    pub(super) resource: Vec<(String, String)>,
}

/// Settings of one signal.
#[derive(Debug)]
pub(super) struct SignalSettings {
    pub(super) endpoint: Url,
    pub(super) protocol: OtlpProtocol,
    pub(super) timeout: Duration,
    pub(super) gzip: bool,
    /// Marked as sensitive, so that they are never printed.
    pub(super) headers: HeaderMap,
    pub(super) tls: Tls,
}

/// TLS certificates and key, PEM.
#[derive(Default)]
pub(super) struct Tls {
    pub(super) authority: Option<Vec<u8>>,
    pub(super) client: Option<(Vec<u8>, Vec<u8>)>,
}

/// How spans are batched.
#[derive(Debug, Clone, Copy)]
pub(super) struct Batches {
    pub(super) delay: Duration,
    pub(super) queue_max: usize,
    pub(super) batch_max: usize,
    pub(super) timeout: Duration,
}

/// Omits the key.
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
    /// The settings of this process; `None` if nothing is to be exported.
    ///
    /// # Errors
    /// Lists every variable with an invalid value, if something is to be exported.
    pub fn of_process(config: &TelemetryConfig) -> Result<Option<Self>, Vec<VariableError>> {
        Self::parse(env::vars_os(), config)
    }

    /// The settings in these variables, over those of the configuration.
    ///
    /// # Errors
    /// Like [`Settings::of_process`].
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
            warn!("{problem}; ignored because nothing is exported");
        }
        Ok(None)
    }
}

/// Parses the variables for the export of traces and metrics.
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

    /// Rejects variables that change the export in other programs but are not supported here.
    fn refuse_unsupported(&mut self) {
        for name in ["OTEL_CONFIG_FILE", "OTEL_EXPERIMENTAL_CONFIG_FILE"] {
            if self.0.text(name).is_some() {
                self.0.refuse::<()>(name, "is not supported: set the individual variables instead");
            }
        }
        let name = "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION";
        if let Some(text) = self.0.text(name) {
            self.0.choose(name, &text, &[("explicit_bucket_histogram", ())]);
        }
    }

    /// Whether something is to be exported, even with invalid settings.
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

    /// Whether the signal is exported; Prometheus is always served at `/metrics`.
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

    /// Endpoint of the signal: its own variable unchanged, or the general one with the signal's path.
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

    /// gRPC also accepts `host:port`; a separate variable determines whether that uses TLS.
    fn parse_endpoint(&mut self, name: &str, text: &str, signal: Signal, protocol: OtlpProtocol) -> Option<Url> {
        let insecure = self.choice(signal, "INSECURE", &[("true", true), ("false", false)]);
        let full = match (protocol, insecure) {
            (OtlpProtocol::Grpc, Some(true)) if !text.contains("://") => format!("http://{text}"),
            (OtlpProtocol::Grpc, _) if !text.contains("://") => format!("https://{text}"),
            _ => text.to_owned(),
        };
        let url = full.parse::<Url>().ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        if url.is_none() {
            // The message omits the value, which may contain a password.
            self.0.refuse::<()>(name, "is not a URL such as http://collector:4318");
        }
        url
    }

    /// Messages omit the values, which may be secrets.
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

    /// Configured attributes; the variable with the service's name takes precedence.
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
mod tests;
