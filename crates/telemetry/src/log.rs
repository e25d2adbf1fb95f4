//! The log: one line an event on standard error, in the form that 0.9.2 has, or in JSON.
//!
//! ` 2020-05-05T16:01:07.802 INFO  nym_mixnode::node > Starting nym mixnode`
//!
//! What is logged follows the rule of this room: nothing of a single packet, and from INFO up nothing of a peer.

mod filter;
mod output;
mod record;
mod repeats;
mod target;

use std::env;
use std::io::{self, IsTerminal};
use std::str::FromStr;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use thiserror::Error;
use tracing::{Event, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Registry, reload};

use output::Output;
use record::{Form, Record};

pub use filter::LogFilter;

/// The variable that chooses what is logged, as everywhere in Rust.
const FILTER_VARIABLE: &str = "RUST_LOG";

/// Where the lines of the log about itself come from.
const TARGET: &str = "nym_mixnode::log";

/// How long the end of the process waits for a reader of the last lines.
const LAST_LINES: Duration = Duration::from_secs(1);

/// The form of the lines.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// As 0.9.2 has them, for people.
    #[default]
    Text,
    /// An object a line, for programs.
    Json,
}

/// The log cannot be started.
#[derive(Debug, Error)]
pub enum LogError {
    #[error("{FILTER_VARIABLE} {value:?} is not a log filter such as info or nym_mixnode=debug: {problem}")]
    BadFilter { value: String, problem: String },
    #[error("the log's thread cannot be started: {0}")]
    Thread(#[source] io::Error),
    #[error("the process has a log already")]
    Started,
}

/// The log of this process.
struct Log {
    form: Arc<Form>,
    output: Arc<Output>,
    filter: reload::Handle<Targets, Registry>,
}

static LOG: OnceLock<Log> = OnceLock::new();

/// Starts the log of this process: as text, and level `info`, unless `RUST_LOG` says otherwise.
///
/// # Errors
/// When `RUST_LOG` is no filter, or the process has a log already.
pub fn start() -> Result<(), LogError> {
    let filter = filter_of_environment()?.unwrap_or_else(LogFilter::info);
    let colours = has_colours(io::stderr().is_terminal(), |name| env::var_os(name).is_some_and(|set| !set.is_empty()));
    let form = Arc::new(Form::new(colours, wall_clock));
    let output = Output::start(Arc::clone(&form), io::stderr()).map_err(LogError::Thread)?;
    let (layer, filter) = layer(&output, &filter);
    LOG.set(Log { form, output, filter }).map_err(|_| LogError::Started)?;
    tracing_subscriber::registry().with(layer).try_init().map_err(|_| LogError::Started)
}

/// Changes form and filter, from the next event on.
pub fn set(format: LogFormat, filter: &LogFilter) {
    if let Some(log) = LOG.get() {
        log.form.set_json(format == LogFormat::Json);
        // Fails only when the subscriber is gone, and with it all events.
        log.filter.reload(filter.build()).ok();
    }
}

/// What `RUST_LOG` says, if anything.
///
/// # Errors
/// When that is no filter.
pub fn filter_of_environment() -> Result<Option<LogFilter>, LogError> {
    let value = env::var_os(FILTER_VARIABLE).unwrap_or_default().to_string_lossy().into_owned();
    if value.is_empty() {
        return Ok(None);
    }
    value.parse().map(Some).map_err(|problem| LogError::BadFilter { value, problem })
}

/// Lines that were lost since the start, because standard error took no more.
#[must_use]
pub fn lost_lines() -> u64 {
    LOG.get().map_or(0, |log| log.output.lost())
}

/// Waits a moment for the lines so far to be written.
pub fn flush() {
    if let Some(log) = LOG.get() {
        log.output.flush(LAST_LINES);
    }
}

/// While it lives, lines wait in the queue instead of being written.
#[derive(Debug)]
pub struct Hold(());

/// Longest time for which lines are held: a start that hangs must not hang in silence.
const HOLD_MAX: Duration = Duration::from_secs(5);

/// Holds the lines of the log back until the result is dropped, or for 5 s.
#[must_use]
pub fn hold() -> Hold {
    hold_for(HOLD_MAX)
}

/// As [`hold`], for another time: lines that find no room until then are lost and counted.
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

/// Writes a line as it is, behind those of the log; `false` when there is no log yet.
pub fn write_line(line: &str) -> bool {
    LOG.get().is_some_and(|log| {
        log.output.push(line.to_owned());
        true
    })
}

/// Colours are for terminals, unless `NO_COLOR` asks for none or the terminal has none.
fn has_colours(is_terminal: bool, is_set: impl Fn(&str) -> bool) -> bool {
    is_terminal && !is_set("NO_COLOR") && env::var_os("TERM").is_none_or(|term| term != "dumb")
}

type Filtered = tracing_subscriber::filter::Filtered<LogLayer, reload::Layer<Targets, Registry>, Registry>;

fn layer(output: &Arc<Output>, filter: &LogFilter) -> (Filtered, reload::Handle<Targets, Registry>) {
    let (filter, handle) = reload::Layer::new(filter.build());
    (LogLayer(Arc::clone(output)).with_filter(filter), handle)
}

/// Events become lines here.
struct LogLayer(Arc<Output>);

impl<S: Subscriber> Layer<S> for LogLayer {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        self.0.take(event.metadata(), &Record::of(event));
    }
}

impl LogFormat {
    /// The words for it.
    pub const NAMES: [&'static str; 2] = ["text", "json"];
}

impl FromStr for LogFormat {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(()),
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a log line shows the date; nothing is timed by it")]
fn wall_clock() -> SystemTime {
    SystemTime::now()
}

#[cfg(any(test, feature = "testing"))]
mod captured;
#[cfg(test)]
#[path = "log/log_tests.rs"]
mod tests;

#[cfg(any(test, feature = "testing"))]
pub use captured::Captured;
