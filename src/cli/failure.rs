//! A command's failure: one line for each problem, and an exit code.

use std::{fmt, io};

use nym_mixnode_address::DetectError;
pub use nym_mixnode_base::exit::Exit;
use nym_mixnode_base::open_files::LimitError;
use nym_mixnode_base::staging::CreateError;
use nym_mixnode_base::text::is_hidden;
use nym_mixnode_config::RunsAlready;
use nym_mixnode_config::home::HomeError;
use nym_mixnode_config::migrate::MigrateError;
use nym_mixnode_config::{ConfigError, ConfigErrors, InvalidValue, Source};
use nym_mixnode_directory::DirectoryError;
use nym_mixnode_keys::KeyError;
use nym_mixnode_keys::archive::ArchiveError;

use crate::cli::probe::ProbeError;
use crate::cli::registry::RegistryCommandError;
use crate::localnet::LocalnetError;
use crate::node::NodeError;

/// Why a command failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    pub exit: Exit,
    lines: Vec<String>,
}

impl Failure {
    /// Takes what failed, on which value, and what to do; escapes values so that the message stays one line.
    pub fn new(exit: Exit, message: impl fmt::Display) -> Self {
        Self::all(exit, [message])
    }

    /// Like [`Failure::new`], for several problems.
    pub fn all(exit: Exit, messages: impl IntoIterator<Item: fmt::Display>) -> Self {
        Self { exit, lines: messages.into_iter().map(one_line).collect() }
    }

    /// Appends advice to the last problem.
    #[must_use]
    pub fn with_advice(mut self, advice: impl fmt::Display) -> Self {
        if let Some(last) = self.lines.last_mut() {
            *last = one_line(format_args!("{last}: {advice}"));
        }
        self
    }

    /// Puts other problems before those of this failure.
    #[must_use]
    pub fn after(mut self, messages: impl IntoIterator<Item: fmt::Display>) -> Self {
        self.lines.splice(0..0, messages.into_iter().map(one_line));
        self
    }

    /// Problems, one line each.
    pub fn lines(&self) -> &[String] {
        &self.lines
    }
}

fn one_line(message: impl fmt::Display) -> String {
    let mut line = String::new();
    for c in message.to_string().chars() {
        match c {
            '\n' | '\r' | '\t' => line.push(' '),
            // Control characters from files and servers must not reach the operator's terminal.
            c if is_hidden(c) => line.extend(c.escape_default()),
            c => line.push(c),
        }
    }
    line
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.lines.join("\n"))
    }
}

/// Error types that are one problem, each with its exit code.
macro_rules! failure_from {
    ($($error:ty: $exit:expr;)*) => {$(
        impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                let exit: fn(&$error) -> Exit = $exit;
                Self::new(exit(&error), error)
            }
        }
    )*};
}

failure_from! {
    NodeError: |error| error.exit_code();
    DirectoryError: |error| error.exit_code();
    RegistryCommandError: |error| error.exit_code();
    ProbeError: |error| error.exit_code();
    LocalnetError: |error| error.exit_code();
    DetectError: |_| Exit::UNAVAILABLE;
    LimitError: |_| Exit::NO_RESOURCES;
    HomeError: |_| Exit::CONFIG;
    RunsAlready: |_| Exit::TRY_AGAIN;
    CreateError: |error| match error {
        CreateError::Io { source, .. } if is_denied(source) => Exit::PERMISSION,
        CreateError::Exists(_) | CreateError::Io { .. } => Exit::CANNOT_CREATE,
        CreateError::Busy(_) => Exit::TRY_AGAIN,
    };
    MigrateError: |error| match error {
        MigrateError::Read { source, .. } => read_exit(source),
        MigrateError::Older { .. } => Exit::CONFIG,
    };
}

impl From<ConfigErrors> for Failure {
    fn from(errors: ConfigErrors) -> Self {
        let of_flag =
            |error: &ConfigError| matches!(error, ConfigError::Invalid(InvalidValue { place: Source::Flag(_), .. }));
        let exit = match errors.iter().next() {
            Some(ConfigError::Read { source, .. }) => read_exit(source),
            _ if errors.iter().all(of_flag) => Exit::USAGE,
            _ => Exit::CONFIG,
        };
        Self::all(exit, errors.iter())
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        ConfigErrors::from(error).into()
    }
}

impl From<KeyError> for Failure {
    fn from(error: KeyError) -> Self {
        let exit = match &error {
            KeyError::Missing(_) => Exit::CONFIG,
            KeyError::Loose { .. } | KeyError::LooseDir { .. } | KeyError::ForeignOwner { .. } => Exit::PERMISSION,
            KeyError::Read { source, .. } => read_exit(source),
            KeyError::NotPem { .. }
            | KeyError::WrongKind { .. }
            | KeyError::WrongLength { .. }
            | KeyError::Mismatch { .. } => Exit::DATA,
            KeyError::Generate(_) => Exit::TRY_AGAIN,
            KeyError::Create(_) => Exit::CANNOT_CREATE,
        };
        match error {
            KeyError::Create(error) => error.into(),
            error => Self::new(exit, error),
        }
    }
}

impl From<ArchiveError> for Failure {
    fn from(error: ArchiveError) -> Self {
        match error {
            ArchiveError::Keys(error) => error.into(),
            ArchiveError::Encrypt(_) => Self::new(Exit::TRY_AGAIN, error),
            error => Self::new(Exit::DATA, error),
        }
    }
}

pub(super) fn read_exit(error: &io::Error) -> Exit {
    match error.kind() {
        io::ErrorKind::InvalidData | io::ErrorKind::FileTooLarge => Exit::DATA,
        _ if is_denied(error) => Exit::PERMISSION,
        _ => Exit::IO,
    }
}

fn is_denied(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::PermissionDenied
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_one_line_without_control_characters() {
        let failure = Failure::new(Exit::USAGE, "a\nb\u{1b}[2J\tc").with_advice("do\r\nthis");
        assert_eq!(failure.to_string(), "a b\\u{1b}[2J c: do  this");
        assert_eq!(failure.exit, Exit::USAGE);
    }

    #[test]
    fn several_problems_are_several_lines_and_the_advice_is_with_the_last() {
        let failure = Failure::all(Exit::CONFIG, ["a\nb", "c"]).with_advice("d");
        assert_eq!(failure.lines(), ["a b", "c: d"]);
    }
}
