//! The registry of a run, on its own core, and its usage.

use std::env;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use url::Url;

use crate::REGISTRY_CORE;
use crate::support::pin_to_core;
use crate::support::usage::Usage;

pub(crate) struct Server {
    process: Child,
    pub(crate) url: Url,
}

/// Becomes the program with these arguments, on the registry's core.
pub(crate) fn serve(args: &[String]) {
    pin_to_core(REGISTRY_CORE..REGISTRY_CORE + 1);
    let other = env::var("BENCH_PROGRAM").ok();
    let program = other.as_deref().unwrap_or(env!("CARGO_BIN_EXE_nym-mixnode"));
    panic!("cannot run {program}: {}", Command::new(program).args(args).exec());
}

impl Server {
    /// Starts a registry with its store in `home`.
    pub(crate) fn start(home: &Path, flags: &[&str]) -> Self {
        let mut command = Command::new(env::current_exe().expect("this program"));
        command
            .args(["serve", "registry", "--listen", "127.0.0.1:0", "--allow-private", "--data"])
            .arg(home.join("registry.sqlite"));
        command.args(flags).env("RUST_LOG", "warn").stdin(Stdio::null()).stdout(Stdio::piped());
        if let Some(other) = env::args().skip(1).find(|argument| argument.contains('/')) {
            command.env("BENCH_PROGRAM", other);
        }
        let mut process = command.spawn().expect("a child process");
        let mut line = String::new();
        let stdout = process.stdout.take().expect("a pipe");
        BufReader::new(stdout).read_line(&mut line).expect("a line");
        let url = line.trim().strip_prefix("Registry serving at ").expect("the registry starts");
        let url = url.parse().expect("a URL");
        Self { process, url }
    }

    pub(crate) fn usage(&self) -> Usage {
        Usage::of(self.process.id())
    }

    pub(crate) fn stop(mut self) {
        kill_process(Pid::from_child(&self.process), Signal::TERM).expect("the registry runs");
        assert!(self.process.wait().expect("it ends").success(), "the registry failed");
    }
}

impl Drop for Server {
    /// Ends the process after a failure, too. Its errors mean that it has ended.
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}
