//! How telemetry is exported: the standard `OTEL_…` variables over the settings of the section `telemetry`.
//!
//! The specification would ignore a value that it doesn't allow; here that is an error as everywhere in this program,
//! because telemetry that silently goes nowhere is found out when it is needed. A node that nobody asks to export
//! anything only warns: operators of clusters and images set such variables for all programs. `OTEL_SDK_DISABLED` is as
//! specified: whatever is not `true` is false. Variables that are not about traces and metrics are left alone.

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use opentelemetry_sdk::metrics::Temporality;
use opentelemetry_sdk::trace::Sampler;
use reqwest::header::{HeaderName, HeaderValue};
use tracing::warn;
use url::Url;

use super::super::losses::Signal;
use crate::config::{ConfigError, OtlpProtocol, TelemetryConfig, redacted};
use crate::file;

/// Longest file of certificates or keys: the bundle of all public authorities has a quarter of it.
const PEM_BYTES_MAX: u64 = 1 << 20;

/// The attribute of the resource of a node that traces single packets.
pub(super) const UNSAFE: &str = "mixnode.telemetry.unsafe";

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

/// How one signal is exported. Its headers, which may hold secrets, the exporter takes from the environment itself.
#[derive(Debug)]
pub(super) struct SignalSettings {
    pub(super) endpoint: Url,
    pub(super) protocol: OtlpProtocol,
    pub(super) timeout: Duration,
    pub(super) gzip: bool,
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
    pub fn of_process(config: &TelemetryConfig) -> Result<Option<Self>, Vec<ConfigError>> {
        Self::parse(env::vars_os(), config)
    }

    /// Says of all that is exported that its node also traces single packets. Nothing that is given unsays it.
    pub fn mark_unsafe(&mut self) {
        self.resource.push((UNSAFE.to_owned(), "true".to_owned()));
    }

    /// Everything is kept and nothing waits.
    pub(super) fn for_capture() -> Self {
        let batches = Batches {
            delay: Duration::from_millis(1),
            queue_max: 2048,
            batch_max: 512,
            timeout: Duration::from_secs(30),
        };
        Self {
            traces: None,
            metrics: None,
            sampler: Sampler::AlwaysOn,
            batches,
            // However quickly windows follow each other.
            metric_interval: Duration::ZERO,
            metric_timeout: Duration::from_secs(30),
            temporality: Temporality::Cumulative,
            resource: Vec::new(),
        }
    }

    fn parse(
        variables: impl Iterator<Item = (OsString, OsString)>,
        config: &TelemetryConfig,
    ) -> Result<Option<Self>, Vec<ConfigError>> {
        let mut reader = Reader::new(variables);
        let settings = reader.settings(config);
        if reader.problems.is_empty() {
            return Ok(settings);
        }
        if reader.is_asked_for(config) {
            return Err(reader.problems);
        }
        for problem in reader.problems {
            warn!("{problem}; ignored, for nothing is exported");
        }
        Ok(None)
    }
}

/// The variables, and what is wrong with them.
struct Reader {
    variables: BTreeMap<String, OsString>,
    problems: Vec<ConfigError>,
}

const GENERIC: &str = "OTEL_EXPORTER_OTLP_";

impl Reader {
    fn new(variables: impl Iterator<Item = (OsString, OsString)>) -> Self {
        let standard = variables.filter_map(|(name, value)| {
            let name = name.into_string().ok().filter(|name| name.starts_with("OTEL_"))?;
            // An empty variable counts as not set, as the specification says.
            (!value.is_empty()).then_some((name, value))
        });
        Self { variables: standard.collect(), problems: Vec::new() }
    }

