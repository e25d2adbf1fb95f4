//! The text of `/metrics`: Prometheus's own format, or `OpenMetrics` for those who ask for it.
//!
//! Own code, for it is short: the numbers are there already, and a library would keep them a second time to print them.

use std::fmt::Write;

use super::instruments::{LAG_BOUNDS, METRICS, Metric};
use super::readings::{Reading, Value};
use super::window::Lag;

/// The two formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Prometheus,
    OpenMetrics,
}

impl Format {
    /// The one that a request's `Accept` prefers; Prometheus's own in doubt.
    #[must_use]
    pub fn of_accept(accept: &str) -> Self {
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

    /// The content type of the text.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// The text of all readings, in the order of the table.
#[must_use]
pub fn text(readings: &[Reading], format: Format) -> String {
    let mut text = String::with_capacity(16 << 10);
    for metric in METRICS {
        let mut of_metric = readings.iter().filter(|reading| reading.metric.name == metric.name).peekable();
        if of_metric.peek().is_some() {
            head(&mut text, metric, format);
            of_metric.for_each(|reading| sample(&mut text, reading));
        }
    }
    if format == Format::OpenMetrics {
        text.push_str("# EOF\n");
    }
    text
}

fn head(text: &mut String, metric: &Metric, format: Format) {
    let name = match format {
        Format::Prometheus => metric.prometheus,
        // There the ending is of the sample, not of the family.
        Format::OpenMetrics => metric.prometheus.strip_suffix("_total").unwrap_or(metric.prometheus),
    };
    line(text, format_args!("# HELP {name} {}.", metric.help));
    line(text, format_args!("# TYPE {name} {}", metric.kind.word()));
    if let (Format::OpenMetrics, Some(unit)) = (format, unit(metric, name)) {
        line(text, format_args!("# UNIT {name} {unit}"));
    }
}

/// The unit, where the name ends in it, as it has to.
fn unit(metric: &Metric, name: &str) -> Option<&'static str> {
    let unit = match metric.unit {
        "s" => "seconds",
        "By" => "bytes",
        _ => return None,
    };
    name.ends_with(unit).then_some(unit)
}

fn sample(text: &mut String, reading: &Reading) {
    let name = reading.metric.prometheus;
    match &reading.value {
        Value::Buckets(counts) => histogram(text, name, counts),
        Value::Whole(value) => line(text, format_args!("{name}{} {value}", labels(reading))),
        Value::Seconds(value) => line(text, format_args!("{name}{} {value}", labels(reading))),
    }
}

fn histogram(text: &mut String, name: &str, counts: &Lag) {
    let mut sum = 0;
    for (bucket, count) in counts.iter().enumerate() {
        sum += count;
        match LAG_BOUNDS.get(bucket) {
            Some(bound) => line(text, format_args!("{name}_bucket{{le=\"{bound}\"}} {sum}")),
            None => line(text, format_args!("{name}_bucket{{le=\"+Inf\"}} {sum}")),
        }
    }
    line(text, format_args!("{name}_sum {}", total_lag(counts)));
    line(text, format_args!("{name}_count {sum}"));
}

/// What a packet counts for that was late by some bucket: its bound, or twice the last one.
#[must_use]
pub fn bucket_lag(bucket: usize) -> f64 {
    const LATEST: f64 = 0.5;
    LAG_BOUNDS.get(bucket).copied().unwrap_or(LATEST)
}

fn total_lag(counts: &Lag) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "counts of packets are far below 2^53")]
    let sum = counts.iter().enumerate().map(|(bucket, count)| bucket_lag(bucket) * *count as f64).sum::<f64>();
    // Whole milliseconds: the bounds are, and adding them up leaves dust.
    (sum * 1000.0).round() / 1000.0
}

fn labels(reading: &Reading) -> String {
    if reading.attributes.is_empty() {
        return String::new();
    }
    let escaped = |value: &str| value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    let labels: Vec<_> =
        reading.attributes.iter().map(|(key, value)| format!("{key}=\"{}\"", escaped(value))).collect();
    format!("{{{}}}", labels.join(","))
}

fn line(text: &mut String, line: std::fmt::Arguments<'_>) {
    // Writing to a string never fails.
    writeln!(text, "{line}").ok();
}

#[cfg(test)]
mod tests {
    use super::super::instruments as i;
    use super::super::readings::of_windows;
    use super::super::window::Told;
    use super::*;

    fn readings() -> Vec<Reading> {
        let mut told = Told { lag: [8, 0, 0, 0, 0, 0, 8], ..Told::default() };
        told.packets.total.received = 64;
        of_windows(&told)
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
        let reading = Reading::whole(&i::BUILD_INFO, 1).with("version", "a\"\\\n");
        assert_eq!(labels(&reading), "{version=\"a\\\"\\\\\\n\"}");
    }
}
