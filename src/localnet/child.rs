//! Child processes that never outlive this process.
//!
//! Three mechanisms ensure this: a child exits when its standard input closes, which the end of this process causes;
//! the kernel kills it with its parent (`--supervised`); and dropping its handle kills it.

use std::ffi::OsString;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Output, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use super::error::LocalnetError;

const LOG_FILE: &str = "stderr.log";
/// Number of log lines printed for a failed process.
const LAST_LINES_BYTES: u64 = 4096;
const LAST_LINES: usize = 5;
/// Prefix of variables that children must not inherit: the user may run another node.
const OWN_VARIABLES_PREFIX: &str = "NYM_";

/// Lines of a child's standard output.
pub(super) type Events = Lines<BufReader<ChildStdout>>;

/// Unexpected end of a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Death {
    /// Name of the process.
    pub(super) who: String,
    /// How it ended, such as `killed by signal 9 (SIGKILL)`.
    pub(super) how: String,
    /// Last lines of its log, joined to one.
    pub(super) last_log_lines: String,
}

impl Death {
    /// Formats the death with the last log lines.
    pub(super) fn in_full(&self) -> String {
        format!("{self}; last log lines: {}", self.last_log_lines)
    }
}

impl fmt::Display for Death {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} died: {}", self.who, self.how)
    }
}

/// A running child process. Dropping it kills it.
#[derive(Debug)]
pub(super) struct Child {
    name: String,
    process: tokio::process::Child,
    log: PathBuf,
    /// How it ended by itself, once known.
    death: Option<Death>,
    /// Never written to: when it closes, the child exits.
    _stdin: Option<ChildStdin>,
}

impl Child {
    /// Starts this executable with these arguments; standard error goes to a file in `home`.
    ///
    /// The calling thread must live as long as the child should: the kernel treats the end of the spawning
    /// *thread* as the death of the parent.
    pub(super) fn spawn(name: &str, arguments: &[OsString], home: &Path) -> Result<(Self, Events), LocalnetError> {
        let fail = |reason| LocalnetError::Spawn { name: name.to_owned(), reason };
        let log = home.join(LOG_FILE);
        let mut command = command(arguments).map_err(fail)?;
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        command.stderr(open_log(&log).map_err(fail)?);
        let mut process = command.spawn().map_err(fail)?;
        let no_pipe = || fail(io::Error::other("its standard output is not piped"));
        let events = BufReader::new(process.stdout.take().ok_or_else(no_pipe)?).lines();
        let stdin = process.stdin.take();
        Ok((Self { name: name.to_owned(), process, log, death: None, _stdin: stdin }, events))
    }

    /// Requests an orderly stop. Does nothing if the child has already ended.
    pub(super) fn terminate(&self) {
        let pid = self.process.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        // The process id is not reused before the child is waited for.
        if let Some(pid) = pid
            && let Err(error) = kill_process(pid, Signal::TERM)
        {
            tracing::debug!(name = self.name, %error, "cannot signal child");
        }
    }

    /// Waits for the end requested by [`Child::terminate`]; returns a problem with it, if any.
    pub(super) async fn join(&mut self, limit: Duration) -> Result<(), String> {
        match timeout(limit, self.process.wait()).await {
            Ok(Ok(status)) if self.death.is_some() || status.success() => Ok(()),
            Ok(Ok(status)) => Err(self.describe(status).in_full()),
            Ok(Err(error)) => Err(format!("{}: {error}", self.name)),
            Err(_) => Err(format!("{} did not stop within {} s and was killed", self.name, limit.as_secs())),
        }
    }

    /// How the child ended, if it ended by itself and was not reported yet.
    pub(super) fn new_death(&mut self) -> Option<Death> {
        if self.death.is_some() {
            return None;
        }
        let status = self.process.try_wait().ok()??;
        self.death = Some(self.describe(status));
        self.death.clone()
    }

    /// How the child ended, once [`Child::new_death`] has reported it.
    pub(super) const fn death(&self) -> Option<&Death> {
        self.death.as_ref()
    }

    fn describe(&self, status: ExitStatus) -> Death {
        Death { who: self.name.clone(), how: how_it_ended(status), last_log_lines: last_lines(&self.log) }
    }
}

/// Describes the exit code, or the signal's number and name.
fn how_it_ended(status: ExitStatus) -> String {
    let words = status.to_string();
    match (status.code(), words.strip_prefix("signal: ")) {
        (Some(code), _) => format!("exited with code {code}"),
        (None, Some(signal)) => format!("killed by signal {signal}"),
        (None, None) => words,
    }
}