    fn settings(&mut self, config: &TelemetryConfig) -> Option<Settings> {
        if self.text("OTEL_SDK_DISABLED").is_some_and(|text| text.eq_ignore_ascii_case("true")) {
            return None;
        }
        let traces = self.signal(Signal::Traces, config);
        let metrics = self.signal(Signal::Metrics, config);
        let settings = Settings {
            sampler: self.sampler(),
            batches: self.batches(),
            metric_interval: self.millis("OTEL_METRIC_EXPORT_INTERVAL", 60_000),
            metric_timeout: self.millis("OTEL_METRIC_EXPORT_TIMEOUT", 30_000),
            temporality: self.temporality(),
            resource: self.resource(),
            traces,
            metrics,
        };
        (settings.traces.is_some() || settings.metrics.is_some()).then_some(settings)
    }

    /// Whether something is to be exported, rightly or wrongly described.
    fn is_asked_for(&mut self, config: &TelemetryConfig) -> bool {
        [Signal::Traces, Signal::Metrics].into_iter().any(|signal| {
            let has_endpoint = config.otlp_endpoint.is_some() || self.of_signal(signal, "ENDPOINT").is_some();
            has_endpoint && self.is_exported(signal)
        })
    }

    fn signal(&mut self, signal: Signal, config: &TelemetryConfig) -> Option<SignalSettings> {
        if !self.is_exported(signal) {
            return None;
        }
        let protocol = self.of_signal(signal, "PROTOCOL").and_then(|(name, text)| match text.as_str() {
            "grpc" => Some(OtlpProtocol::Grpc),
            "http/protobuf" => Some(OtlpProtocol::Http),
            _ => self.refuse(&name, format_args!("{text:?} is not grpc or http/protobuf")),
        });
        let protocol = protocol.unwrap_or(config.otlp_protocol);
        let endpoint = self.endpoint(signal, protocol, config);
        let timeout = self.of_signal(signal, "TIMEOUT").and_then(|(name, text)| self.parse_millis(&name, &text));
        let gzip = self.of_signal(signal, "COMPRESSION").and_then(|(name, text)| match text.as_str() {
            "gzip" => Some(true),
            "none" => Some(false),
            _ => self.refuse(&name, format_args!("{text:?} is not gzip or none")),
        });
        self.check_headers(signal);
        let tls = self.tls(signal);
        Some(SignalSettings {
            endpoint: endpoint?,
            protocol,
            timeout: timeout.unwrap_or(Duration::from_secs(10)),
            gzip: gzip.unwrap_or(false),
            tls,
        })
    }

    /// Whether there is an exporter for the signal; Prometheus has `/metrics` anyway.
    fn is_exported(&mut self, signal: Signal) -> bool {
        let name = format!("OTEL_{}_EXPORTER", signal.name().to_uppercase());
        let Some(text) = self.text(&name) else { return true };
        let words: Vec<_> = text.split(',').map(str::trim).collect();
        for word in &words {
            let is_known = matches!(*word, "otlp" | "none") || (*word == "prometheus" && signal == Signal::Metrics);
            if !is_known {
                self.refuse::<()>(&name, format_args!("{word:?} is not otlp or none"));
            }
        }
        words.contains(&"otlp")
    }

