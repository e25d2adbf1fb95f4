//! The command line: arguments of each command, error messages and exit codes.

mod addresses;
mod ca_file;
mod client;
mod config;
mod detect;
mod doctor;
mod failure;
mod first_start;
mod flags;
mod gateway;
mod health;
mod init;
mod keys;
mod load;
pub mod localnet;
mod log_settings;
mod manual;
pub mod monitor;
mod node_files;
mod output;
pub mod probe;
pub mod registry;
mod run;
mod status_line;
mod table_flags;
mod telemetry;
mod unregister;
mod upgrade;
mod volume;

use std::ffi::OsString;
use std::future::Future;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, Subcommand};
use nym_mixnode_keys::secrecy::forbid_memory_dumps;
use nym_mixnode_telemetry::log;
use tokio::runtime::Builder;

use crate::stop_request::StopSignals;

pub use failure::{Exit, Failure};

/// A mixnode for Nym mix networks
///
/// Mixnodes accept Sphinx packets, delay each one at random, and forward them, so that an observer of the network
/// cannot learn which users communicate with each other.
#[derive(Debug, Parser)]
#[command(
    name = "nym-mixnode",
    version = concat!(env!("CARGO_PKG_VERSION"), " (protocol 0.9.2)"),
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "Each command has its own help, such as `nym-mixnode init --help`.",
    max_term_width = 100
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Init(init::Args),
    Run(run::Args),
    Unregister(unregister::Args),
    Detect(detect::Args),
    Upgrade(upgrade::Args),
    Keys(keys::Args),
    Health(health::Args),
    Doctor(doctor::Args),
    Registry(registry::RegistryArgs),
    Probe(probe::ProbeArgs),
    Monitor(monitor::MonitorArgs),
    Localnet(localnet::LocalnetArgs),
    Gateway(gateway::Args),
    Client(client::Args),
    Config(config::Args),
    Telemetry(telemetry::Args),
    Completions(manual::CompletionsArgs),
    Man(manual::ManArgs),
}

/// Runs the command in `args`, whose first element is the program's name.
pub fn main(args: impl IntoIterator<Item: Into<OsString> + Clone>) -> ExitCode {
    crate::names::use_built_in_sources();
    let command = match Cli::try_parse_from(args) {
        Ok(cli) => cli.command,
        Err(error) => return answer_without_command(&error),
    };
    let ended = log::start().map_err(|error| Failure::new(Exit::CONFIG, error)).and_then(|()| command.run());
    let code = ended.map_or_else(|failure| report(&failure), |()| ExitCode::SUCCESS);
    log::flush();
    code
}

impl Command {
    fn run(self) -> Result<(), Failure> {
        if matches!(
            self,
            Self::Init(_) | Self::Run(_) | Self::Upgrade(_) | Self::Keys(_) | Self::Gateway(_) | Self::Client(_)
        ) {
            forbid_memory_dumps().map_err(|error| {
                Failure::new(Exit::TRY_AGAIN, format_args!("cannot keep the keys out of core dumps: {error}"))
            })?;
        }
        match self {
            Self::Init(args) => block_on(init::run(args)),
            Self::Run(args) => block_on(run::run(args)),
            Self::Unregister(args) => block_on(unregister::run(args)),
            Self::Detect(args) => block_on(detect::run(args)),
            Self::Upgrade(args) => upgrade::run(&args),
            Self::Keys(args) => keys::run(args),
            Self::Health(args) => block_on(health::run(args)),
            Self::Doctor(args) => block_on(doctor::run(args)),
            Self::Registry(args) => block_on(async { Ok(registry::run(args).await?) }),
            Self::Probe(args) => block_on(async { Ok(probe::run(args).await?) }),
            Self::Monitor(args) => block_on(async { Ok(monitor::run(args).await?) }),
            Self::Localnet(args) => block_on(async { Ok(localnet::run(args).await?) }),
            // Packets of clients are unwrapped beside the connections.
            Self::Gateway(args) => block_on_threads(gateway::run(args)),
            Self::Client(args) => block_on(client::run(args)),
            Self::Config(args) => config::run(args),
            Self::Telemetry(args) => telemetry::run(&args),
            Self::Completions(args) => manual::completions(&args, Cli::command()),
            Self::Man(args) => manual::man(args, Cli::command()),
        }
    }
}

/// Runs a command on a single-threaded runtime; commands that need more threads start them.
fn block_on(command: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    block_on_runtime(&mut Builder::new_current_thread(), command)
}

/// Runs a command whose tasks use all cores.
fn block_on_threads(command: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    block_on_runtime(&mut Builder::new_multi_thread(), command)
}

fn block_on_runtime(runtime: &mut Builder, command: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = runtime.enable_all().build();
    let runtime =
        runtime.map_err(|error| Failure::new(Exit::TRY_AGAIN, format!("cannot start the async runtime: {error}")))?;
    let outcome = runtime.block_on(command);
    // Do not wait for a name look-up that still runs in the background.
    runtime.shutdown_background();
    outcome
}

fn stop_signals() -> Result<StopSignals, Failure> {
    StopSignals::new().map_err(|error| no_signals(&error))
}

fn no_signals(error: &io::Error) -> Failure {
    Failure::new(Exit::TRY_AGAIN, format_args!("cannot receive signals: {error}"))
}

/// Prints help, the version, or the error of an invalid command line.
fn answer_without_command(error: &clap::Error) -> ExitCode {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            // A closed pipe is not an error.
            error.print().ok();
            ExitCode::SUCCESS
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            error.print().ok();
            Exit::USAGE.into()
        }
        _ => report(&Failure::new(Exit::USAGE, one_paragraph(&error.render().to_string()))),
    }
}

/// Reduces clap's error of several paragraphs to one line.
fn one_paragraph(text: &str) -> String {
    let lines = text.lines().map(str::trim);
    let message: Vec<_> =
        lines.take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more")).collect();
    let message = message.join(" ").split_whitespace().collect::<Vec<_>>().join(" ");
    message.strip_prefix("error: ").unwrap_or(&message).replace(" tip: ", "; ")
}

fn report(failure: &Failure) -> ExitCode {
    for line in failure.lines() {
        let line = format!("nym-mixnode: {line}");
        if !log::write_line(&line) {
            // If standard error is closed, the exit code still reports the failure.
            writeln!(io::stderr(), "{line}").ok();
        }
    }
    failure.exit.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use nym_mixnode_api::PROTOCOL_VERSION;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
        assert!(Cli::command().render_version().contains(PROTOCOL_VERSION));
    }

    #[test]
    fn claps_paragraphs_become_one() {
        let error = |line: &str| {
            let error = Cli::try_parse_from(line.split(' ')).expect_err(line);
            one_paragraph(&error.render().to_string())
        };
        for (line, values) in [
            ("nym-mixnode completions", &["<SHELL>"][..]),
            ("nym-mixnode run --id a --layre 1", &["'--layre'", "'--layer'"]),
            ("nym-mixnode run --id a --port x", &["'x'", "'--port <PORT>'"]),
        ] {
            let error = error(line);
            assert!(values.iter().all(|value| error.contains(value)), "{error}");
            assert!(!error.contains('\n') && !error.contains("Usage:") && !error.starts_with("error:"), "{error}");
        }
    }
}
