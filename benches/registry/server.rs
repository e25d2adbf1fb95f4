//! The registry of a run, on its own core, and its resource usage.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::{env, fs};

use rustix::process::{Pid, Signal, kill_process};
use url::Url;

use crate::REGISTRY_CORE;
use crate::support::pin_to_core;

/// Kernel ticks per second, the unit of CPU time in /proc.
const TICKS_PER_SECOND: f64 = 100.0;

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

    /// CPU time so far, in the kernel and outside.
    pub(crate) fn cpu_seconds(&self) -> f64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.process.id())).expect("the registry runs");
        let fields: Vec<&str> = stat.rsplit_once(')').expect("a name").1.split_whitespace().collect();
        [11, 12].iter().map(|field| fields[*field].parse::<f64>().expect("ticks") / TICKS_PER_SECOND).sum()
    }

    pub(crate) fn resident_mib(&self) -> f64 {
        self.status_mib("VmRSS")
    }

    pub(crate) fn peak_mib(&self) -> f64 {
        self.status_mib("VmHWM")
    }

    fn status_mib(&self, field: &str) -> f64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id())).expect("the registry runs");
        let line = status.lines().find(|line| line.starts_with(field)).expect("a field");
        line.split_whitespace().nth(1).and_then(|kib| kib.parse::<f64>().ok()).expect("a number") / 1024.0
    }

    pub(crate) fn stop(mut self) {
        kill_process(Pid::from_child(&self.process), Signal::TERM).expect("the registry runs");
        assert!(self.process.wait().expect("it ends").success(), "the registry failed");
    }
}