    /// Where the signal goes: its own variable as it stands, or the general one with the signal's path.
    fn endpoint(&mut self, signal: Signal, protocol: OtlpProtocol, config: &TelemetryConfig) -> Option<Url> {
        let own = format!("{GENERIC}{}_ENDPOINT", signal.name().to_uppercase());
        let general = format!("{GENERIC}ENDPOINT");
        if let Some(text) = self.text(&own) {
            return self.parse_endpoint(&own, &text, signal, protocol);
        }
        let mut url = match self.text(&general) {
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
        let insecure = self.of_signal(signal, "INSECURE").and_then(|(name, text)| match text.as_str() {
            "true" => Some(true),
            "false" => Some(false),
            _ => self.refuse(&name, format_args!("{text:?} is not true or false")),
        });
        let full = match (protocol, insecure) {
            (OtlpProtocol::Grpc, Some(true)) if !text.contains("://") => format!("http://{text}"),
            (OtlpProtocol::Grpc, _) if !text.contains("://") => format!("https://{text}"),
            _ => text.to_owned(),
        };
        let url = full.parse::<Url>().ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        if url.is_none() {
            // Without the value, which may hold a password.
            self.refuse::<()>(name, "is not a URL such as http://collector:4318");
        }
        url
    }

    /// Their values, which may be secrets, are not repeated.
    fn check_headers(&mut self, signal: Signal) {
        let Some((name, text)) = self.of_signal(signal, "HEADERS") else { return };
        for (number, header) in text.split(',').map(str::trim).enumerate() {
            let is_header = header.split_once('=').is_some_and(|(key, value)| {
                key.trim().parse::<HeaderName>().is_ok() && HeaderValue::from_str(value.trim()).is_ok()
            });
            if !is_header {
                self.refuse::<()>(&name, format_args!("header {} is not KEY=VALUE", number + 1));
            }
        }
    }

    fn tls(&mut self, signal: Signal) -> Tls {
        let authority = self.file_of_signal(signal, "CERTIFICATE");
        let certificate = self.file_of_signal(signal, "CLIENT_CERTIFICATE");
        let key = self.file_of_signal(signal, "CLIENT_KEY");
        let client = match (certificate, key) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            (Some(_), None) => self.refuse(&format!("{GENERIC}CLIENT_KEY"), "is not set, and the certificate needs it"),
            (None, Some(_)) => {
                self.refuse(&format!("{GENERIC}CLIENT_CERTIFICATE"), "is not set, and the client's key needs it")
            }
        };
        Tls { authority, client }
    }

    fn file_of_signal(&mut self, signal: Signal, what: &str) -> Option<Vec<u8>> {
        let (name, path) = self.of_signal(signal, what)?;
        match file::read(Path::new(&path), PEM_BYTES_MAX) {
            Ok(pem) if pem.windows(11).any(|part| part == b"-----BEGIN ") => Some(pem),
            Ok(_) => self.refuse(&name, format_args!("{path} is not a PEM file")),
            Err(error) => self.refuse(&name, format_args!("{path} cannot be read: {error}")),
        }
    }

    fn sampler(&mut self) -> Sampler {
        const SAMPLER: &str = "OTEL_TRACES_SAMPLER";
        let parent_based = |sampler| Sampler::ParentBased(Box::new(sampler));
        let text = self.text(SAMPLER).unwrap_or_else(|| "parentbased_always_on".to_owned());
        match text.as_str() {
            "always_on" => Sampler::AlwaysOn,
            "always_off" => Sampler::AlwaysOff,
            "traceidratio" => Sampler::TraceIdRatioBased(self.ratio()),
            "parentbased_always_on" => parent_based(Sampler::AlwaysOn),
            "parentbased_always_off" => parent_based(Sampler::AlwaysOff),
            "parentbased_traceidratio" => parent_based(Sampler::TraceIdRatioBased(self.ratio())),
            _ => {
                let known = "always_on, always_off, traceidratio, or one of these after parentbased_";
                self.refuse(SAMPLER, format_args!("{text:?} is not {known}")).unwrap_or(Sampler::AlwaysOff)
            }
        }
    }

    fn ratio(&mut self) -> f64 {
        const ARGUMENT: &str = "OTEL_TRACES_SAMPLER_ARG";
        let Some(text) = self.text(ARGUMENT) else { return 1.0 };
        match text.parse::<f64>() {
            Ok(ratio) if (0.0..=1.0).contains(&ratio) => ratio,
            _ => self.refuse(ARGUMENT, format_args!("{text:?} is not a number from 0 to 1")).unwrap_or(1.0),
        }
    }

