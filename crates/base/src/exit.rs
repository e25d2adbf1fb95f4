//! Exit codes of the program.

use std::process::ExitCode;

/// Exit code: from sysexits, 1 for an unhealthy node, or 128 plus a signal's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exit(u8);

macro_rules! exits {
    ($($(#[$doc:meta])* $name:ident = $code:literal;)*) => {
        impl Exit {
            $($(#[$doc])* pub const $name: Self = Self($code);)*

            /// Every exit code except 0.
            pub const ALL: &[Self] = &[$(Self::$name),*];
        }
    };
}

exits! {
    /// The node is unhealthy.
    UNHEALTHY = 1;
    /// The command line is invalid.
    USAGE = 64;
    /// The contents of a file are invalid, or the registry rejects what it was sent.
    DATA = 65;
    /// A required service or address is unavailable.
    UNAVAILABLE = 69;
    /// A bug, or a processor that computes wrongly.
    INTERNAL = 70;
    /// The system lacks a resource that the node needs.
    NO_RESOURCES = 71;
    /// A file cannot be created.
    CANNOT_CREATE = 73;
    /// Reading or writing failed.
    IO = 74;
    /// A temporary failure: a retry may succeed.
    TRY_AGAIN = 75;
    /// Permission denied.
    PERMISSION = 77;
    /// The configuration is missing or invalid.
    CONFIG = 78;
    /// A second SIGINT.
    INTERRUPTED = 130;
    /// A second SIGTERM.
    TERMINATED = 143;
}

impl Exit {
    /// The code as a number.
    pub const fn code(self) -> u8 {
        self.0
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.0)
    }
}
