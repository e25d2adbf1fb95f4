//! The log: one line an event on standard error, in the form that 0.9.2 has.
//!
//! ` 2020-05-05T16:01:07.802 INFO  nym_mixnode::node > Starting nym mixnode`

use std::env;
use std::fmt;
use std::io::{self, IsTerminal};
use std::time::SystemTime;

use console::{Color, Style};
use thiserror::Error;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::{EnvFilter, LevelFilter};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// The variable that chooses what is logged, as everywhere in Rust.
const FILTER_VARIABLE: &str = "RUST_LOG";

/// The log cannot be started.
#[derive(Debug, Error)]
pub enum LogError {
    #[error("{FILTER_VARIABLE} {value:?} is not a log filter such as info or nym_mixnode=debug: {problem}")]
    BadFilter { value: String, problem: String },
    #[error("the process has a log already")]
    Started,
}

/// Starts the log of this process: level `info`, unless `RUST_LOG` says otherwise.
///
/// # Errors
/// When `RUST_LOG` is no filter, or the process has a log already.
pub fn start() -> Result<(), LogError> {
    let filter = env::var_os(FILTER_VARIABLE).unwrap_or_default();
    tracing_subscriber::fmt()
        .with_env_filter(parse_filter(&filter.to_string_lossy())?)
        .with_ansi(io::stderr().is_terminal())
        .with_writer(io::stderr)
        .event_format(Line { now: wall_clock })
        .try_init()
        .map_err(|_| LogError::Started)
}

fn parse_filter(value: &str) -> Result<EnvFilter, LogError> {
    EnvFilter::builder()
        .with_default_directive(LevelFilter::INFO.into())
        .parse(value)
        .map_err(|error| LogError::BadFilter { value: value.to_owned(), problem: error.to_string() })
}

#[expect(clippy::disallowed_methods, reason = "a log line shows the date; nothing is timed by it")]
fn wall_clock() -> SystemTime {
    SystemTime::now()
}

/// The form of a line.
struct Line {
    now: fn() -> SystemTime,
}

impl<S, N> FormatEvent<S, N> for Line
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, ctx: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let time = humantime::format_rfc3339_millis((self.now)()).to_string();
        let (level, target) = (event.metadata().level(), event.metadata().target());
        let style = |style: Style| style.force_styling(writer.has_ansi_escapes());
        let level = style(Style::new().fg(color_of(*level))).apply_to(level);
        let target = style(Style::new().bold()).apply_to(target);
        write!(writer, " {} {level:<5} {target} > ", time.trim_end_matches('Z'))?;
        ctx.field_format().format_fields(writer.by_ref(), event)?;
        writeln!(writer)
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::sync::{Arc, Mutex};
    use std::time::{Duration, UNIX_EPOCH};

    #[derive(Clone, Default)]
    struct Captured(Arc<Mutex<Vec<u8>>>);

    impl Write for Captured {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What `log` logs at 2020-05-05T16:01:07.802.
    fn captured(filter: &str, colours: bool, log: impl FnOnce()) -> String {
        let captured = Captured::default();
        let writer = captured.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_env_filter(parse_filter(filter).unwrap())
            .with_ansi(colours)
            .with_writer(move || writer.clone())
            .event_format(Line { now: || UNIX_EPOCH + Duration::from_millis(1_588_694_467_802) })
            .finish();
        tracing::subscriber::with_default(subscriber, log);
        String::from_utf8(captured.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn a_line_looks_as_in_0_9_2() {
        let log = captured("", false, || {
            tracing::info!(target: "nym_mixnode::node", "Starting nym mixnode");
            tracing::error!(target: "nym_mixnode::node", peers = 3, address = %"[::1]:1789", "Out of {}", "luck");
        });
        assert_eq!(
            log,
            " 2020-05-05T16:01:07.802 INFO  nym_mixnode::node > Starting nym mixnode\n \
             2020-05-05T16:01:07.802 ERROR nym_mixnode::node > Out of luck peers=3 address=[::1]:1789\n"
        );
    }

    #[test]
    fn info_is_the_default_and_the_filter_changes_it() {
        let log = || {
            tracing::debug!(target: "a", "debug");
            tracing::info!(target: "b", "info");
            tracing::warn!(target: "b", "warn");
        };
        let logged = |filter| captured(filter, false, log).lines().map(|l| l[31..].to_owned()).collect::<Vec<_>>();
        assert_eq!(logged(""), ["b > info", "b > warn"]);
        assert_eq!(logged("warn,a=debug"), ["a > debug", "b > warn"]);
        assert_eq!(logged("off"), [""; 0]);
        assert!(parse_filter("nym=loud").unwrap_err().to_string().contains("\"nym=loud\""));
    }

    #[test]
    fn colours_are_for_terminals() {
        let log = || tracing::info!(target: "a", "hello");
        assert!(!captured("", false, log).contains('\u{1b}'));
        let coloured = captured("", true, log);
        assert!(coloured.contains("\u{1b}[32mINFO \u{1b}[0m"), "{coloured:?}");
    }
}
