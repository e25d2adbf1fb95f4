//! A log event taken apart, and its two output formats.

use std::borrow::Cow;
use std::fmt::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use console::{Color, Style};
use nym_mixnode_base::text::is_hidden;
use serde_json::{Map, Value, json};
use tracing::field::{Field, Visit};
use tracing::{Event, Level};

/// Maximum length of a line: texts from other systems, such as a directory's error, may be long.
const LINE_BYTES_MAX: usize = 8 << 10;

/// An event, or a count of suppressed repeats.
#[derive(Debug, Clone)]
pub(super) struct Record {
    level: Level,
    target: Cow<'static, str>,
    message: String,
    fields: Vec<(&'static str, Part)>,
    repeated: Option<Repeated>,
}

/// Number of repeats, and the seconds in which they occurred.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Repeated {
    pub(super) count: u64,
    pub(super) seconds: u64,
}

/// A field's value.
#[derive(Debug, Clone)]
enum Part {
    Plain(Value),
    /// Formatted by its `Display` or `Debug`.
    Shown(String),
}

impl Record {
    pub(super) fn of(event: &Event<'_>) -> Self {
        let metadata = event.metadata();
        let mut record = Self::new(*metadata.level(), metadata.target(), String::new());
        event.record(&mut record);
        record
    }

    pub(super) fn new(level: Level, target: &'static str, message: String) -> Self {
        Self { level, target: super::target::shown(target), message, fields: Vec::new(), repeated: None }
    }

    pub(super) fn repeated(mut self, repeated: Repeated) -> Self {
        self.repeated = Some(repeated);
        self
    }

    /// Message and fields on one line.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        push_printable(&mut text, &self.message);
        for (name, part) in &self.fields {
            let shown = match part {
                Part::Plain(value) => format!("{name}={value}"),
                Part::Shown(shown) => format!("{name}={shown}"),
            };
            if !text.is_empty() {
                text.push(' ');
            }
            push_printable(&mut text, &shown);
        }
        text
    }

    fn push(&mut self, field: &Field, part: Part) {
        self.fields.push((field.name(), part));
    }
}

impl Visit for Record {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.push(field, Part::Plain(value.into()));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.push(field, Part::Plain(value.into()));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.push(field, Part::Plain(value.into()));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.push(field, Part::Plain(value.into()));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            value.clone_into(&mut self.message);
        } else {
            self.push(field, Part::Plain(value.into()));
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let shown = format!("{value:?}");
        if field.name() == "message" {
            self.message = shown;
        } else {
            self.push(field, Part::Shown(shown));
        }
    }
}

/// Appends a text with control characters escaped, so that it stays on its line and cannot move the cursor.
fn push_printable(line: &mut String, text: &str) {
    for character in text.chars() {
        if is_hidden(character) {
            line.extend(character.escape_default());
        } else {
            line.push(character);
        }
    }
}

/// How records are formatted.
#[derive(Debug)]
pub(super) struct Form {
    is_json: AtomicBool,
    colours: bool,
    now: fn() -> SystemTime,
}

impl Form {
    pub(super) fn new(colours: bool, now: fn() -> SystemTime) -> Self {
        Self { is_json: AtomicBool::new(false), colours, now }
    }

    pub(super) fn set_json(&self, is_json: bool) {
        self.is_json.store(is_json, Ordering::Relaxed);
    }

    /// Formats the record as a line without its line end.
    pub(super) fn line(&self, record: &Record) -> String {
        let time = humantime::format_rfc3339_millis((self.now)()).to_string();
        if self.is_json.load(Ordering::Relaxed) { json_line(&time, record) } else { self.text_line(&time, record) }
    }

    fn text_line(&self, time: &str, record: &Record) -> String {
        let style = |style: Style| style.force_styling(self.colours);
        let level = style(Style::new().fg(color_of(record.level))).apply_to(record.level);
        let target = style(Style::new().bold()).apply_to(&record.target);
        let mut line = format!(" {} {level:<5} {target} > ", time.trim_end_matches('Z'));
        line.push_str(&record.text());
        cut(&mut line, LINE_BYTES_MAX);
        line
    }
}

fn json_line(time: &str, record: &Record) -> String {
    let mut message = record.message.clone();
    cut(&mut message, LINE_BYTES_MAX / 2);
    let mut line = json!({
        "timestamp": time,
        "level": record.level.as_str(),
        "target": record.target,
        "message": message,
    });
    let mut left = LINE_BYTES_MAX / 2;
    let mut fields = Map::new();
    for (name, part) in &record.fields {
        let value = match part {
            Part::Plain(Value::String(text)) | Part::Shown(text) => {
                let mut text = text.clone();
                cut(&mut text, left);
                left = left.saturating_sub(text.len());
                Value::String(text)
            }
            Part::Plain(value) => value.clone(),
        };
        fields.insert((*name).to_owned(), value);
    }
    if !fields.is_empty() {
        line["fields"] = fields.into();
    }
    if let Some(Repeated { count, seconds }) = record.repeated {
        line["repeated"] = count.into();
        line["over_seconds"] = seconds.into();
    }
    line.to_string()
}

fn cut(line: &mut String, bytes_max: usize) {
    if line.len() > bytes_max {
        line.truncate(line.floor_char_boundary(bytes_max));
        line.push('…');
    }
}

fn color_of(level: Level) -> Color {
    match level {
        Level::ERROR => Color::Red,
        Level::WARN => Color::Yellow,
        Level::INFO => Color::Green,
        Level::DEBUG => Color::Blue,
        Level::TRACE => Color::Magenta,
    }
}

/// Formats level and message of a record, for tests.
impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.level)?;
        f.write_str(&self.text())?;
        f.write_char('\n')
    }
}
