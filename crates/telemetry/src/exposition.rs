//! The text of `/metrics`, in the Prometheus format or in `OpenMetrics` on request.
//!
//! Implemented here because it is short: the values exist already, and a library would keep a second copy of them.

use std::fmt::{Display, Write};

use super::instruments::{LAG_BOUNDS, METRICS};
use super::readings::{Reading, Value};
use super::window::Lag;

/// The two text formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Prometheus,
    OpenMetrics,
}

impl Format {
    /// The format that a request's `Accept` header prefers; by default that of Prometheus.
    #[must_use]
    pub(crate) fn of_accept(accept: &str) -> Self {
        let mut best = (Self::Prometheus, 0.0);
        for range in accept.split(',') {
            let mut parts = range.split(';').map(str::trim);
            let format = match parts.next() {
                Some("application/openmetrics-text") => Self::OpenMetrics,
                Some("text/plain" | "text/*") => Self::Prometheus,
                _ => continue,
            };
            let quality = parts.find_map(|part| part.strip_prefix("q=")?.parse().ok()).unwrap_or(1.0);
            if quality > best.1 {
                best = (format, quality);
            }
        }
        best.0
    }

    /// The content type of the format.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// Metrics text, built line by line.
#[derive(Debug)]
pub struct Text {
    text: String,
    format: Format,
}

impl Text {
    /// An empty text.
    #[must_use]
    pub fn new(format: Format) -> Self {
        Self { text: String::with_capacity(16 << 10), format }
    }

    /// Begins the metric `name`. `kind` is the Prometheus type; `help` has no period at its end.
    pub fn metric(&mut self, name: &str, kind: &str, help: &str) {
        let name = match self.format {
            Format::Prometheus => name,
            // In OpenMetrics the suffix belongs to the sample, not to the family.
            Format::OpenMetrics => name.strip_suffix("_total").unwrap_or(name),
        };
        self.line(format_args!("# HELP {name} {help}."));
        self.line(format_args!("# TYPE {name} {kind}"));
        let unit = ["seconds", "bytes"].into_iter().find(|unit| name.ends_with(&format!("_{unit}")));
        if let (Format::OpenMetrics, Some(unit)) = (self.format, unit) {
            self.line(format_args!("# UNIT {name} {unit}"));
        }
    }

    /// Adds a sample to the current metric.
    pub fn sample<V: AsRef<str>>(&mut self, name: &str, labels: &[(&str, V)], value: impl Display) {
        let escaped = |value: &str| value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        let labels: Vec<_> =
            labels.iter().map(|(key, value)| format!("{key}=\"{}\"", escaped(value.as_ref()))).collect();
        if labels.is_empty() {
            self.line(format_args!("{name} {value}"));
        } else {
            self.line(format_args!("{name}{{{}}} {value}", labels.join(",")));
        }
    }

    /// The whole text.
    #[must_use]
    pub fn end(mut self) -> String {
        if self.format == Format::OpenMetrics {
            self.line(format_args!("# EOF"));
        }
        self.text
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        // Writing to a string never fails.
        writeln!(self.text, "{line}").ok();
    }
}

/// Formats all readings, in the order of the table.
#[must_use]
pub fn text(readings: &[Reading], format: Format) -> String {
    let mut text = Text::new(format);
    for metric in METRICS {
        let mut of_metric = readings.iter().filter(|reading| reading.metric.name == metric.name).peekable();
        if of_metric.peek().is_some() {
            text.metric(metric.prometheus, metric.kind.word(), metric.help);
            of_metric.for_each(|reading| sample(&mut text, reading));
        }
    }
    text.end()
}

fn sample(text: &mut Text, reading: &Reading) {
    let (name, labels) = (reading.metric.prometheus, reading.attributes.as_slice());
    match &reading.value {
        Value::Buckets(counts) => histogram(text, name, counts),
        Value::Whole(value) => text.sample(name, labels, value),
        Value::Seconds(value) => text.sample(name, labels, value),
    }
}

fn histogram(text: &mut Text, name: &str, counts: &Lag) {
    const NO_LABELS: [(&str, &str); 0] = [];
    let mut sum = 0;
    for (bucket, count) in counts.iter().enumerate() {
        sum += count;
        let bound = LAG_BOUNDS.get(bucket).map_or("+Inf".to_owned(), ToString::to_string);
        text.sample(&format!("{name}_bucket"), &[("le", bound)], sum);
    }
    text.sample(&format!("{name}_sum"), &NO_LABELS, total_lag(counts));
    text.sample(&format!("{name}_count"), &NO_LABELS, sum);
}

/// The lag that a packet in a bucket counts as: the bucket's bound, or twice the last bound.
#[must_use]
pub(crate) fn bucket_lag(bucket: usize) -> f64 {
    const LATEST: f64 = 0.5;
    LAG_BOUNDS.get(bucket).copied().unwrap_or(LATEST)
}

fn total_lag(counts: &Lag) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "counts of packets are far below 2^53")]
    let sum = counts.iter().enumerate().map(|(bucket, count)| bucket_lag(bucket) * *count as f64).sum::<f64>();
    // Computed in whole milliseconds, as the bounds are, because a sum of floats would have rounding errors.
    (sum * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::super::readings::of_windows;
    use super::super::window::Published;
    use super::*;

    fn readings() -> Vec<Reading> {
        let mut published = Published { lag: [8, 0, 0, 0, 0, 0, 8], ..Published::default() };
        published.packets.total.received = 64;
        of_windows(&published)
    }

    #[test]
    fn prometheus_text_has_help_type_and_samples() {
        let text = text(&readings(), Format::Prometheus);
        for part in [
            "# HELP mix_packets_total Packets that passed a stage of the mix.\n# TYPE mix_packets_total counter\n\
             mix_packets_total{stage=\"received\"} 64\n",
            "mix_dropped_total{reason=\"replay\"} 0\n",
            "mix_forward_lag_seconds_bucket{le=\"0.25\"} 8\nmix_forward_lag_seconds_bucket{le=\"+Inf\"} 16\n\
             mix_forward_lag_seconds_sum 4.008\nmix_forward_lag_seconds_count 16\n",
        ] {
            assert!(text.contains(part), "{part}\nis not in\n{text}");
        }
        assert!(!text.contains("EOF"));
    }

    #[test]
    fn open_metrics_names_families_without_total_and_ends() {
        let text = text(&readings(), Format::OpenMetrics);
        assert!(text.contains("# TYPE mix_packets counter\nmix_packets_total{stage=\"received\"} 64\n"), "{text}");
        assert!(text.contains("# UNIT process_cpu_seconds seconds\n") && text.ends_with("\n# EOF\n"), "{text}");
    }

    #[test]
    fn accept_chooses_the_format() {
        use Format::{OpenMetrics, Prometheus};
        for (accept, format) in [
            ("", Prometheus),
            ("*/*", Prometheus),
            ("text/html", Prometheus),
            ("application/openmetrics-text; version=1.0.0", OpenMetrics),
            ("application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1", OpenMetrics),
            ("application/openmetrics-text;q=0.4, text/plain;q=0.5", Prometheus),
            ("application/openmetrics-text;q=0", Prometheus),
        ] {
            assert_eq!(Format::of_accept(accept), format, "{accept}");
        }
    }

    #[test]
    fn labels_are_escaped() {
        let mut text = Text::new(Format::Prometheus);
        text.sample("build", &[("version", "a\"\\\n")], 1);
        assert_eq!(text.end(), "build{version=\"a\\\"\\\\\\n\"} 1\n");
    }
}
