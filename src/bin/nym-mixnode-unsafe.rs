//! The program with traces of single packets, for development on loopback: everything is in the library.

use std::env;
use std::process::ExitCode;

fn main() -> ExitCode {
    nym_mixnode::cli::main(env::args_os())
}
