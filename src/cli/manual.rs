//! `completions` and `man`: shell completions and manual pages, generated from the command line.

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;

use clap::Command;
use clap_complete::Shell;
use clap_mangen::Man;

use super::output::write_stdout;
use super::{Exit, Failure};

/// Print the completion script for a shell
///
/// For bash: nym-mixnode completions bash >/usr/share/bash-completion/completions/nym-mixnode
#[derive(Debug, clap::Args)]
pub(super) struct CompletionsArgs {
    #[arg(value_name = "SHELL", value_parser = parse_shell)]
    shell: Shell,
}

/// Print the manual page, or write the pages of all commands to a directory
#[derive(Debug, clap::Args)]
pub(super) struct ManArgs {
    /// Write one page for each command to this directory, such as /usr/local/share/man/man1
    #[arg(value_name = "DIR")]
    dir: Option<PathBuf>,
}

pub(super) fn completions(args: &CompletionsArgs, mut command: Command) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, "nym-mixnode", &mut script);
    print(&script)
}

pub(super) fn man(args: ManArgs, command: Command) -> Result<(), Failure> {
    let Some(dir) = args.dir else {
        let mut page = Vec::new();
        Man::new(command.disable_help_subcommand(true)).render(&mut page).map_err(|error| unwritten(&error))?;
        return print(&page);
    };
    let written = fs::create_dir_all(&dir).and_then(|()| clap_mangen::generate_to(command, &dir));
    written.map_err(|error| {
        Failure::new(Exit::CANNOT_CREATE, format_args!("cannot write the pages to {}: {error}", dir.display()))
    })
}

/// Supported shells.
fn parse_shell(word: &str) -> Result<Shell, String> {
    match word {
        "bash" => Ok(Shell::Bash),
        "zsh" => Ok(Shell::Zsh),
        "fish" => Ok(Shell::Fish),
        _ => Err("not one of bash, zsh and fish".to_owned()),
    }
}

fn print(bytes: &[u8]) -> Result<(), Failure> {
    write_stdout(|out| out.write_all(bytes)).map_err(|error| unwritten(&error))
}

fn unwritten(error: &io::Error) -> Failure {
    Failure::new(Exit::IO, format_args!("cannot write the output: {error}"))
}