/// Runs this executable to its end, and requires success.
pub(super) async fn run_to_end(name: &str, arguments: &[OsString], home: &Path) -> Result<(), LocalnetError> {
    let fail = |reason| LocalnetError::Spawn { name: name.to_owned(), reason };
    let log = home.join(LOG_FILE);
    let mut command = command(arguments).map_err(fail)?;
    command.stdin(Stdio::null()).stdout(open_log(&log).map_err(fail)?).stderr(open_log(&log).map_err(fail)?);
    let status = command.status().await.map_err(fail)?;
    if status.success() {
        return Ok(());
    }
    Err(LocalnetError::NotReady(format!("{name} failed ({status}): {}", last_lines(&log))))
}

/// Runs this executable to its end, and returns what it has printed.
pub(super) async fn output_of(arguments: &[OsString], home: &Path) -> Result<Output, LocalnetError> {
    let name = || arguments.iter().take(2).map(|argument| argument.to_string_lossy()).collect::<Vec<_>>().join(" ");
    let fail = |reason| LocalnetError::Spawn { name: name(), reason };
    fs::create_dir_all(home).map_err(fail)?;
    let mut command = command(arguments).map_err(fail)?;
    command.stdin(Stdio::null()).output().await.map_err(fail)
}

/// Starts this executable as a process that outlives this one and detects its end by the end of standard input.
pub(super) fn spawn_survivor(name: &str, arguments: &[OsString]) -> Result<ChildStdin, LocalnetError> {
    let fail = |reason| LocalnetError::Spawn { name: name.to_owned(), reason };
    let mut command = command(arguments).map_err(fail)?;
    // It must not keep inherited streams open, whose readers wait for their end.
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(false);
    let mut process = command.spawn().map_err(fail)?;
    process.stdin.take().ok_or_else(|| fail(io::Error::other("its standard input is not piped")))
}

fn command(arguments: &[OsString]) -> io::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    // Own process group: only this process receives the terminal's Ctrl-C, and stops the children in order.
    command.args(arguments).kill_on_drop(true).process_group(0);
    for (variable, _) in std::env::vars_os() {
        if variable.to_string_lossy().starts_with(OWN_VARIABLES_PREFIX) {
            command.env_remove(variable);
        }
    }
    // A proxy cannot reach this machine's loopback addresses.
    command.env("NO_PROXY", "127.0.0.1,::1");
    Ok(command)
}

fn open_log(path: &Path) -> io::Result<File> {
    if let Some(home) = path.parent() {
        fs::create_dir_all(home)?;
    }
    File::options().create(true).append(true).open(path)
}

/// Last lines of a log, joined to one.
fn last_lines(log: &Path) -> String {
    let read = || -> io::Result<Vec<u8>> {
        let mut file = File::open(log)?;
        let start = file.metadata()?.len().saturating_sub(LAST_LINES_BYTES);
        file.seek(SeekFrom::Start(start))?;
        let mut bytes = Vec::new();
        file.take(LAST_LINES_BYTES).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    match read() {
        Ok(bytes) if bytes.is_empty() => "none".to_owned(),
        Ok(bytes) => {
            let text = String::from_utf8_lossy(&bytes);
            let mut lines: Vec<&str> = text.lines().rev().take(LAST_LINES).map(str::trim).collect();
            lines.reverse();
            lines.join(" | ")
        }
        Err(error) => format!("not readable: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_log_is_one_line() {
        let home = tempfile::tempdir().unwrap();
        let log = home.path().join(LOG_FILE);
        assert!(last_lines(&log).starts_with("not readable"));
        fs::write(&log, "").unwrap();
        assert_eq!(last_lines(&log), "none");
        let lines: Vec<String> = (0..2000).map(|i| format!("line {i}")).collect();
        fs::write(&log, lines.join("\n")).unwrap();
        assert_eq!(last_lines(&log), "line 1995 | line 1996 | line 1997 | line 1998 | line 1999");
    }

    #[test]
    fn an_end_is_described_by_its_exit_code_or_signal() {
        let run = |script: &str| std::process::Command::new("sh").args(["-c", script]).status().unwrap();
        assert_eq!(how_it_ended(run("exit 69")), "exited with code 69");
        let killed = how_it_ended(run("kill -KILL $$"));
        assert!(killed.starts_with("killed by signal 9 (SIGKILL)"), "{killed}");
    }
}
