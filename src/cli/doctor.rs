//! `doctor`: examines a node from the machine it runs on.

use std::cell::Cell;
use std::io;

use console::{Color, Style, Term};
use nym_mixnode_config::{Config, NodeHome, Role};
use nym_mixnode_telemetry::otel::Telemetry;
use serde::Serialize;

use super::addresses::{Found, find_missing};
use super::flags::{NodeFlags, OverrideFlags};
use super::load::{Sources, StartSettings};
use super::output::print_to;
use super::status_line::StatusLine;
use super::{Exit, Failure};
use crate::doctor::{self, Finding, Level, Target};
use crate::text::hanging;

/// Check a mixnode for problems that keep it from mixing, and print how to fix them
///
/// Checks the configuration, the keys, the addresses, the limits, the connectivity, the directory and the
/// registration. If the node runs and is listed, packets are sent through it as well. If the node was started with
/// flags that override its file, give the same flags here.
#[derive(Debug, clap::Args)]
#[command(after_help = "The exit code is 1 when a check failed, and 0 otherwise, also with warnings.")]
pub(super) struct Args {
    #[command(flatten)]
    node: NodeFlags,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
    /// Send no packets through the node
    #[arg(long)]
    no_probe: bool,
    #[command(flatten)]
    settings: OverrideFlags,
}

/// Columns where the name of a check and its message begin.
const CHECK_COLUMN: usize = 9;
const MESSAGE_COLUMN: usize = 24;
/// Width from which further lines begin below the message; in a narrower terminal below the name of the check.
const WIDE: u16 = 80;

/// Output of `--json`.
#[derive(Debug, Serialize)]
struct Report {
    worst: Level,
    findings: Vec<Finding>,
}

pub(super) async fn run(args: Args) -> Result<(), Failure> {
    run_as(Role::Mixnode, args).await
}

/// Examines a node of this role.
pub(super) async fn run_as(role: Role, args: Args) -> Result<(), Failure> {
    let mut findings = Vec::new();
    let mut unwritten = None;
    let status = StatusLine::new(!args.json);
    let width = Term::stdout().size_checked().map(|(_, columns)| columns);
    let report = |finding: Finding| {
        if !args.json {
            status.clear();
            unwritten = unwritten.take().or(print_to(io::stdout(), line(&finding, width)).err());
        }
        findings.push(finding);
    };
    let home = args.node.home_of(role)?;
    let doing = Cell::new("detecting the announce addresses");
    tokio::select! {
        () = examine(&args, &home, &doing, report) => {}
        never = status.show_every_second(|| doing.get()) => match never {},
    }
    drop(status);
    if let Some(failure) = unwritten {
        return Err(failure);
    }
    finish(findings, args.json)
}

async fn examine(args: &Args, home: &NodeHome, doing: &Cell<&'static str>, mut report: impl FnMut(Finding)) {
    let mut sources = Sources::read(home, &args.node.id, &args.settings.values(&args.node));
    args.settings.move_port(&mut sources);
    match sources.start() {
        Ok(StartSettings { mut config, .. }) => {
            let lacking = find_announced(&mut config).await;
            let file = home.config_file();
            let place = if file.exists() { file.display().to_string() } else { "the environment".to_owned() };
            report(Finding::ok("configuration", format!("{place} is valid")));
            let target = Target { home, config: &config, naming: args.node.to_string(), lacking };
            doctor::examine(&target, !args.no_probe, doing, report).await;
        }
        Err(failure) => failure.lines().iter().for_each(|line| report(Finding::failed("configuration", line))),
    }
}

/// Completes the configuration as `run` does; a missing address becomes a finding.
async fn find_announced(config: &mut Config) -> Option<Finding> {
    match find_missing(config, &Telemetry::default()).await {
        Ok(Some(Found { detection, .. })) if detection.is_awaited => {
            let fix = "wait for the cloud: the node registers by itself once it has an address";
            Some(Finding::warning("announce", format!("no address yet: {}", detection.tried()), fix))
        }
        Ok(found) => {
            config.announce.addresses.extend(found.into_iter().flat_map(|found| found.detection.announce));
            None
        }
        Err(failure) => Some(Finding::failed("announce", failure.to_string())),
    }
}

fn finish(findings: Vec<Finding>, json: bool) -> Result<(), Failure> {
    let worst = findings.iter().map(|finding| finding.level).max().unwrap_or(Level::Ok);
    let failed = findings.iter().filter(|finding| finding.level == Level::Failed).count();
    let checks = findings.len();
    if json {
        let report = serde_json::to_string_pretty(&Report { worst, findings });
        print_to(io::stdout(), report.map_err(|error| Failure::new(Exit::IO, error))?)?;
    }
    if failed == 0 {
        return Ok(());
    }
    Err(Failure::new(Exit::UNHEALTHY, format_args!("{failed} of {checks} checks failed")))
}

/// Formats one aligned line, or, on a terminal of this width, as many as needed; coloured on a terminal.
fn line(finding: &Finding, width: Option<u16>) -> String {
    let (word, color) = match finding.level {
        Level::Ok => ("ok", Color::Green),
        Level::Warning => ("warning", Color::Yellow),
        Level::Failed => ("failed", Color::Red),
    };
    let word = Style::new().fg(color).apply_to(format_args!("{word:<7}")).to_string();
    let fix = finding.fix.as_ref().map(|fix| format!("; {fix}")).unwrap_or_default();
    // Text from a directory is untrusted: keep one line, without control characters.
    let words = Failure::new(Exit::UNHEALTHY, format_args!("{}{fix}", finding.message));
    let text = format!("{:<13}  {words}", finding.check);
    let first = format!("{word}  ");
    match width {
        Some(width) if width >= WIDE => hanging(&first, &text, width, MESSAGE_COLUMN),
        Some(width) => hanging(&first, &text, width, CHECK_COLUMN),
        None => format!("{first}{text}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_aligned_and_end_in_the_fix() {
        console::set_colors_enabled(false);
        assert_eq!(line(&Finding::ok("keys", "whole"), None), "ok       keys           whole");
        let warning = Finding::warning("configuration", "a\nb", "do this");
        assert_eq!(line(&warning, None), "warning  configuration  a b; do this");
        assert_eq!(line(&warning, Some(100)), "warning  configuration  a b; do this");
    }

    #[test]
    fn lines_break_between_words_at_the_width_of_the_terminal() {
        console::set_colors_enabled(false);
        let finding = Finding::warning("announce", "one two three four five six seven eight", "nine ten eleven twelve");
        for (width, indent) in [(40, CHECK_COLUMN), (60, CHECK_COLUMN), (80, MESSAGE_COLUMN)] {
            let text = line(&finding, Some(width));
            let lines: Vec<_> = text.lines().collect();
            assert!(lines.len() > 1 && lines.iter().all(|line| line.len() <= width.into()), "{text}");
            let indents = lines[1..].iter().map(|line| line.len() - line.trim_start().len());
            assert!(indents.into_iter().all(|spaces| spaces == indent), "{text}");
            let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
            assert_eq!(words, line(&finding, None).split_whitespace().collect::<Vec<_>>().join(" "));
        }
    }

    #[test]
    fn only_a_failure_decides_the_exit_code() {
        let (good, bad) = (Finding::warning("clock", "late", "set it"), Finding::failed("keys", "gone"));
        assert_eq!(finish(vec![good.clone()], false), Ok(()));
        let failure = finish(vec![good, bad], false).unwrap_err();
        assert_eq!((failure.exit, failure.to_string().as_str()), (Exit::UNHEALTHY, "1 of 2 checks failed"));
    }
}