    fn batches(&mut self) -> Batches {
        let queue_max = self.count("OTEL_BSP_MAX_QUEUE_SIZE", 2048);
        let batch_max = self.count("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", 512.min(queue_max));
        if batch_max > queue_max {
            self.refuse::<()>("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "is more than OTEL_BSP_MAX_QUEUE_SIZE");
        }
        Batches {
            delay: self.millis("OTEL_BSP_SCHEDULE_DELAY", 5000),
            queue_max,
            batch_max,
            timeout: self.millis("OTEL_BSP_EXPORT_TIMEOUT", 30_000),
        }
    }

    fn temporality(&mut self) -> Temporality {
        const PREFERENCE: &str = "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE";
        let text = self.text(PREFERENCE).unwrap_or_default().to_lowercase();
        match text.as_str() {
            "" | "cumulative" => Temporality::Cumulative,
            "delta" => Temporality::Delta,
            "lowmemory" => Temporality::LowMemory,
            _ => {
                let problem = format!("{text:?} is not cumulative, delta or lowmemory");
                self.refuse(PREFERENCE, problem).unwrap_or(Temporality::Cumulative)
            }
        }
    }

    /// `key=value` with commas between them and percent signs in the values; the service's name has a variable, too.
    fn resource(&mut self) -> Vec<(String, String)> {
        const ATTRIBUTES: &str = "OTEL_RESOURCE_ATTRIBUTES";
        let mut attributes = Vec::new();
        for pair in self.text(ATTRIBUTES).unwrap_or_default().split(',').map(str::trim).filter(|pair| !pair.is_empty())
        {
            let decoded = pair.split_once('=').and_then(|(key, value)| {
                let key = Some(key.trim()).filter(|key| !key.is_empty())?;
                Some((key.to_owned(), percent_decoded(value.trim())?))
            });
            match decoded {
                Some(attribute) => attributes.push(attribute),
                None => drop(self.refuse::<()>(ATTRIBUTES, format_args!("{pair:?} is not key=value"))),
            }
        }
        attributes.extend(self.text("OTEL_SERVICE_NAME").map(|name| ("service.name".to_owned(), name)));
        attributes
    }

    fn millis(&mut self, name: &str, default: u64) -> Duration {
        let given = self.text(name).and_then(|text| self.parse_millis(name, &text));
        given.unwrap_or(Duration::from_millis(default))
    }

    fn parse_millis(&mut self, name: &str, text: &str) -> Option<Duration> {
        match text.parse() {
            Ok(millis @ 1..) => Some(Duration::from_millis(millis)),
            _ => self.refuse(name, format_args!("{text:?} is not a whole number of milliseconds from 1 up")),
        }
    }

    fn count(&mut self, name: &str, default: usize) -> usize {
        let Some(text) = self.text(name) else { return default };
        match text.parse() {
            Ok(count @ 1..=65_536) => count,
            _ => self.refuse(name, format_args!("{text:?} is not a whole number from 1 to 65536")).unwrap_or(default),
        }
    }

    /// The variable of the signal, or else the general one.
    fn of_signal(&mut self, signal: Signal, what: &str) -> Option<(String, String)> {
        let own = format!("{GENERIC}{}_{what}", signal.name().to_uppercase());
        let general = format!("{GENERIC}{what}");
        [own, general].into_iter().find_map(|name| self.text(&name).map(|text| (name, text)))
    }

    fn text(&mut self, name: &str) -> Option<String> {
        match self.variables.get(name)?.to_str() {
            Some(text) => Some(text.trim().to_owned()),
            None => self.refuse(name, "is not valid UTF-8"),
        }
    }

    /// Each problem is told once, though two signals may share a variable.
    fn refuse<T>(&mut self, variable: &str, problem: impl std::fmt::Display) -> Option<T> {
        let problem = ConfigError::Variable { variable: variable.to_owned(), problem: problem.to_string() };
        if !self.problems.iter().any(|told| told.to_string() == problem.to_string()) {
            self.problems.push(problem);
        }
        None
    }
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => {
                let digits = [bytes.next()?, bytes.next()?];
                u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
            }
            byte => byte,
        });
    }
    String::from_utf8(decoded).ok()
}

#[cfg(test)]
#[path = "settings_tests.rs"]
mod tests;
