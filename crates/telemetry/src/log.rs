//! The log: one line per event on standard error, in the format of 0.9.2 or as JSON.
//!
//! ` 2020-05-05T16:01:07.802 INFO  nym_mixnode::node > Starting nym mixnode`
//!
//! Logging follows the rule of this crate: no events about single packets, and none about a peer at INFO and above.

mod filter;
mod output;
mod record;
mod repeats;
mod target;

use std::env;
use std::io::{self, IsTerminal};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use strum::{EnumString, VariantNames};
use thiserror::Error;
use tracing::{Event, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Registry, reload};

use output::Output;
use record::{Form, Record};

pub use filter::LogFilter;

/// Variable with the log filter, as usual for Rust programs.
const FILTER_VARIABLE: &str = "RUST_LOG";

/// Target of the log's lines about itself.
const TARGET: &str = "nym_mixnode::log";

/// Longest time that the process waits at its end for the last lines to be written.
const LAST_LINES: Duration = Duration::from_secs(1);

/// Output format of the log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, EnumString, VariantNames)]
#[strum(serialize_all = "lowercase")]
pub enum LogFormat {
    /// The format of 0.9.2, for people.
    #[default]
    Text,
    /// One JSON object per line, for programs.
    Json,
}

/// The log cannot be started.
#[derive(Debug, Error)]
pub enum LogError {
    #[error("{FILTER_VARIABLE} {value:?} is not a log filter such as info or nym_mixnode=debug: {problem}")]
    BadFilter { value: String, problem: String },
    #[error("cannot start the log's thread: {0}")]
    Thread(#[source] io::Error),
    #[error("the process already has a log")]
    Started,
}

/// The log of this process.
struct Log {
    form: Arc<Form>,
    output: Arc<Output>,
    filter: reload::Handle<Targets, Registry>,
}

static LOG: OnceLock<Log> = OnceLock::new();

/// Starts the log of this process: as text at level `info`, unless `RUST_LOG` sets another filter.
///
/// # Errors
/// If `RUST_LOG` is not a valid filter, or the process already has a log.
pub fn start() -> Result<(), LogError> {
    let filter = filter_of_environment()?.unwrap_or_else(LogFilter::info);
    let colours = has_colours(io::stderr().is_terminal(), |name| env::var_os(name).is_some_and(|set| !set.is_empty()));
    let form = Arc::new(Form::new(colours, wall_clock));
    let output = Output::start(Arc::clone(&form), io::stderr()).map_err(LogError::Thread)?;
    let (layer, filter) = layer(&output, &filter);
    LOG.set(Log { form, output, filter }).map_err(|_| LogError::Started)?;
    tracing_subscriber::registry().with(layer).try_init().map_err(|_| LogError::Started)
}

/// Changes format and filter, from the next event on.
pub fn set(format: LogFormat, filter: &LogFilter) {
    if let Some(log) = LOG.get() {
        log.form.set_json(format == LogFormat::Json);
        // Fails only without a subscriber, and then there are no events.
        log.filter.reload(filter.build()).ok();
    }
}

/// The filter in `RUST_LOG`, if it is set.
///
/// # Errors
/// If it is not a valid filter.
pub fn filter_of_environment() -> Result<Option<LogFilter>, LogError> {
    let value = env::var_os(FILTER_VARIABLE).unwrap_or_default().to_string_lossy().into_owned();
    if value.is_empty() {
        return Ok(None);
    }
    value.parse().map(Some).map_err(|problem| LogError::BadFilter { value, problem })
}

/// Number of lines dropped since the start because standard error was blocked.
#[must_use]
pub fn lost_lines() -> u64 {
    LOG.get().map_or(0, |log| log.output.lost())
}

/// Waits briefly until all lines so far are written.
pub fn flush() {
    if let Some(log) = LOG.get() {
        log.output.flush(LAST_LINES);
    }
}

/// Whether log lines take the place of the terminal's last line, for commands that show their progress there.
pub fn clear_line(is_wanted: bool) {
    if let Some(log) = LOG.get() {
        log.output.clear_line(is_wanted);
    }
}

/// Keeps lines in the queue, unwritten, until it is dropped.
#[derive(Debug)]
pub struct Hold(());

/// Longest time for which lines are kept back, so that a start that hangs still logs.
const HOLD_MAX: Duration = Duration::from_secs(5);

/// Keeps the lines of the log back until the result is dropped, for at most 5 s.
#[must_use]
pub fn hold() -> Hold {
    hold_for(HOLD_MAX)
}

/// Like [`hold`], with another limit; lines that exceed the queue meanwhile are dropped and counted.
#[must_use]
pub fn hold_for(limit: Duration) -> Hold {
    if let Some(log) = LOG.get() {
        log.output.hold(limit);
    }
    Hold(())
}

impl Drop for Hold {
    fn drop(&mut self) {
        if let Some(log) = LOG.get() {
            log.output.release();
        }
    }
}

/// Writes a line unchanged, after the queued ones; returns `false` if there is no log yet.
pub fn write_line(line: &str) -> bool {
    LOG.get().is_some_and(|log| {
        log.output.push(line.to_owned());
        true
    })
}

/// Colours are used on a terminal that supports them, unless `NO_COLOR` is set.
fn has_colours(is_terminal: bool, is_set: impl Fn(&str) -> bool) -> bool {
    is_terminal && !is_set("NO_COLOR") && env::var_os("TERM").is_none_or(|term| term != "dumb")
}

type Filtered = tracing_subscriber::filter::Filtered<LogLayer, reload::Layer<Targets, Registry>, Registry>;

fn layer(output: &Arc<Output>, filter: &LogFilter) -> (Filtered, reload::Handle<Targets, Registry>) {
    let (filter, handle) = reload::Layer::new(filter.build());
    (LogLayer(Arc::clone(output)).with_filter(filter), handle)
}

/// Turns events into lines.
struct LogLayer(Arc<Output>);

impl<S: Subscriber> Layer<S> for LogLayer {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        self.0.take(event.metadata(), &Record::of(event));
    }
}

#[expect(clippy::disallowed_methods, reason = "a log line shows the date; no durations are measured with it")]
fn wall_clock() -> SystemTime {
    SystemTime::now()
}

#[cfg(any(test, feature = "testing"))]
mod captured;
#[cfg(test)]
mod tests;

#[cfg(any(test, feature = "testing"))]
pub use captured::Captured;
